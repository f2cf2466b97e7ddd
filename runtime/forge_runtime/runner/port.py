"""The step runner port: run one Earthfile target of one project in a prepared workspace."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from forge_runtime.job import ErrorRecord, JobState
from forge_runtime.mask import Mask

LineSink = Callable[[str], Awaitable[None]]
"""Takes one line of output without its line break."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRequest:
    """What to run.

    `workspace` is the root of a checkout that this step alone uses; `project_path` is relative to it ("." is the root);
    `target` begins with "+"; `scratch` is an empty directory of this step for everything else it writes.
    `timeout_s` bounds the run time. `environment` holds what the step sees besides a minimal base (PATH, HOME, LANG).
    `secrets` are values by the names that the Earthfile knows them by; a command sees those that its RUN asks for, and
    `mask` hides them in the output.

    `affinity` says where its cache lies: steps with the same text go to the same build daemon while they can (the
    repository and the project; "" is the project's path).

    `outputs_to` is a directory that is filled with what the target saves AS LOCAL into its project, by its place there;
    a runner that `keeps_outputs` does so. The step's own checkout stays as it is.

    `save_to` is a directory that is made, and filled with what the target's SAVE ARTIFACT gives, each under its saved
    name; no link in it leads out of it. `save_image` is a file that becomes an OCI archive of the target's SAVE IMAGE;
    a runner that cannot give one fails with CONFIG_INVALID. A request has at most one of the two.
    """

    workspace: Path
    project_path: str
    target: str
    args: tuple[str, ...]
    scratch: Path
    timeout_s: float
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    mask: Mask = field(default_factory=Mask, repr=False)
    affinity: str = ""
    outputs_to: Path | None = None
    save_to: Path | None = None
    save_image: Path | None = None

    def __post_init__(self) -> None:
        if self.save_to is not None and self.save_image is not None:
            raise ValueError("one request saves artifacts or an image, not both")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOutcome:
    """`status` is succeeded, failed or cancelled; a failed one has an error (STEP_FAILED, STEP_TIMEOUT, ...).

    `exit_code` is the failing command's own, where there was one.
    """

    status: JobState
    exit_code: int | None = None
    error: ErrorRecord | None = None


class StepRunner(Protocol):
    """Cancelling the task that awaits `run` ends the step's whole process group before the call returns."""

    @property
    def name(self) -> str: ...

    @property
    def keeps_outputs(self) -> bool:
        """Whether files that a step saves AS LOCAL are given to later phases."""
        ...

    def serving(self) -> AbstractAsyncContextManager[None]:
        """What has to be held for as long as steps run: probes of build daemons, where the runner has some."""
        ...

    async def run(self, request: StepRequest, output: LineSink) -> StepOutcome: ...
