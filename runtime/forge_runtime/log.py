"""The log of one step: lines in, one object out, and batches for those who watch.

    write(line) -> masked, stamped -> spool file -- while it grows: parts; finish(): one object --> log_store
                        |
                        '-> batch (64 KiB or 0.2 s) -> send(offset, bytes)  live, lossy

The spool keeps memory small however much a step prints. Offsets are bytes of the finished object, so a reader can go
from the live lines to the object without a gap and without a line twice.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final

from forge_runtime.log_store import IndexMaker, LogStore
from forge_runtime.mask import Mask
from forge_runtime.tasks import end_tasks

LOG_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of one step; then a line says that the rest is not kept. A step that prints more is broken, not informative."""

BATCH_BYTES_MAX: Final = 64 * 1024
BATCH_S: Final = 0.2

TAIL_LINES_MAX: Final = 200
TAIL_LINE_CHARS_MAX: Final = 500
"""The tail goes into error records, which have to stay small."""

LiveSink = Callable[[int, bytes], Awaitable[None]]
"""Takes the offset of a batch and its bytes. It drops what it cannot deliver, and does not raise."""


class StepLog:
    """Not for several writers at once: the order of lines is the order of calls."""

    def __init__(
        self,
        spool: Path,
        send: LiveSink,
        new_store: Callable[[], LogStore],
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        bytes_max: int = LOG_BYTES_MAX,
    ) -> None:
        """`spool` is a file that is not there yet, nor is its directory; `new_store` is asked for at the first line."""
        self._spool = spool
        self._file: IO[bytes] | None = None
        self._send = send
        self._new_store = new_store
        self._store: LogStore | None = None
        self.mask: Final = Mask()
        """Hides secrets, and may learn more of them."""
        self._clock = clock
        self._bytes_max = bytes_max
        self._index = IndexMaker()
        self._full = False
        self._batch = bytearray()
        self._sent = 0
        self._sending = asyncio.Lock()
        self._timer: asyncio.Task[None] | None = None
        self._tail: deque[str] = deque(maxlen=TAIL_LINES_MAX)

    async def write(self, line: str) -> None:
        """One line without its line break; a message of several lines is as many."""
        for each in self.mask.text(line).split("\n"):
            await self._write(each)

    @property
    def key(self) -> str | None:
        """Where the log is kept; None while nothing was written, and there is nothing to store."""
        return None if self._store is None else self._store.key

    def tail(self, count: int) -> tuple[str, ...]:
        """The last lines, masked and without times, also those that a full log no longer kept."""
        return tuple(self._tail)[-count:]

    async def finish(self) -> None:
        """Send what is left, store the log and remove the spool. Raises BlobUnavailable; then the spool stays, and
        this may be called again. Not for an empty log."""
        assert self._file is not None
        assert self._store is not None
        if self._timer:
            if not self._sending.locked():  # it sleeps; in the middle of a batch it is waited for
                self._timer.cancel()
            await asyncio.wait({self._timer})
        await self._flush()
        self._file.close()
        await self._store.finish(self._spool, self._index.index(truncated=self._full))
        self._spool.unlink()

    async def abandon(self) -> None:
        """Leave the log as it is: nothing of it is sent or stored any more. Whatever `finish` came to, and does not
        raise."""
        if self._timer is not None:
            await end_tasks(self._timer)
        if self._store is not None:
            await self._store.abandon()
        if self._file is not None:
            with suppress(OSError):  # what it still held finds no room
                self._file.close()

    async def _write(self, line: str) -> None:
        self._tail.append(line[:TAIL_LINE_CHARS_MAX])
        if self._full:
            return
        stamp = self._clock().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        record = _record(stamp, line)
        if self._index.size + len(record) > self._bytes_max:
            self._full = True
            record = _record(stamp, f"the log is longer than {self._bytes_max} bytes: what follows is not kept")
        if self._file is None:
            self._spool.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._spool.open("xb")
            self._store = self._new_store()
            self._store.begin(self._spool)
        self._file.write(record)
        self._index.add(record, stamp)
        if len(self._batch) + len(record) > BATCH_BYTES_MAX:
            await self._flush()
        self._batch += record
        if self._timer is None or self._timer.done():
            self._timer = asyncio.create_task(self._flush_soon())

    async def _flush_soon(self) -> None:
        await asyncio.sleep(BATCH_S)
        await self._flush()

    async def _flush(self) -> None:
        async with self._sending:
            if self._file is not None and not self._file.closed:
                self._file.flush()  # parts are read from the spool: they are not far behind the live lines
            batch, offset = bytes(self._batch), self._sent
            self._batch.clear()
            self._sent += len(batch)
            for start in range(0, len(batch), BATCH_BYTES_MAX):
                await self._send(offset + start, batch[start : start + BATCH_BYTES_MAX])


def _record(stamp: str, line: str) -> bytes:
    return f"{stamp} {line}\n".encode(errors="replace")
