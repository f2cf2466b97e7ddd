"""What became of deployments, by the events of their jobs: in any order, any number of times, the same in the end.

Of two that became active the one that was asked for later is, whichever is heard of first. A deployment is named by its
id in the event; what it is of and where is checked against its row.
"""

import logging
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from forge_api.db import query, release_query
from forge_api.db.release_query import ProjectKey
from forge_api.db.release_tables import Deployment, DeploymentStatus
from forge_api.db.tables import DEPLOYMENT_ACTION, Run
from forge_api.service.deployment import activate, can_become, fail
from forge_runtime.event import Event, EventKind
from forge_runtime.job import DeploymentData
from forge_runtime.status import STEP, ChildStatus
from forgec import ids

_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_ACTIVE: Final = DeploymentStatus.ACTIVE

Data = TypeVar("Data", bound=msgspec.Struct)

_log = logging.getLogger(__name__)


async def settle_deployments(session: AsyncSession, events: Sequence[Event]) -> bool:
    """Take over what the events say of deployments; False if they speak of none that is here."""
    known = False
    for event in events:
        if event.kind is not EventKind.DEPLOYMENT:
            continue
        if not STEP.final(event.status):  # changes nothing yet, and does not say which deployment it is of
            known = True
            continue
        deployment = await _deployment_of(session, event)
        if deployment is None:
            _log.warning("event of a deployment that there is not", extra={"job_id": event.job_id})
            continue
        known = True
        await _settle(session, deployment, event)
        await session.flush()
    return known


async def abandon_deployments(session: AsyncSession, run: Run, at: datetime) -> None:
    """End those that the run should have carried out and did not, since nothing of it goes on any more."""
    steps = [step for step in await query.steps(session, run.id) if step.action == DEPLOYMENT_ACTION]
    if not steps:
        return
    projects = {task.id: task.project_name for task in await query.tasks(session, run.id)}
    mine = {
        (ids.release_id(run.repository, projects[step.task_id], run.commit_sha), ids.deployment_environment(step.name))
        for step in steps
    }
    error = {
        "code": "CANCELLED",
        "message": f"run {run.id} ended before it deployed",
        "component": "api",
        "class": "cancelled",
        "timestamp": at.isoformat(),
    }
    pending = await release_query.unsubmitted(session, {release_id for release_id, _ in mine})
    ours = [deployment for deployment in pending if (deployment.release_id, deployment.environment) in mine]
    for deployment in sorted(ours, key=lambda each: each.project):  # in one order, so that nobody waits in a ring
        await release_query.counter(session, ProjectKey(deployment.repository, deployment.project))
        await session.refresh(deployment)
        if deployment.status == DeploymentStatus.PENDING:  # as it is now, and not as it was before the wait
            fail(deployment, error, at)


def data_of(event: Event, kind: type[Data]) -> Data | None:
    """What a job came to as its event tells it; None, and a log line, where that is not what it should be."""
    try:
        return msgspec.convert(event.data, kind)
    except msgspec.ValidationError as error:
        _log.error("result of a job is not one: %s", error, extra={"run_id": event.run_id, "job_id": event.job_id})
        return None


async def _deployment_of(session: AsyncSession, event: Event) -> Deployment | None:
    """The row that the event speaks of, with its project locked."""
    deployment_id, address = event.data.get("deployment_id"), event.address
    if not isinstance(deployment_id, str) or not ids.is_run_id(deployment_id) or address is None:
        return None
    deployment = await release_query.deployment(session, deployment_id)
    if deployment is None or (deployment.project, ids.deployment_step(deployment.environment)) != (
        address.project,
        address.step,
    ):
        return None
    await release_query.counter(session, ProjectKey(deployment.repository, deployment.project))
    await session.refresh(deployment)
    return deployment


async def _settle(session: AsyncSession, deployment: Deployment, event: Event) -> None:
    at = datetime.fromisoformat(event.at)
    if event.status == ChildStatus.SUCCEEDED:
        data = data_of(event, DeploymentData)
        if data is not None and _COMMIT.fullmatch(data.gitops_commit_sha) and can_become(deployment, _ACTIVE):
            await activate(session, deployment, data.gitops_commit_sha, at)
    elif can_become(deployment, DeploymentStatus.FAILED) and await _is_its_last(session, deployment, event):
        fail(deployment, _error(event, at), at)


async def _is_its_last(session: AsyncSession, deployment: Deployment, event: Event) -> bool:
    """Whether no other job can carry out the deployment any more: not a run's where the API submits one itself."""
    return event.run_id == deployment.id or not await release_query.entries_of_deployment(session, deployment.id)


def _error(event: Event, at: datetime) -> dict[str, Any] | None:
    if event.error is not None:
        found: dict[str, Any] = msgspec.to_builtins(event.error)
        return found
    if event.status == ChildStatus.CANCELLED:
        return {
            "code": "CANCELLED",
            "message": "the deployment's job was cancelled",
            "component": "api",
            "class": "cancelled",
            "timestamp": at.isoformat(),
        }
    return None
