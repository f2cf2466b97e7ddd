"""Every id of the platform that can be computed. Nothing else invents one.

A run's id is a UUIDv7 made by the API (so ids sort by time); everything below a run is a uuid5 of it and of the
thing's path, so compiler, dispatcher, worker and API agree without asking each other, and a repeated submission
is the same job. No attempt, pod name or retry is part of an id.
"""

import re
import uuid
from typing import Final

FORGE_NS: Final = uuid.UUID("6f1f3c1e-5a58-5c1b-9d6b-8e0b1c7f4a52")
"""Namespace of ids that belong to no run (releases, the name of an offline compilation)."""

WORKFLOW_PREFIX: Final = "forge-"

DISCOVERY_PHASE: Final = "_discovery"
DISCOVERY_TASK: Final = "_repository"
DISCOVERY_STEP: Final = "discover"
RELEASE_PHASE: Final = "_release"
"""Reserved phases: a user's phase cannot begin with an underscore."""

RELEASE_STEP: Final = "release"
"""Of a released project, between the steps of its artifacts and those of its deployments."""

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def new_run_id(unix_ms: int, random_bits: bytes) -> str:
    """UUIDv7 from milliseconds since 1970 and 10 random bytes (clock and randomness are the caller's)."""
    assert len(random_bits) == 10
    value = (unix_ms & (2**48 - 1)) << 80 | int.from_bytes(random_bits)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))


def is_run_id(text: str) -> bool:
    """A UUID in lower case, as every run id is written."""
    return _UUID.fullmatch(text) is not None


def phase_id(run_id: str, phase: str) -> str:
    return _below(run_id, f"phase:{phase}")


def task_id(run_id: str, phase: str, project: str) -> str:
    return _below(run_id, f"task:{phase}/{project}")


def step_id(run_id: str, phase: str, project: str, step: str) -> str:
    return _below(run_id, f"step:{phase}/{project}/{step}")


def job_id(run_id: str, phase: str, project: str, step: str) -> str:
    return _below(run_id, f"job:{phase}/{project}/{step}")


def discovery_job_id(run_id: str) -> str:
    return job_id(run_id, DISCOVERY_PHASE, DISCOVERY_TASK, DISCOVERY_STEP)


def artifact_step(artifact: str) -> str:
    return f"artifact:{artifact}"


def deployment_step(environment: str) -> str:
    return f"deploy:{environment}"


def deployment_environment(step: str) -> str | None:
    """Of a deployment's step the environment; of any other None."""
    prefix = deployment_step("")
    return step.removeprefix(prefix) if step.startswith(prefix) else None


def release_id(repository: str, project: str, commit_sha: str) -> str:
    return str(uuid.uuid5(FORGE_NS, f"{repository}/{project}/{commit_sha}"))


def release_alias_id(release_id: str, alias: str) -> str:
    return _below(release_id, f"alias:{alias}")


def release_artifact_id(release_id: str, artifact: str) -> str:
    return _below(release_id, f"artifact:{artifact}")


def offline_run_id(plan_digest: str) -> str:
    """The run id of a compilation that no run asked for: depends on the plan alone."""
    return str(uuid.uuid5(FORGE_NS, plan_digest))


def workflow_name(run_id: str) -> str:
    """`forge-<run id>`, 42 characters: submitting a run twice is one workflow."""
    return WORKFLOW_PREFIX + run_id


def run_id_of_workflow(name: str) -> str:
    """The run of a workflow's name; ValueError where it is none of ours."""
    run_id = name.removeprefix(WORKFLOW_PREFIX)
    if run_id == name or not is_run_id(run_id):
        raise ValueError(f'"{name}" is not the name of a run\'s workflow (forge-<uuid>)')
    return run_id


def _below(parent_id: str, path: str) -> str:
    return str(uuid.uuid5(uuid.UUID(parent_id), path))
