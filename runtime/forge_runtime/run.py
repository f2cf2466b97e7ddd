"""What belongs to a run and not to its plan: the run record, and the flag that ends it.

Both lie in the bucket `forge-runs`: `run.<run>` is written by the API before it submits the workflow; `cancel.<run>` is
only ever created, by whoever sees first that the run must end, so the first reason stays.
"""

import enum

import msgspec
from msgspec import Struct

from forge_runtime.job import Git


class CancelReason(enum.StrEnum):
    FAILED = "failed"
    CANCELLED = "cancelled"
    DEADLINE = "deadline"


class RunRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a dispatcher needs to turn a plan's steps into jobs of this run.

    `deadline_at`: unix seconds. `triggered_by`: who, as in `github:<login>`, `user:<sub>`, `sa:<namespace>/<name>`.
    A deployment that somebody asks for by hand is a run of its own: its id is the run's.
    """

    version: int = 1
    run_id: str
    repository: str
    clone_url: str
    commit_sha: str
    git: Git
    trigger_type: str
    triggered_by: str | None = None
    deadline_at: float
    traceparent: str | None = None
    shard_size: int = 25


class CancelFlag(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why the run ends and who said so ("worker-ci-0", "api"); `job_id` names the failed job, if one did it."""

    reason: CancelReason
    by: str
    at: float
    job_id: str | None = None


def decode_run(data: bytes) -> RunRecord:
    return _RUN.decode(data)


def decode_cancel(data: bytes) -> CancelFlag:
    """A flag that this version cannot read ends the run as well: that it is there is what counts."""
    try:
        return _CANCEL.decode(data)
    except msgspec.DecodeError:
        return CancelFlag(reason=CancelReason.FAILED, by="somebody whose words this version cannot read", at=0.0)


_RUN = msgspec.json.Decoder(RunRecord)
_CANCEL = msgspec.json.Decoder(CancelFlag)
