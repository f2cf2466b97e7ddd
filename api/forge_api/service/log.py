"""Logs of steps: where the finished object lies, its text, and its index."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import msgspec

from forge_api.db import query
from forge_api.problem import not_found, unavailable
from forge_api.service.platform import Platform
from forge_api.wire import LogAddress, LogIndexView, LogMark
from forge_runtime.blob import BlobUnavailable
from forge_runtime.log_store import LogIndex, index_key, log_key, read_log
from forge_runtime.status import ChildStatus

URL_S: Final = 3600
TEXT_BYTES_MAX: Final = 8 * 1024 * 1024
"""Of one reply; a longer log is read on from `next_offset`."""


@dataclass(frozen=True, slots=True)
class LogText:
    """`next_offset` is where the rest begins, None at the end."""

    data: bytes
    next_offset: int | None


async def log_address(platform: Platform, step_id: str) -> LogAddress:
    key, _ = await _key(platform, step_id)
    try:
        url = await platform.ports.blob.url(key, URL_S)
    except BlobUnavailable:
        raise unavailable("the object store") from None
    return LogAddress(url=url, expires_at=platform.now() + timedelta(seconds=URL_S))


async def log_text(platform: Platform, step_id: str, offset: int) -> LogText:
    """Of a running step what is stored so far."""
    key, over = await _key(platform, step_id, running=True)
    try:
        data = await read_log(
            platform.ports.blob, key, start=offset, length_max=TEXT_BYTES_MAX + 1, known=platform.log_parts
        )
    except BlobUnavailable:
        raise unavailable("the object store") from None
    if data is None:
        raise not_found(f"log of step {step_id} " + ("any more; logs are kept 90 days" if over else "yet (running)"))
    more = len(data) > TEXT_BYTES_MAX
    return LogText(data[:TEXT_BYTES_MAX], offset + TEXT_BYTES_MAX if more else None)


async def log_index(platform: Platform, step_id: str) -> LogIndexView:
    """Of a whole log that a worker of ours stored; logs of other callers have none."""
    key, _ = await _key(platform, step_id)
    try:
        data = await platform.ports.blob.get(index_key(key))
    except BlobUnavailable:
        raise unavailable("the object store") from None
    if data is None:
        raise not_found(f"index of the log of step {step_id}")
    index = msgspec.json.decode(data, type=LogIndex)
    return LogIndexView(
        size=index.size,
        lines=index.lines,
        sha256=index.sha256,
        truncated=index.truncated,
        marks=[LogMark(line=mark.line, offset=mark.offset, time=mark.time) for mark in index.marks],
    )


async def _key(platform: Platform, step_id: str, *, running: bool = False) -> tuple[str, bool]:
    """Where the log lies, and True once it is whole. One of a `running` step is where its worker stores it."""
    async with platform.database.read() as session:
        found = await query.place_of_step(session, step_id)
    if found is None:
        raise not_found(f"step {step_id}")
    step, task, phase = found
    if step.logs_s3_key is not None:
        return step.logs_s3_key, True
    if running and step.status == ChildStatus.RUNNING:
        return log_key(phase.run_id, phase.name, task.project_name, step.name, max(step.attempt, 1)), False
    raise not_found(f"log of step {step_id} yet ({step.status})")
