"""What services work with: settings, the database, and the ports to everything else."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from forge_api.db.session import Database
from forge_api.metrics import ApiMetrics
from forge_api.problem import Problem, unavailable
from forge_api.settings import ApiSettings
from forge_runtime.blob import Blob
from forge_runtime.bus.port import Bus, BusUnavailable
from forge_runtime.engine.port import Engine, EngineUnavailable
from forge_runtime.ledger import Ledger
from forge_runtime.log_store import KnownParts
from forge_runtime.span import JobSpans, Tracer, Untraced

REQUEST_PATIENCE_S: Final = 2.0
"""How long a request waits for a bus that is away; its caller may ask again."""

BACKGROUND_PATIENCE_S: Final = 20.0

AWAY: Final = (BusUnavailable, EngineUnavailable, Problem)
"""A part of the platform does not answer: background work waits and goes on, and nothing is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The world outside. `connect` gives the bus, provisioned, or raises BusUnavailable within 10 s or so."""

    connect: Callable[[], Awaitable[Bus]]
    engine: Engine
    blob: Blob
    now: Callable[[], datetime]
    random: Callable[[int], bytes]
    running: Callable[[], AbstractAsyncContextManager[None]] = nullcontext
    """What must run as long as the API does (an embedded engine)."""
    tracer: Tracer = field(default_factory=Untraced)


@dataclass(slots=True, kw_only=True)
class Platform:
    """One running API. `bus` is None until the first connection; `work` wakes who drains the outbox."""

    settings: ApiSettings
    database: Database
    ports: Ports
    metrics: ApiMetrics
    bus: Bus | None = None
    draining: bool = False
    work: asyncio.Event = field(default_factory=asyncio.Event)
    log_parts: KnownParts = field(default_factory=KnownParts)

    def now(self) -> datetime:
        return self.ports.now().astimezone(UTC)

    def ledger(self, patience_s: float) -> Ledger:
        """Job records and cancel flags; Problem 503 while there is no bus."""
        if self.bus is None:
            raise unavailable("NATS")
        return Ledger(
            bus=self.bus,
            patience_s=patience_s,
            clock=lambda: self.now().timestamp(),
            observers=(self.metrics.jobs, JobSpans(self.ports.tracer)),
        )
