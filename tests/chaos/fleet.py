"""The processes of a trial: started, killed, stopped for a while, hampered, and started again when they end.

A fleet knows nothing of the design that it runs: it is given command lines. Whatever ends us ends it.
"""

import asyncio
import os
import resource
import signal
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

from tests.leash import on_leash

from forge_runtime.settings import BusSettings

RESTART_S: Final = 0.3
"""Between the end of a process that nobody killed and its next start."""

STOP_LIMIT_S: Final = 40.0
"""A worker drains for 10 s, and hands back for 20 s at most."""

ROOT: Final = Path(__file__).parents[2]


Settled = Callable[[int], bool]
"""Whether an exit code is the last one of its process."""


class Server(Protocol):
    """One process, or a cluster, in which all of this happens to the leader."""

    @property
    def url(self) -> str: ...
    @property
    def token_file(self) -> Path: ...
    def settings(self, name: str) -> BusSettings: ...
    def start(self) -> None: ...
    def kill(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def stop(self) -> None: ...


@runtime_checkable
class Partitionable(Server, Protocol):
    """A cluster whose leader can be parted from others."""

    def cut_off(self) -> None: ...
    def isolate(self) -> None: ...
    def heal(self) -> None: ...


class Member:
    """A process under one name, started again until `settled` says that an exit code is its last."""

    def __init__(
        self, name: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path, settled: Settled
    ) -> None:
        self.name = name
        self.exit_codes: list[int] = []
        self._command = on_leash((sys.executable, *arguments))
        self._environment = environment
        self._log = log
        self._settled = settled
        self._process: asyncio.subprocess.Process | None = None
        self._away_s = RESTART_S
        self._stopping = False
        self._life: asyncio.Task[int] | None = None

    def start(self) -> None:
        self._life = asyncio.create_task(self._live())

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def ended(self) -> bool:
        """For good."""
        return self._life is not None and self._life.done()

    async def end(self) -> int:
        """The last exit code."""
        assert self._life is not None
        return await asyncio.shield(self._life)

    def kill(self, away_s: float) -> None:
        """SIGKILL, also to a stopped one; it starts again after `away_s`."""
        self._away_s = away_s
        self._signal(signal.SIGKILL)

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def fill_disk(self) -> None:
        """No file may grow any more, for the process and the children that it starts from now on.

        The limit of a process stands for a full disk: it needs no right to mount one, and writes fail in the same way
        (with EFBIG instead of ENOSPC), while directories and empty files can be made.
        """
        self._limit_files(full=True)

    def empty_disk(self) -> None:
        self._limit_files(full=False)

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL when that is not enough."""
        self._stopping = True
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGTERM)
        if self._life is not None:
            await asyncio.wait({self._life}, timeout=STOP_LIMIT_S)
            self._signal(signal.SIGKILL)
            await asyncio.wait({self._life}, timeout=STOP_LIMIT_S)

    async def _live(self) -> int:
        while True:
            with self._log.open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    *self._command, env=dict(self._environment), stdout=log, stderr=log
                )
            code = await self._process.wait()
            self.exit_codes.append(code)
            if self._stopping or self._settled(code):
                return code
            away_s, self._away_s = self._away_s, RESTART_S
            await asyncio.sleep(away_s)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    def _limit_files(self, *, full: bool) -> None:
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                _, most = resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE)
                resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (0 if full else most, most))


def never(_exit_code: int) -> bool:
    """A worker or a service starts again whatever it says."""
    return False


def unless_killed_or_infrastructure(exit_code: int) -> bool:
    """A dispatcher starts again when it was killed, or says that another try may help (75)."""
    return exit_code >= 0 and exit_code != 75


class Fleet:
    """Everything that runs. `folder` keeps logs, clocks, scratch and the object store."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.folder = folder
        self.server = server
        self.workers: list[Member] = []
        self.dispatchers: list[Member] = []
        self.services: list[Member] = []
        self.clocks: defaultdict[str, float] = defaultdict(float)
        """By how many seconds the clock of each worker is wrong."""

    def add_worker(self, name: str, arguments: Sequence[str]) -> None:
        self.workers.append(self._member(name, arguments, never))

    def add_service(self, name: str, arguments: Sequence[str]) -> None:
        self.services.append(self._member(name, arguments, never))

    def add_dispatcher(self, name: str, arguments: Sequence[str]) -> None:
        self.dispatchers.append(self._member(name, arguments, unless_killed_or_infrastructure))

    async def restart_server(self, away_s: float) -> None:
        """SIGKILL; returns when it answers again."""
        await asyncio.to_thread(self.server.kill)
        await asyncio.sleep(away_s)
        await asyncio.to_thread(self.server.start)

    async def pause_server(self, away_s: float) -> None:
        """Connections stay open, and nobody answers."""
        await asyncio.to_thread(self.server.pause)
        await asyncio.sleep(away_s)
        await asyncio.to_thread(self.server.resume)

    async def cut_server_off(self, away_s: float) -> None:
        """Nobody reaches it."""
        cluster = self._cluster()
        await asyncio.to_thread(cluster.cut_off)
        await asyncio.sleep(away_s)
        await asyncio.to_thread(cluster.heal)

    async def isolate_server(self, away_s: float) -> None:
        """Its clients reach it, and no other server."""
        cluster = self._cluster()
        await asyncio.to_thread(cluster.isolate)
        await asyncio.sleep(away_s)
        await asyncio.to_thread(cluster.heal)

    def set_clock(self, worker: Member, offset_s: float) -> None:
        self.clocks[worker.name] = offset_s
        clocks = self.folder / "clock"
        clocks.mkdir(exist_ok=True)
        (clocks / worker.name).write_text(str(offset_s))

    async def stop_workers(self) -> None:
        """And what runs beside them: afterwards nobody writes any more."""
        await asyncio.gather(*(member.stop() for member in [*self.services, *self.workers]))

    async def stop(self) -> None:
        await asyncio.gather(*(member.stop() for member in [*self.services, *self.workers, *self.dispatchers]))

    def _cluster(self) -> Partitionable:
        assert isinstance(self.server, Partitionable), "a single server has nobody to be parted from"
        return self.server

    def _member(self, name: str, arguments: Sequence[str], settled: Settled) -> Member:
        environment = {
            **os.environ,
            "NATS_URL": self.server.url,
            "NATS_CREDENTIALS": str(self.server.token_file),
            "NATS_CLIENT_NAME": name,
            "PYTHONPATH": str(ROOT),
        }
        logs = self.folder / "logs"
        logs.mkdir(exist_ok=True)
        member = Member(name, arguments, environment, logs / f"{name}.log", settled)
        member.start()
        return member
