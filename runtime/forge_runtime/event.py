"""Events: what workers and dispatchers tell the API, which projects them into its database.

Published to the stream `forge-events` after the record they speak of was written, at least once and possibly late
or out of order: an event carries the attempt it belongs to, and a stale or repeated one changes nothing.
"""

import enum
from typing import Any

import msgspec
from msgspec import Struct

from forge_runtime.job import ErrorRecord


class EventKind(enum.StrEnum):
    DISCOVERY = "discovery"
    STEP = "step"
    RELEASE = "release"
    DEPLOYMENT = "deployment"
    FINISH = "finish"


class StepAddress(Struct, frozen=True, kw_only=True):
    phase: str
    project: str
    step: str


class Event(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`status` is a child status (running, succeeded, failed, skipped, cancelled); `at` RFC 3339 UTC.

    `attempt` counts the starts of the job, from 1. A finish event has no job and no address; its status is the
    engine's word (`succeeded`, `failed`), which the API does not take for the run's.
    """

    version: int = 1
    kind: EventKind
    run_id: str
    status: str
    at: str
    job_id: str | None = None
    attempt: int = 1
    address: StepAddress | None = None
    plan_digest: str | None = None
    worker: str | None = None
    exit_code: int | None = None
    log_key: str | None = None
    error: ErrorRecord | None = None
    data: dict[str, Any] = {}


def decode_event(data: bytes) -> Event:
    return _EVENT.decode(data)


_EVENT = msgspec.json.Decoder(Event)
