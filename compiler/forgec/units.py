"""Durations as text and as seconds.

A duration is one or more numbers with a unit, largest first by convention (`1h30m`, `90s`, `1.5h`, `250ms`);
it is above zero and at most 24 h, the longest a run may take. A bare number is refused: its unit would be a guess.
"""

import functools
import re
from typing import Final

DURATION_S_MAX: Final = 24 * 3600.0

DURATION_PATTERN: Final = r"\A(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h))+\Z"

_DURATION = re.compile(DURATION_PATTERN)
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_TEXT_LENGTH_MAX: Final = 64


@functools.lru_cache(maxsize=1024)  # of thousands of steps most have one of a few
def parse_duration(text: str) -> float:
    """Seconds; ValueError with a message fit for a person."""
    if len(text) > _TEXT_LENGTH_MAX or not _DURATION.fullmatch(text):
        raise ValueError(f'"{text[:_TEXT_LENGTH_MAX]}" is not a duration (write it like "90s", "10m" or "1h30m")')
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
    if seconds <= 0:
        raise ValueError(f'duration "{text}" must be above zero')
    if seconds > DURATION_S_MAX:
        raise ValueError(f'duration "{text}" is above the limit of 24h')
    return seconds


def format_duration(seconds: float) -> str:
    """Seconds as people read them: `4.2s`, `1m05s`, `2h03m`."""
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m"
