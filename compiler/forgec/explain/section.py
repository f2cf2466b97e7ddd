"""What a code means, at length: the sections of `diagnostics.md`."""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

FILE: Final = "diagnostics.md"

DOCUMENTATION: Final = f"compiler/forgec/explain/{FILE}"
"""Where people find the file in the repository."""

_HEADING = re.compile(r"^## (FC[0-9]{3})\n", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """`text` is Markdown without the heading; it begins with one paragraph that says what the code means."""

    code: str
    text: str

    @property
    def summary(self) -> str:
        return " ".join(self.text.partition("\n\n")[0].split())


@functools.cache
def sections() -> Mapping[str, Section]:
    """By code, in the order of the file."""
    _, *parts = _HEADING.split(files("forgec.explain").joinpath(FILE).read_text(encoding="utf-8"))
    return {code: Section(code=code, text=text.strip()) for code, text in zip(parts[::2], parts[1::2], strict=True)}


def documentation(code: str) -> str:
    """The anchor of a code's section."""
    return f"{DOCUMENTATION}#{code.lower()}"
