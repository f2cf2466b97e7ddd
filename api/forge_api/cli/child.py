"""One part of `forge up`: a process in a group of its own, which is started again whenever it ends.

start ── runs ── ends ── said, and counted unless it had lived long ── pause ── start
                           a start that fails is one more such end
"""

import asyncio
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from forge_api.cli.home import shown
from forge_runtime.process import note_group
from forge_runtime.tasks import end_tasks

STOP_GRACE_S: Final = 10.0
BACKOFF_S_MAX: Final = 10.0
STABLE_S: Final = 30.0
"""A child that lived this long starts again at once: its death is news, not a loop."""

FAILURES_MANY: Final = 5
MANY_WITHIN_S: Final = 60.0
"""So many failures in so short a time are no accident: the log's end is worth showing."""

TAIL_BYTES: Final = 16 * 1024
TAIL_LINES: Final = 12

Say = Callable[[str], None]


@dataclass(slots=True)
class Child:
    """`start` it, then `keep` it in a task until `stop`, which gives it `stop_grace_s` to end by itself.

    Its output goes to `log`; in `groups` it is noted while it lives, for a platform after this one.
    """

    name: str
    argv: list[str]
    environment: Mapping[str, str]
    log: Path
    groups: Path
    stop_grace_s: float = STOP_GRACE_S
    process: asyncio.subprocess.Process | None = None
    keeper: asyncio.Task[None] | None = field(default=None, repr=False)
    _started: float = 0.0
    _failed_at: "deque[float]" = field(default_factory=lambda: deque(maxlen=8))
    _despaired: bool = False
    _note: Path | None = None

    @property
    def pid(self) -> int:
        """Of a child that was started."""
        assert self.process is not None
        return self.process.pid

    async def start(self) -> None:
        """OSError if that is not possible; nothing runs then."""
        self._started = time.monotonic()
        self._forget()
        with self.log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *self.argv,
                env=dict(self.environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.process = process
        try:
            self._note = note_group(self.groups, process.pid)
        except OSError:
            await _kill(process)  # unnoted, it would outlive a platform that is killed
            raise

    async def keep(self, say: Say) -> None:
        """Start it again whenever it ends, and again when it cannot be started."""
        trouble = ""
        while True:
            if not trouble:
                assert self.process is not None
                trouble = how_it_ended(await self.process.wait())
            pause_s = self._pause_s()
            say(f"{self.name:<12} {trouble}; starting it again in {pause_s:.1f}s (log: {shown(self.log)})")
            self._despair(say)
            await asyncio.sleep(pause_s)
            try:
                await self.start()
            except OSError as error:
                trouble = f"cannot be started: {error}"
            else:
                trouble = ""
                say(f"{self.name:<12} pid {self.pid}")

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL to the whole group."""
        if self.keeper is not None:
            await end_tasks(self.keeper)
        process = self.process
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(self.stop_grace_s):
                await process.wait()
        except TimeoutError:
            await _kill(process)
        self._forget()

    def tail(self) -> str:
        """The end of its log, as people read it."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, self.log.stat().st_size - TAIL_BYTES))
                lines = file.read(TAIL_BYTES).decode(errors="replace").splitlines()[-TAIL_LINES:]
        except OSError:
            return f"  (log: {shown(self.log)})"
        return "\n".join([f"  the end of {shown(self.log)}:", *(f"    {line}" for line in lines)])

    def _pause_s(self) -> float:
        """Count what just happened; how long to wait before the next start."""
        now = time.monotonic()
        if now - self._started > STABLE_S:
            self._failed_at.clear()
            self._despaired = False
            return 0.0
        self._failed_at.append(now)
        return float(min(BACKOFF_S_MAX, 0.25 * 2 ** len(self._failed_at)))

    def _despair(self, say: Say) -> None:
        """Once in a row of failures: whoever reads only how it ended does not learn why."""
        recent = [at for at in self._failed_at if at >= time.monotonic() - MANY_WITHIN_S]
        if len(recent) < FAILURES_MANY or self._despaired:
            return
        self._despaired = True
        say(
            f"{self.name:<12} failed {len(recent)} times in a row within {MANY_WITHIN_S:.0f}s: "
            f"it does no work until the cause is gone\n{self.tail()}"
        )

    def _forget(self) -> None:
        if self._note is not None:
            with suppress(OSError):
                self._note.unlink(missing_ok=True)


def how_it_ended(code: int) -> str:
    return f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"


async def _kill(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
