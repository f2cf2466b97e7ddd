"""Text that is quoted in a terminal or a log, and moves nothing there.

What is quoted comes from repositories that nobody vouches for: control and formatting characters are shown escaped,
so that no text moves the cursor, changes colours, begins a line or reverses its order.
"""

import unicodedata
from typing import Final


def escaped(text: str) -> str:
    """Control, formatting and private characters as `\\xNN` or `\\u{N}`, all others as they are."""
    return "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    if " " <= character <= "~" or unicodedata.category(character) not in _HIDDEN:
        return character
    number = ord(character)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{{{number:x}}}"


_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
