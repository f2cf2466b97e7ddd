"""`forge dead-letters`: jobs that the infrastructure gave up, listed, explained, put back to work, dropped.

Exit codes: 0 done, 1 a letter was not found or not requeued, 2 wrong usage, 75 the bus is not reachable.
"""

import json
import re
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import msgspec

from forge_api.cli.view import clean
from forge_runtime import subject
from forge_runtime.bus.port import Bus
from forge_runtime.dead_letter import DeadLetter
from forge_runtime.job import Job, JobRecord, decode_job, utc_text
from forge_runtime.ledger import Ledger
from forge_runtime.requeue import UNREADABLE, NotRequeued, Requeuer
from forgec.units import format_duration

PATIENCE_S: Final = 10.0
"""Of a person at a terminal, for a bus that is away."""

LIST_MAX: Final = 1000

_PAGE: Final = 200
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,18}")
_JOB: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class BadReference(ValueError):
    """What was given can name no letter."""


class NoSuchLetter(Exception):
    """No letter has this number, or is of this job."""


def check_reference(text: str) -> str:
    """BadReference unless it is a letter's number or a job's id: nothing else may become part of a subject."""
    if not (_NUMBER.fullmatch(text) or _JOB.fullmatch(text)):
        raise BadReference(f'"{text}" is neither the number of a letter nor the id of a job; `ls` shows both')
    return text


async def list_letters(bus: Bus, *, after: int, limit: int, as_json: bool) -> int:
    """A table, oldest first, or a JSON array; a note on stderr says when there are more."""
    found = await bus.dead_letters.list(subject.DEAD_LETTERS, after=after, limit=limit + 1)
    letters, more = found[:limit], found[limit:]
    if as_json:
        print(json.dumps([_summary(letter) for letter in letters], indent=2))
    elif letters:
        print("\n".join(_table(letters, time.time())))
    else:
        print("no dead letters")
    if more:
        print(f"there are more: --after {letters[-1].sequence} goes on", file=sys.stderr)
    return 0


async def show_letter(bus: Bus, reference: str, *, as_json: bool) -> int:
    """Everything that is known of a letter's job, without secrets; the message itself only as far as it is a job."""
    letter = await find_letter(bus, reference)
    ledger = Ledger(bus, PATIENCE_S)
    record, refusal = None, None
    with suppress(*UNREADABLE):  # which the refusal says
        record = await ledger.read(letter.run_id, letter.job_id)
    try:
        await Requeuer(ledger).check(letter)
    except NotRequeued as refused:
        refusal = str(refused)
    document = {
        **_summary(letter),
        "requeue": "possible" if refusal is None else f"no: {refusal}",
        "record": None if record is None else _record(record),
        "message_bytes": len(letter.data),
        "job": _job(letter.data),
    }
    if as_json:
        print(json.dumps(document, indent=2))
    else:
        print("\n".join(_lines(document)))
    return 0


async def requeue_letters(bus: Bus, references: Sequence[str]) -> int:
    """Each that may be; 1 if one may not."""
    requeuer = Requeuer(Ledger(bus, PATIENCE_S))

    async def requeue(letter: DeadLetter) -> str:
        await requeuer.requeue(letter)
        return f"requeued job {letter.job_id}"

    return await _each(bus, references, requeue)


async def drop_letters(bus: Bus, references: Sequence[str]) -> int:
    async def drop(letter: DeadLetter) -> str:
        await bus.dead_letters.drop(letter.sequence)
        return f"dropped letter {letter.sequence} of job {letter.job_id}"

    return await _each(bus, references, drop)


async def drop_older(bus: Bus, age_s: float) -> int:
    """Drop what was buried longer ago; letters lie in the order in which they were buried."""
    before = time.time() - age_s
    dropped = after = 0
    while page := await bus.dead_letters.list(subject.DEAD_LETTERS, after=after, limit=_PAGE):
        old = [letter for letter in page if letter.buried_at < before]
        for letter in old:
            dropped += await bus.dead_letters.drop(letter.sequence)
        if len(old) < len(page):
            break
        after = page[-1].sequence
    print(f"dropped {dropped} letter{'' if dropped == 1 else 's'} older than {format_duration(age_s)}")
    return 0


async def find_letter(bus: Bus, reference: str) -> DeadLetter:
    """By number or job id; NoSuchLetter if there is none."""
    if _NUMBER.fullmatch(reference):
        number = int(reference)
        letters = await bus.dead_letters.list(subject.DEAD_LETTERS, after=number - 1, limit=1)
        letters = [letter for letter in letters if letter.sequence == number]
    else:
        letters = await bus.dead_letters.list(subject.dead_letter_subject("*", "*", reference), limit=1)
    if not letters:
        raise NoSuchLetter(f"there is no dead letter {reference}; `forge dead-letters ls` shows those that there are")
    return letters[0]


async def _each(bus: Bus, references: Sequence[str], act: Callable[[DeadLetter], Awaitable[str]]) -> int:
    """Every letter is tried, whatever becomes of the others."""
    code = 0
    for reference in references:
        try:
            print(await act(await find_letter(bus, reference)), flush=True)
        except (NoSuchLetter, NotRequeued) as failure:
            print(f"forge: {reference}: {failure}", file=sys.stderr)
            code = 1
    return code


def _summary(letter: DeadLetter) -> dict[str, Any]:
    cause = letter.cause
    return {
        "number": letter.sequence,
        "buried_at": utc_text(letter.buried_at),
        "pool": letter.pool,
        "run_id": letter.run_id,
        "job_id": letter.job_id,
        "reason": cause.reason.value,
        "code": cause.code,
        "message": cause.message,
        "starts": cause.starts,
    }


def _table(letters: Sequence[DeadLetter], now: float) -> list[str]:
    rows = [("number", "age", "pool", "reason", "starts", "run", "job")]
    rows += [
        (
            str(letter.sequence),
            format_duration(max(0.0, now - letter.buried_at)),
            letter.pool,
            letter.cause.reason.value,
            str(letter.cause.starts),
            letter.run_id,
            letter.job_id,
        )
        for letter in letters
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [clean("  ".join(map(str.ljust, row, widths)).rstrip()) for row in rows]


def _record(record: JobRecord) -> dict[str, Any]:
    result = record.result
    error = None if result is None or result.error is None else msgspec.to_builtins(result.error)
    return {
        "state": record.state.value,
        "starts": record.starts,
        "worker": record.worker,
        "log_key": None if result is None else result.log_key,
        "error": error,
    }


def _job(data: bytes) -> dict[str, Any] | None:
    """The job without what may be secret: who logs in to its repository, and anything but the names of its secrets."""
    try:
        job = decode_job(data)
        payload = _payload(job)
    except msgspec.DecodeError:
        return None
    return {
        "type": job.type.value,
        "repository": job.repository,
        "clone_url": _public(job.clone_url),
        "commit_sha": job.commit_sha,
        "submitted_at": job.submitted_at,
        "limits": msgspec.to_builtins(job.limits),
        "payload": payload,
    }


def _payload(job: Job) -> Any:
    payload = msgspec.json.decode(job.payload)
    step = payload.get("step") if isinstance(payload, dict) else None
    if isinstance(step, dict) and isinstance(step.get("secrets"), list):
        step["secrets"] = [secret.get("name") for secret in step["secrets"] if isinstance(secret, dict)]
    return payload


def _public(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(it is none)"
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _lines(document: dict[str, Any], indent: str = "") -> list[str]:
    """Nested names, one a line; values as JSON where they are not plain text."""
    lines: list[str] = []
    for name, value in document.items():
        if isinstance(value, dict) and value:
            lines += [f"{indent}{name}", *_lines(value, f"{indent}  ")]
        elif value is not None:
            text = value if isinstance(value, str) else json.dumps(value)
            lines.append(clean(f"{indent}{name:<14} {text}"))
    return lines
