"""Where paths lead that others made links on: followed as far as Linux does, and no further.

`os.path.realpath` has no such limit. It follows each link within the call for the one before: a chain of a thousand
ends it with RecursionError, and a tree of such chains costs the square of their length.
"""

import errno
import os
from pathlib import Path
from typing import Final

LINKS_MAX: Final = 40
"""One after the other, as many as Linux follows (path_resolution(7)); whoever opens a longer chain gets ELOOP."""

PARTS_MAX: Final = 1_000
"""Names on the way, those in the links' targets among them: some hundred directories, left and entered again."""

_NO_LINK: Final = frozenset({errno.EINVAL, errno.ENOENT, errno.ENOTDIR})


def followed(path: str | Path, top: str) -> str | None:
    """The real path, within the directory `top`, which is a real path itself; None where it leads out of that.

    Circles count as out, and so does what is beyond the limits or cannot be looked at. What does not exist is where its
    name says.
    """
    real = _followed(str(Path.cwd() / path))
    return real if real is not None and (real == top or real.startswith(top.rstrip("/") + "/")) else None


def _followed(path: str) -> str | None:
    here, links = "", 0
    pending = path.split("/")[::-1]
    for _ in range(PARTS_MAX):
        if not pending:
            return here or "/"
        part = pending.pop()
        if part == "..":
            here = here.rpartition("/")[0]
        elif part not in ("", "."):
            try:
                target = os.readlink(f"{here}/{part}")  # noqa: PTH115 - a Path for each would cost more than the call
            except OSError as error:
                if error.errno not in _NO_LINK:
                    return None
                here = f"{here}/{part}"
                continue
            links += 1
            if links > LINKS_MAX:
                return None
            here = "" if target.startswith("/") else here
            pending += target.split("/")[::-1]
    return None
