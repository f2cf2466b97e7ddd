"""The engine for one machine: runs the emitted Workflow with real dispatcher processes, as Argo would with pods.

submit ── one Execution a workflow, in a task of its own ── dispatcher processes
              │ phases of workflow and nodes
              ▼
          StateStore: survives a restart; ended nodes stay ended, those that ran are started anew
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final

from forge_runtime.engine.execution import Execution
from forge_runtime.engine.port import ManifestRefused, WorkflowPhase, WorkflowStatus
from forge_runtime.engine.reading import Reading, read_manifest
from forge_runtime.engine.state import KEPT_S, Shutdown, StateStore, WorkflowState
from forge_runtime.process import kill_stale_groups

CAPACITY: Final = 16
"""Dispatchers at a time on this machine, over all workflows; the rest wait as pending pods do."""

_log = logging.getLogger(__name__)


class LocalEngine:
    """See the module. `environment` is every dispatcher's, and wins over the manifest's own variables."""

    def __init__(self, directory: Path, *, environment: Mapping[str, str], capacity: int = CAPACITY) -> None:
        self._store = StateStore(directory)
        self._environment = environment
        self._capacity = asyncio.Semaphore(capacity)
        self._running: dict[str, Execution] = {}
        self._states: dict[str, WorkflowState] = {}
        self._watchers: set[asyncio.Queue[WorkflowStatus]] = set()

    async def start(self) -> None:
        """Go on with what a former engine left; its dispatchers, if they still run, are ended first."""
        kill_stale_groups(self._store.groups_directory())
        for state, manifest in self._store.load_all():
            if state.phase.terminal and state.ended_at is not None and time.time() - state.ended_at > KEPT_S:
                self._store.remove(state.name)
                continue
            self._states[state.name] = state
            if not state.phase.terminal:
                self._resume(state, manifest)

    async def close(self) -> None:
        """End the dispatchers and leave the phases as they are, for the next start."""
        tasks = [execution.task for execution in self._running.values() if execution.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def submit(self, manifest: str) -> None:
        reading = read_manifest(manifest)
        if reading.name in self._states:
            return
        state = WorkflowState(name=reading.name, started_at=time.time())
        self._store.create(state, manifest)
        self._states[reading.name] = state
        self._execute(state, reading)

    async def stop(self, name: str) -> None:
        self._shut_down(name, "Stop")

    async def terminate(self, name: str) -> None:
        self._shut_down(name, "Terminate")

    async def status(self, name: str) -> WorkflowStatus | None:
        state = self._states.get(name)
        return state.status if state else None

    async def watch(self) -> AsyncIterator[WorkflowStatus]:
        queue: asyncio.Queue[WorkflowStatus] = asyncio.Queue()
        self._watchers.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._watchers.discard(queue)

    def _resume(self, state: WorkflowState, manifest: str) -> None:
        try:
            reading = read_manifest(manifest)
        except ManifestRefused as refused:  # taken by another version; the other workflows have to go on
            _log.error("workflow cannot be resumed", extra={"workflow": state.name, "why": str(refused)})
            self._give_up(state, str(refused))
        else:
            self._execute(state, reading)

    def _execute(self, state: WorkflowState, reading: Reading) -> None:
        execution = Execution(state, reading, self._store, self._environment, self._capacity)
        self._running[state.name] = execution
        execution.task = asyncio.create_task(self._supervise(execution), name=state.name)

    async def _supervise(self, execution: Execution) -> None:
        state = execution.state
        try:
            self._announce(state)
            await execution.run()
        except Exception as error:
            _log.exception("workflow %s ended by an error of the engine", state.name)
            self._give_up(state, f"engine: {type(error).__name__}: {error}")
        finally:
            self._running.pop(state.name, None)
        self._announce(state)

    def _give_up(self, state: WorkflowState, why: str) -> None:
        state.phase, state.message, state.ended_at = WorkflowPhase.ERROR, why, time.time()
        self._store.save(state)

    def _shut_down(self, name: str, how: Shutdown) -> None:
        execution = self._running.get(name)
        if execution is not None:
            execution.shut_down(how)

    def _announce(self, state: WorkflowState) -> None:
        for queue in self._watchers:
            queue.put_nowait(state.status)
