"""What the jobs of a trial do: a child process for a moment, a line of log, and now and then a large result.

It depends on the job's id alone, so that both designs do the same work, and a job does the same whenever it is begun.
Only a large result is different each time, so that one which is written over another's does not go unseen.
"""

import hashlib
import secrets
from dataclasses import dataclass
from typing import Final

from msgspec import Struct

from forge_runtime.job import RESULT_INLINE_BYTES_MAX

JOB_S: Final = (0.05, 0.4)
_LARGE_EVERY: Final = 50


class Report(Struct, frozen=True):
    """Result data of a job; too large for its record where the work says so."""

    text: str


@dataclass(frozen=True, slots=True)
class Work:
    argv: tuple[str, ...]
    result: Report | None


def work_of(job_id: str) -> Work:
    chance = int.from_bytes(hashlib.sha256(job_id.encode()).digest()[:4], "big")
    shortest_s, longest_s = JOB_S
    duration_s = shortest_s + (longest_s - shortest_s) * (chance % 1000) / 1000
    large = chance % _LARGE_EVERY == 0
    return Work(
        argv=("sh", "-c", f"echo working; sleep {duration_s:.3f}; echo worked"),
        result=Report(text=secrets.token_hex(RESULT_INLINE_BYTES_MAX // 2)) if large else None,
    )
