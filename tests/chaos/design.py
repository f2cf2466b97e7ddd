"""What a trial asks of a design: how its processes are started, and what can be said when they are done."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.chaos.observer import Observer
from tests.chaos.schedule import Size


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of the jobs. `counts` is shown as it is; `findings` are promises that were not kept."""

    jobs: int
    executions: int
    twice: int
    """Jobs whose completion counted more than once."""
    lost: int
    """Jobs whose end nobody was told, or can find out."""
    stuck: int
    """Messages that are still in the queue although nobody works on them."""
    counts: dict[str, int]
    findings: list[str] = field(default_factory=list)


class Design(Protocol):
    """One trial of one design: `prepare` it, start its processes, `settle` it, and ask for the verdict."""

    name: str

    async def prepare(self, size: Size, folder: Path) -> None: ...
    def watched(self, observer: Observer) -> AbstractAsyncContextManager[None]:
        """Tell the observer what can be seen from outside."""
        ...

    async def catch_up(self, observer: Observer) -> None:
        """Tell it what it may have missed while the server was away."""
        ...

    def worker(self, name: str) -> list[str]: ...
    def services(self) -> dict[str, list[str]]:
        """Arguments by name of what runs beside, untouched by faults."""
        ...

    def dispatchers(self) -> dict[str, list[str]]:
        """Arguments by name."""
        ...

    def last_dispatchers(self) -> dict[str, list[str]]:
        """Those that are started when the others have ended."""
        ...

    async def cancel_run(self) -> None:
        """End a run early, as its owner may."""
        ...

    async def settle(self) -> None:
        """Wait, within a limit, for what the workers still have to do when the dispatchers have ended."""
        ...

    async def verdict(self) -> Verdict:
        """When no process of the trial is left."""
        ...

    def ended_well(self, dispatcher: str, exit_code: int) -> bool:
        """Once there is a verdict."""
        ...

    async def close(self) -> None: ...
