"""What a name that is not known was probably meant to be."""

from collections.abc import Iterable
from typing import Final

KNOWN_MAX: Final = 200
NAME_LENGTH_MAX: Final = 100
"""Beyond these nothing is compared: 200 names take 1.5 ms, and a text that nobody wrote by hand may hold thousands."""


def did_you_mean(name: str, known: Iterable[str], *, quoted: bool = True) -> str | None:
    """`did you mean "NAME"?` with the known name that is most like `name`; None where none is alike.

    `quoted=False` for names that carry their own marks, such as `+build`.
    """
    candidates = sorted(each for each in known if len(each) <= NAME_LENGTH_MAX)
    if len(name) > NAME_LENGTH_MAX or len(candidates) > KNOWN_MAX:
        return None
    import difflib  # only what is wrong has a use for it

    same = [each for each in candidates if each.casefold() == name.casefold()]
    close = same or difflib.get_close_matches(name, candidates, 1)
    if not close:
        return None
    return f'did you mean "{close[0]}"?' if quoted else f"did you mean {close[0]}?"
