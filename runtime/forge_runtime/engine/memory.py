"""The double that ships: an engine that starts nothing, for tests of those who use one.

A submitted workflow is Running until `end` is called; `stop` and `terminate` are noted, and change its phase like
Argo would once its pods are gone.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from forge_runtime.engine.port import EngineUnavailable, WorkflowPhase, WorkflowStatus
from forge_runtime.engine.reading import read_manifest


class MemoryEngine:
    """An Engine. `manifests` are those taken, by name; `away` makes every call fail, as an outage does."""

    def __init__(self) -> None:
        self.manifests: Final[dict[str, str]] = {}
        self.stopped: Final[list[str]] = []
        self.terminated: Final[list[str]] = []
        self.away = False
        self._statuses: Final[dict[str, WorkflowStatus]] = {}
        self._watchers: Final[list[asyncio.Queue[WorkflowStatus]]] = []

    async def submit(self, manifest: str) -> None:
        self._require()
        name = read_manifest(manifest).name
        if name not in self.manifests:
            self.manifests[name] = manifest
            self._set(WorkflowStatus(name=name, phase=WorkflowPhase.RUNNING))

    async def stop(self, name: str) -> None:
        self._require()
        self.stopped.append(name)

    async def terminate(self, name: str) -> None:
        self._require()
        self.terminated.append(name)
        if name in self._statuses:
            self.end(name, WorkflowPhase.FAILED, "terminated")

    async def status(self, name: str) -> WorkflowStatus | None:
        self._require()
        return self._statuses.get(name)

    async def watch(self) -> AsyncIterator[WorkflowStatus]:
        changes: asyncio.Queue[WorkflowStatus] = asyncio.Queue()
        self._watchers.append(changes)
        try:
            while True:
                yield await changes.get()
        finally:
            self._watchers.remove(changes)

    def end(self, name: str, phase: WorkflowPhase, message: str = "") -> None:
        """Let a workflow end."""
        self._set(WorkflowStatus(name=name, phase=phase, message=message))

    def forget(self, name: str) -> None:
        """Lose a workflow, as an engine does whose state was deleted."""
        self.manifests.pop(name, None)
        self._statuses.pop(name, None)

    def _set(self, status: WorkflowStatus) -> None:
        self._statuses[status.name] = status
        for changes in self._watchers:
            changes.put_nowait(status)

    def _require(self) -> None:
        if self.away:
            raise EngineUnavailable("the engine does not answer")
