"""Several files in one text, for golden cases that people write and read.

    Words about the case.
    -- a/file --
    its content
    -- stderr --
    what the tool must say

A line of a file that must be complained about ends with a marker: `//~ CODE` or `#~ CODE`, several codes with commas.
A complaint about a file that is not there, or about no place at all, is marked in the words above the first file.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from forgec.diagnostic import Diagnostic

_HEADER = re.compile(r"^-- (.+?) --\n", re.MULTILINE)
_MARKER = re.compile(r"(?://|#)~ ([A-Z_0-9]+(?:, [A-Z_0-9]+)*)$")

Mark = tuple[str, int, str]
"""File, line (from 1) and the name of the code; ("", 0, name) where there is no place."""


@dataclass(frozen=True, slots=True)
class Archive:
    comment: str
    files: dict[str, str]

    def text(self) -> str:
        return self.comment + "".join(f"-- {name} --\n{content}" for name, content in self.files.items())


def parse_archive(text: str) -> Archive:
    comment, *parts = _HEADER.split(text)
    return Archive(comment, dict(zip(parts[::2], parts[1::2], strict=True)))


def read_archive(path: Path) -> Archive:
    return parse_archive(path.read_text(encoding="utf-8"))


def expected_marks(archive: Archive) -> list[Mark]:
    """What the markers of a case announce, sorted; those quoted in `stderr` are none."""
    marks = [("", 0, code) for line in archive.comment.splitlines() for code in _codes(line)]
    for name, content in archive.files.items():
        if name == "stderr":
            continue
        for number, line in enumerate(content.splitlines(), 1):
            marks += [(name, number, code) for code in _codes(line)]
    return sorted(marks)


def found_marks(archive: Archive, diagnostics: Iterable[Diagnostic]) -> list[Mark]:
    """The same for what was found."""
    marks = []
    for diagnostic in diagnostics:
        span = diagnostic.span
        if span is None or span.source.name not in archive.files or not span.source.text:
            marks.append(("", 0, diagnostic.code.name))
        else:
            marks.append((span.source.name, span.position.line, diagnostic.code.name))
    return sorted(marks)


def _codes(line: str) -> list[str]:
    match = _MARKER.search(line)
    return match[1].split(", ") if match else []
