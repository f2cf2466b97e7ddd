"""What the engine for one machine remembers of a workflow, as files that survive it.

    <directory>/<workflow>/workflow.yaml   the manifest as submitted
                           state.json      phases of the workflow and its nodes, replaced as a whole by rename
                           nodes/<id>/     a node's log and output parameters

A node that ended stays ended after a restart; one that was running is started again, which its dispatcher allows.
"""

import shutil
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct

from forge_runtime.engine.port import WorkflowPhase, WorkflowStatus

Shutdown = Literal["", "Stop", "Terminate"]
"""Argo's `spec.shutdown`: Stop runs the exit handler, Terminate does not."""

KEPT_S: Final = 24 * 3600
"""How long an ended workflow's files are kept: what the manifest's own time to live says of a failed one."""


class NodeState(Struct, kw_only=True):
    """A leaf: `phase` is Argo's word for a node; `attempts` counts the dispatchers that ended."""

    phase: Literal["Running", "Succeeded", "Failed", "Error"] = "Running"
    message: str = ""
    exit_code: int | None = None
    attempts: int = 0
    outputs: dict[str, str] = {}

    @property
    def ended(self) -> bool:
        return self.phase != "Running"


class WorkflowState(Struct, kw_only=True):
    """`started_at`, `ended_at`: unix seconds. `main` is the phase of everything but the exit handler."""

    name: str
    started_at: float
    phase: WorkflowPhase = WorkflowPhase.RUNNING
    main: WorkflowPhase = WorkflowPhase.RUNNING
    message: str = ""
    shutdown: Shutdown = ""
    ended_at: float | None = None
    nodes: dict[str, NodeState] = {}

    @property
    def status(self) -> WorkflowStatus:
        return WorkflowStatus(name=self.name, phase=self.phase, message=self.message)


class StateStore:
    """The directory of all workflows of one engine."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def create(self, state: WorkflowState, manifest: str) -> None:
        """The manifest first: a workflow exists once its state does."""
        directory = self._directory / state.name
        directory.mkdir(exist_ok=True)
        _replace(directory / "workflow.yaml", manifest.encode())
        self.save(state)

    def save(self, state: WorkflowState) -> None:
        _replace(self._directory / state.name / "state.json", msgspec.json.encode(state))

    def load_all(self) -> list[tuple[WorkflowState, str]]:
        """Every workflow with its manifest; what has no readable state was never accepted, and is removed."""
        found = []
        for directory in sorted(path for path in self._directory.iterdir() if path.is_dir()):
            try:
                state = msgspec.json.decode((directory / "state.json").read_bytes(), type=WorkflowState)
                found.append((state, (directory / "workflow.yaml").read_text()))
            except (OSError, msgspec.MsgspecError):
                shutil.rmtree(directory, ignore_errors=True)
        return found

    def remove(self, name: str) -> None:
        shutil.rmtree(self._directory / name, ignore_errors=True)

    def node_directory(self, workflow: str, node_id: str) -> Path:
        directory = self._directory / workflow / "nodes" / node_id
        directory.mkdir(parents=True, exist_ok=True)
        return directory

    def groups_directory(self) -> Path:
        """Where the process groups of living dispatchers are noted (a file, so no workflow of that name exists)."""
        return self._directory.parent / f"{self._directory.name}.groups"


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_bytes(data)
    temporary.replace(path)
