"""Named source texts and spans within them.

One convention for every place the project reports: offsets count code points from 0, a span is half open
(`start` included, `end` excluded); lines and columns count from 1, columns in code points.
"""

from bisect import bisect_right

from msgspec import Struct
from msgspec.structs import force_setattr


class Position(Struct, frozen=True):
    """A place a person can find: 1-based line, 1-based column in code points."""

    line: int
    column: int


class Source(Struct, frozen=True, eq=False):
    """A text and the name it is known by (a path relative to the repository, or `<stdin>`)."""

    name: str
    text: str
    _starts: tuple[int, ...] = ()  # of the lines

    def __post_init__(self) -> None:
        starts = [0]
        at = self.text.find("\n")
        while at >= 0:
            starts.append(at + 1)
            at = self.text.find("\n", at + 1)
        force_setattr(self, "_starts", tuple(starts))

    def __repr__(self) -> str:
        return f"Source({self.name!r})"

    def position(self, offset: int) -> Position:
        """Line and column of an offset; an offset past the end is the end."""
        offset = min(max(offset, 0), len(self.text))
        line = bisect_right(self._starts, offset)
        return Position(line, offset - self._starts[line - 1] + 1)

    def line(self, number: int) -> str:
        """The text of a 1-based line without its line break."""
        start = self._starts[number - 1]
        end = self._starts[number] - 1 if number < len(self._starts) else len(self.text)
        return self.text[start:end].rstrip("\r")

    def span(self, start: int, end: int) -> "Span":
        return Span(self, start, end)


class Span(Struct, frozen=True):
    """The code points `start` to `end` (excluded) of a source."""

    source: Source
    start: int
    end: int

    @property
    def position(self) -> Position:
        return self.source.position(self.start)

    @property
    def text(self) -> str:
        return self.source.text[self.start : self.end]

    def __str__(self) -> str:
        at = self.position
        return f"{self.source.name}:{at.line}:{at.column}"


def whole_file(name: str) -> Span:
    """A span for what concerns a file as a whole, or a file that is not there."""
    return Span(Source(name, ""), 0, 0)
