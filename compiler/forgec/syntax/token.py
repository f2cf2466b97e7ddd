"""A token: what lexers make of a text, and parsers read."""

from msgspec import Struct


class Token(Struct, frozen=True, gc=False):
    """`kind` as the grammar names it, `text` as written (of an Earthfile without continuations), and its place."""

    kind: str
    text: str
    start: int
    end: int
