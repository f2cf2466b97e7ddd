"""What a name that is not known was probably meant to be."""

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str], *, quoted: bool = True) -> str | None:
    """`did you mean "NAME"?` with the known name that is most like `name`; None where none is alike.

    `quoted=False` for names that carry their own marks, such as `+build`.
    """
    close = difflib.get_close_matches(name, sorted(known), 1)
    if not close:
        return None
    return f'did you mean "{close[0]}"?' if quoted else f"did you mean {close[0]}?"
