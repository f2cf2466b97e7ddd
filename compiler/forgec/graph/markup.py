"""HTML and SVG from values: what is text becomes text, whatever it holds.

Characters that show nothing, or turn the text around them, are written out as they are on a terminal.
"""

import html

from forgec.render.escape import escaped


class Markup(str):
    """Text that is markup already. Only `element` and this module's caller's own constants make it."""

    __slots__ = ()


Content = str | Markup


def element(tag: str, /, *content: Content, **attributes: str | int | bool | None) -> Markup:
    """`<name attributes>content</name>`.

    Text and attribute values are escaped. An attribute's trailing underscore is dropped (`class_`), inner ones are
    hyphens; True is an attribute without value, False and None are none. HTML's elements without content must get none.
    """
    opening = "".join((tag, *map(_attribute, attributes.items())))
    if tag in _VOID:
        return Markup(f"<{opening}>")
    return Markup(f"<{opening}>{join(*content)}</{tag}>")


def join(*content: Content) -> Markup:
    return Markup("".join(part if isinstance(part, Markup) else _text(part) for part in content))


def _attribute(item: tuple[str, str | int | bool | None]) -> str:
    name, value = item[0].rstrip("_").replace("_", "-"), item[1]
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{_text(str(value))}"'


def _text(text: str) -> str:
    return html.escape(text if text.isprintable() else escaped(text))


_VOID = frozenset({"input", "meta"})
