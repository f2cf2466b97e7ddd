"""Hiding secrets in text: every line of every value becomes `***`, wherever it stands.

So do the forms in which programs print a value without meaning to: without the blanks around it; base64, also in the
middle of something longer, as in an Authorization header, and wrapped where the value begins; percent-encoded, as in an
address; escaped, as in JSON. Not hidden is what was otherwise cut into pieces or transformed otherwise: whoever may run
a command with a secret can always print it so that nobody knows it.
"""

import base64
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal
from urllib.parse import quote, quote_plus

MASK: Final = "***"

FORM_CHARS_MIN: Final = 6
"""Of a value, and of a form of it: shorter ones turn up by chance."""

PART_CHARS_MIN: Final = 4
"""Of a value of several lines, shorter lines are not hidden: the braces of a JSON document are no secrets."""

BASE64_COLUMNS: Final = (76, 64)
"""Of the lines that base64 is printed in: by base64(1) and in mail (RFC 2045), and in PEM files (RFC 7468)."""


class Mask:
    """Grows as secrets come to be known; what was let through before stays as it is."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._lines: frozenset[str] = frozenset()
        self._hidden = _NOTHING
        self.hide(secrets)

    def hide(self, secrets: Iterable[str]) -> None:
        more = {text for secret in secrets for text in (*_lines_of(secret), *_forms_of(secret))} - self._lines
        if not more:
            return
        self._lines |= more
        # The longest first, so that a secret within another leaves no rest.
        self._hidden = _Hidden(line.encode() for line in sorted(self._lines, key=lambda line: (-len(line), line)))

    @property
    def bytes_max(self) -> int:
        """Of the longest line that is hidden: what must be seen together to see all of it."""
        return self._hidden.bytes_max

    def text(self, text: str) -> str:
        # What is hidden is whole characters, so its bytes are found at the borders of others only.
        data = text.encode(errors="surrogatepass")
        masked = self.data(data)
        return text if masked == data else masked.decode(errors="surrogatepass")

    def cut(self, data: bytes) -> int:
        """How much of UTF-8 that goes on may be hidden by itself: no secret lies across this place, however it goes on.

        At least all but `bytes_max`.
        """
        place = max(0, len(data) - self.bytes_max)
        end = 0
        for start, _, line in sorted(self._hidden.occurrences(data)):
            if end <= start < place:
                end = start + len(line)
        return max(place, end)

    def data(self, data: bytes) -> bytes:
        """The same as `text` of UTF-8."""
        for line in self._hidden.within(data):
            data = data.replace(line, _MASK)
        return data


_MASK: Final = MASK.encode()

_WORDS: Final[Mapping[int, Literal["Q", "I", "H"]]] = {8: "Q", 4: "I", 2: "H"}
"""By their bytes: the words that text is looked at in, as memoryview calls them."""

_FEW: Final = 16
"""So many lines are soonest tried one after another."""


class _Hidden:
    """The lines to hide, in their order, and where they occur in a text, however many they are.

    A line of 2 w - 1 bytes holds, wherever it begins, a whole word of w bytes at a multiple of w. So these words of the
    text are looked up among all that the lines begin with, and only where one is found, what stands around it.
    """

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._orders = {line: order for order, line in enumerate(lines)}
        self.bytes_max = max(map(len, self._orders), default=0)
        # Those that a text may hold only since something in it was hidden.
        self._of_stars = [(order, line) for line, order in self._orders.items() if b"*" in line]
        self._beginnings = []
        rest = list(self._orders)
        for word_bytes in _WORDS:
            fitting = [line for line in rest if len(line) >= 2 * word_bytes - 1]
            rest = [line for line in rest if len(line) < 2 * word_bytes - 1]
            if fitting:
                self._beginnings.append(_Beginnings(word_bytes, fitting))
        self._short = rest

    def within(self, data: bytes) -> Iterable[bytes]:
        """The lines that matter to a text, in their order; others are not in it."""
        if len(self._orders) <= _FEW:
            return self._orders
        found = {(order, line) for _, order, line in self.occurrences(data)}
        return [line for _, line in sorted(found.union(self._of_stars))] if found else ()

    def occurrences(self, data: bytes) -> Iterator[tuple[int, int, bytes]]:
        """Where a line begins, also within another; its place in the order; the line."""
        for beginnings in self._beginnings:
            for start, size in beginnings.places(data):
                line = data[start : start + size]
                if line in self._orders:
                    yield start, self._orders[line], line
        for line in self._short:
            start = data.find(line)
            while start >= 0:
                yield start, self._orders[line], line
                start = data.find(line, start + 1)


_NOTHING: Final = _Hidden(())


class _Beginnings:
    """The first 2 w - 1 bytes of lines that are no shorter."""

    def __init__(self, word_bytes: int, lines: Iterable[bytes]) -> None:
        self._word_bytes = word_bytes
        self._head_bytes = 2 * word_bytes - 1
        lines_of: defaultdict[bytes, defaultdict[int, list[bytes]]] = defaultdict(lambda: defaultdict(list))
        for line in lines:
            lines_of[line[: self._head_bytes]][len(line)].append(line)
        self._lines = {
            head: tuple((size, tuple(lines)) for size, lines in sizes.items()) for head, sizes in lines_of.items()
        }
        heads = [head[offset : offset + word_bytes] for head in self._lines for offset in range(word_bytes)]
        self._words = frozenset(memoryview(b"".join(heads)).cast(_WORDS[word_bytes]))

    def places(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Where a line may begin, and of which size it would be."""
        words = memoryview(data)[: len(data) // self._word_bytes * self._word_bytes].cast(_WORDS[self._word_bytes])
        if self._words.isdisjoint(words):
            return
        for index, word in enumerate(words):
            if word in self._words:
                at = index * self._word_bytes
                for start in range(max(0, at - self._word_bytes + 1), at + 1):
                    for size, lines in self._lines.get(data[start : start + self._head_bytes], ()):
                        # Few are compared where they stand: the next step takes a copy, and lines may be long.
                        if len(lines) > _FEW or data.startswith(lines, start):
                            yield start, size


def _lines_of(secret: str) -> Iterable[str]:
    lines = [line for line in secret.splitlines() if line.strip()]
    kept = lines if len(lines) == 1 else [line for line in lines if len(line.strip()) >= PART_CHARS_MIN]
    # A shell that prints a value without quotes drops the blanks around it, and makes one of several.
    return (text for line in kept for text in (line, line.strip(), " ".join(line.split())))


def _forms_of(secret: str) -> set[str]:
    return {form for value in {secret, secret.strip()} for form in _forms_as_it_is(value)}


def _forms_as_it_is(value: str) -> set[str]:
    if len(value) < FORM_CHARS_MIN:
        return set()
    escaped = {json.dumps(value, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}
    quoted = {quote(value, safe=""), quote_plus(value), quote(value)}
    bases = {form for offset in range(3) for form in _base64_within(value.encode(), offset)}
    return {
        form for form in escaped | quoted | bases if len(form) >= FORM_CHARS_MIN and form.strip() and "\n" not in form
    }


def _base64_within(value: bytes, offset: int) -> Iterable[str]:
    """What of the base64 of any text that holds the value, `offset` bytes after a multiple of three, is the value's
    alone: the digits at its borders also hold bits of its neighbours. In one line, and in the lines that it is printed
    in where it begins the text; in both alphabets."""
    digits = base64.b64encode(bytes(offset) + value).decode().rstrip("=")
    begin = (0, 2, 3)[offset]
    end = len(digits) if (offset + len(value)) % 3 == 0 else len(digits) - 1
    for width in (len(digits), *BASE64_COLUMNS):
        for column in range(0, len(digits), width):
            piece = digits[max(begin, column) : min(end, column + width)]
            yield piece
            yield piece.translate(str.maketrans("+/", "-_"))
