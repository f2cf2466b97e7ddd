"""Regular expressions: RE2's, which are Go's and so CUE's. Linear time, since neither pattern nor text is trusted."""

import functools
import re
from typing import Any, Final

_CACHED: Final = 64
_MEMORY_BYTES_MAX: Final = 4 * 1024 * 1024
"""Of a compiled pattern and its search; counted repetitions inside counted repetitions meet it."""

_BYTE_CLASS = re.compile(r"(?:[^\\]|\\[^C])*\\C", re.DOTALL)


def matches(pattern: str, text: str) -> bool:
    """Whether the pattern is found in the text; ValueError where it is no pattern."""
    return compiled(pattern).search(text) is not None


@functools.lru_cache(maxsize=_CACHED)
def compiled(pattern: str) -> Any:
    """The pattern, ready to search with; ValueError where it is none. (re2 has no types.)"""
    import re2  # here, since most configurations have no pattern

    if _BYTE_CLASS.match(pattern):
        raise ValueError(f"{_shown(pattern)} is not a pattern: \\C, a single byte, is not one of a text")
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY_BYTES_MAX
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        words = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise ValueError(f"{_shown(pattern)} is not a pattern: {words}") from None


def _shown(pattern: str) -> str:
    return '"' + (pattern if len(pattern) <= 60 else f"{pattern[:57]}...") + '"'
