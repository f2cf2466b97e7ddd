"""The pool of build daemons: watched all the time, and leased to steps.

    probes (every 2 s) --> breaker --+
    leases, load ------------------- +--> candidates --> choose(key) --> lease --> step
    steps that lost their daemon ----+

A lease is a place on a daemon, not a connection: the build CLI dials by itself. What the pool decides is in
`affinity.py` and `breaker.py`; here is only who asks whom, and who waits.
"""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol

from forge_runtime.runner import breaker
from forge_runtime.runner.affinity import Candidate, Load, choose
from forge_runtime.runner.breaker import Breaker, Probe
from forge_runtime.runner.endpoint import Endpoint
from forge_runtime.runner.probe import DaemonProbe, Seen
from forge_runtime.runner.relay import sweep_relays
from forge_runtime.tasks import end_tasks

PROBE_EVERY_S: Final = 2.0

WAIT_S: Final = 30.0
"""For a daemon that may be used. A step that finds none goes back to the queue, and to another worker perhaps."""

_log = logging.getLogger(__name__)


class NoDaemon(Exception):
    """No build daemon can be had; the message says how each of them is."""


class UpGauge(Protocol):
    """Told when a daemon becomes usable, or no longer is."""

    def runner_up(self, runner: str, up: bool, /) -> None: ...


class Watcher(Protocol):
    """Looks at one daemon; see `DaemonProbe`."""

    async def look(self) -> Seen: ...

    async def close(self) -> None: ...


@dataclass(slots=True)
class Lease:
    """A place on a daemon. Whoever has it says `lost` if the daemon is to blame for how the step ended."""

    endpoint: Endpoint
    lost: bool = False


@dataclass(slots=True)
class _Member:
    endpoint: Endpoint
    watcher: Watcher
    breaker: Breaker = field(default_factory=Breaker)
    load: Load | None = None
    leases: int = 0
    why: str = "not looked at yet"

    @property
    def candidate(self) -> Candidate:
        return Candidate(
            name=self.endpoint.name, leases=self.leases, leases_max=self.endpoint.leases_max, load=self.load
        )


class RunnerPool:
    """Used in one event loop, while `serving`."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        gauge: UpGauge,
        *,
        probe_every_s: float = PROBE_EVERY_S,
        watch: Callable[[Endpoint], Watcher] = DaemonProbe,
    ) -> None:
        self._members = {each.name: _Member(endpoint=each, watcher=watch(each)) for each in endpoints}
        self._gauge = gauge
        self._probe_every_s = probe_every_s
        self._changed = asyncio.Condition()
        self._serving = False

    @property
    def names(self) -> list[str]:
        return list(self._members)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Daemons are watched for as long as the block lasts."""
        for member in self._members.values():
            self._gauge.runner_up(member.endpoint.name, False)
        await asyncio.to_thread(sweep_relays)
        probing = [asyncio.create_task(self._watch(member)) for member in self._members.values()]
        self._serving = True
        try:
            yield
        finally:
            self._serving = False
            await end_tasks(*probing)
            for member in self._members.values():
                await member.watcher.close()

    @asynccontextmanager
    async def lease(self, key: str, *, apart: str | None = None, wait_s: float = WAIT_S) -> AsyncIterator[Lease]:
        """A place for a step whose cache lies where `key` says; not on the daemon `apart`. Raises NoDaemon."""
        member = await self._take(key, apart, wait_s)
        lease = Lease(endpoint=member.endpoint)
        try:
            yield lease
        except BaseException:
            await self._give_back(member)  # it says nothing of the daemon
            raise
        member.breaker = self._moved(member, breaker.lost(member.breaker, time.monotonic()) if lease.lost else None)
        await self._give_back(member)

    def usable(self, *, apart: str | None = None) -> bool:
        """Whether a daemon other than `apart` may be used now."""
        return any(member.breaker.closed for name, member in self._members.items() if name != apart)

    async def _take(self, key: str, apart: str | None, wait_s: float) -> _Member:
        if not self._serving:
            raise NoDaemon("the pool of build daemons is not served")
        try:
            async with asyncio.timeout(wait_s), self._changed:
                while (name := self._chosen(key, apart)) is None:
                    await self._changed.wait()
                # Taken under the condition's lock, so that nobody else chooses before it counts.
                self._members[name].leases += 1
                return self._members[name]
        except TimeoutError:
            states = "; ".join(f"{name} is {self._state(member)}" for name, member in self._members.items())
            raise NoDaemon(f"no build daemon could be had within {wait_s:g} s: {states}") from None

    def _chosen(self, key: str, apart: str | None) -> str | None:
        members = [member for name, member in self._members.items() if member.breaker.closed and name != apart]
        return choose(key, [member.candidate for member in members])

    def _state(self, member: _Member) -> str:
        if not member.breaker.closed:
            return f"not usable ({member.why})"
        return f"in use by {member.leases} of at most {member.endpoint.leases_max} steps of this worker"

    async def _give_back(self, member: _Member) -> None:
        member.leases -= 1
        await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _watch(self, member: _Member) -> None:
        while True:
            try:
                seen = await member.watcher.look()
            except Exception:  # a mistake of ours must not leave the daemon as it was last seen, for ever
                _log.exception("probe failed", extra={"runner": member.endpoint.name})
                seen = Seen(probe=Probe.FAILED, why="the probe itself failed")
            member.load = seen.load
            changed = breaker.probed(member.breaker, seen.probe, time.monotonic())
            if seen.probe is not Probe.HEALTHY:
                member.why = seen.why
            member.breaker = self._moved(member, changed)
            await self._tell()
            # Workers that started together do not ask together for ever.
            await asyncio.sleep(self._probe_every_s * random.uniform(0.9, 1.1))  # noqa: S311 - spreads load

    def _moved(self, member: _Member, after: Breaker | None) -> Breaker:
        """The breaker as it is now; a change between open and closed is told. None: a step was served."""
        before = member.breaker
        after = breaker.served(before) if after is None else after
        if after.losses > before.losses:
            member.why = "a step lost it"
        if after.closed != before.closed:
            name = member.endpoint.name
            self._gauge.runner_up(name, after.closed)
            if after.closed:
                _log.info("build daemon usable", extra={"runner": name})
            else:
                _log.warning("build daemon not usable", extra={"runner": name, "why": member.why})
        return after
