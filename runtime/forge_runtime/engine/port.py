"""The engine port: what runs a workflow's dispatchers in order. Argo in a cluster, `local` on one machine.

An engine knows manifests and phases, nothing of jobs. Its word says that nothing runs any more, not how a run ended:
that is derived from the run's job records.
"""

import enum
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol


class WorkflowPhase(enum.StrEnum):
    """Argo's own words for the phase of a workflow."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    ERROR = "Error"

    @property
    def terminal(self) -> bool:
        return self not in (WorkflowPhase.PENDING, WorkflowPhase.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowStatus:
    """`message` says in words why a failed workflow failed."""

    name: str
    phase: WorkflowPhase
    message: str = ""


class ManifestRefused(Exception):
    """The engine does not accept this manifest (a field it does not know, a name that does not resolve)."""


class EngineUnavailable(Exception):
    """The engine did not answer; every call may be repeated."""


class Engine(Protocol):
    async def submit(self, manifest: str) -> None:
        """Start the Workflow of this YAML (or JSON); a name that is there already is success."""
        ...

    async def stop(self, name: str) -> None:
        """End its dispatchers and run the exit handler; unknown or ended: nothing to do."""
        ...

    async def terminate(self, name: str) -> None:
        """End everything, the exit handler included."""
        ...

    async def status(self, name: str) -> WorkflowStatus | None: ...

    def watch(self) -> AsyncIterator[WorkflowStatus]:
        """Each change of a workflow's phase from now on; may miss some across a restart."""
        ...
