"""Dead letters: the messages of jobs that were given up, kept for 30 days with the cause, one letter a job.

    poison      three workers in turn lost the job, or its message was handed out too often
    exhausted   the infrastructure failed at each start
    unreadable  the message means nothing to its worker, and there is no record that could say so
    orphan      the message was handed out too often, and there is no record of its job that can be read

A step that fails is no dead letter: it did what it was asked to.
"""

import enum
import json
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from forge_runtime.job import JobRecord
from forge_runtime.lease import POISON, given_up

CAUSE_BYTES_MAX: Final = 800
"""Of a cause as text: a letter holds a message of any permitted size, and a header on top of it must still fit."""


class Reason(enum.StrEnum):
    POISON = "poison"
    EXHAUSTED = "exhausted"
    UNREADABLE = "unreadable"
    ORPHAN = "orphan"


class Cause(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a message is among the dead letters. `code` is the error code of the job's result, where it has one."""

    reason: Reason
    message: str
    starts: int = 0
    code: str | None = None


class DeadLetter(Struct, frozen=True, kw_only=True):
    """A letter as read: `data` is the job's message as it was delivered; `buried_at` unix seconds."""

    sequence: int
    subject: str
    data: bytes
    cause: Cause
    buried_at: float

    @property
    def pool(self) -> str:
        return self.subject.split(".")[-3]

    @property
    def run_id(self) -> str:
        return self.subject.split(".")[-2]

    @property
    def job_id(self) -> str:
        return self.subject.split(".")[-1]


def cause_of(record: JobRecord) -> Cause | None:
    """Why the job was given up; None if it was not."""
    if not given_up(record):
        return None
    assert record.result is not None
    assert record.result.error is not None
    error = record.result.error
    reason = Reason.POISON if error.code == POISON else Reason.EXHAUSTED
    return Cause(reason=reason, message=error.message, starts=record.starts, code=error.code)


def encode_cause(cause: Cause) -> str:
    """One line of ASCII, as a header may hold it; a long message loses its end."""
    text = json.dumps(msgspec.to_builtins(cause))
    while len(text) > CAUSE_BYTES_MAX:
        message = cause.message[: len(cause.message) * CAUSE_BYTES_MAX // len(text)]
        cause = replace(cause, message=message)
        text = json.dumps(msgspec.to_builtins(cause))
    return text


def decode_cause(text: str) -> Cause:
    """Of a letter that somebody else put there, as much as can be said."""
    try:
        return _CAUSE.decode(text)
    except msgspec.DecodeError:
        return Cause(reason=Reason.UNREADABLE, message="this letter does not say why it is here")


_CAUSE = msgspec.json.Decoder(Cause)
