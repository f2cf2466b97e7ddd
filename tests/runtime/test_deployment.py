"""The handler of deployment jobs, on a real GitOps repository."""

from pathlib import Path

import pytest
import yaml
from msgspec.structs import replace
from tests.git_repository import git
from tests.runtime import samples
from tests.runtime.attempt import Attempts
from tests.runtime.gitops.origin import install_hook, new_origin

from forge_runtime.envelope import Envelope
from forge_runtime.gitops.writer import GitOpsRepository, PointerWriter
from forge_runtime.job import (
    NO_APPROVAL,
    Approval,
    DeploymentData,
    Git,
    Job,
    JobState,
    ReleaseData,
    RequestedDeployment,
)
from forge_runtime.worker.deployment import DeploymentHandler

FEBRUARY = "01950d00-0000-7000-8000-000000000000"
MARCH = "01955000-0000-7000-8000-000000000000"
PATH = "environments/dev/local/sample/web/release.yaml"


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    return new_origin(tmp_path / "origin.git")


def handler(origin: Path) -> DeploymentHandler:
    repository = GitOpsRepository(clone_url=origin.as_uri())
    return DeploymentHandler(PointerWriter(repository, origin.parent / "writer", allow_file=True))


def job(
    number: int = 42, deployment_id: str = FEBRUARY, environment: str = "dev", approval: Approval = NO_APPROVAL
) -> Job:
    run = samples.run_record(samples.new_run_id(), commit_sha=f"{number:040x}")
    run = replace(run, git=Git(ref="refs/tags/web/v1.2.3", tag="web/v1.2.3"))
    release = ReleaseData(
        release_id="release-1",
        release_number=number,
        oci_uri="registry.example/acme/shop/web",
        oci_digest=f"sha256:{number:064x}",
        aliases=(str(number), "v1.2.3", f"main-{number}"),
    )
    requested = RequestedDeployment(id=deployment_id, environment=environment)
    return Envelope(run, 0.0).deployment_job("web", release, requested, approval)


async def test_deployment_is_a_pointer_in_the_repository(origin: Path, tmp_path: Path) -> None:
    attempts = Attempts(tmp_path)
    wanted = job(approval=Approval(id="approval-1", approved_by="user:bob", approved_at="2026-03-01T10:00:00Z"))

    outcome = await attempts.run(handler(origin), wanted)

    pointer = yaml.safe_load(git(origin, "show", f"main:{PATH}"))
    assert outcome.data == DeploymentData(gitops_commit_sha=git(origin, "rev-parse", "main"), changed=True)
    assert pointer["metadata"]["annotations"]["forge.projectcatalyst.io/requested-at"] == "2025-02-16T04:24:18.688Z"
    assert pointer["spec"] == {
        "release": f"{42:040x}",
        "repository": "local/sample",
        "project": "web",
        "digest": f"sha256:{42:064x}",
        "aliases": {"numeric": "42", "tag": "v1.2.3", "branch": "main-42"},
        "deployedAt": pointer["spec"]["deployedAt"],
        "approvedAt": "2026-03-01T10:00:00Z",
        "approvedBy": "user:bob",
    }
    message = git(origin, "log", "-1", "--format=%B", "main")
    assert f"Forge-Job-Id: {wanted.job_id}\nForge-Run-Id: {wanted.run_id}" in message
    assert f"{PATH}: written in commit" in attempts.log


async def test_job_that_comes_again_changes_nothing(origin: Path, tmp_path: Path) -> None:
    attempts, again = Attempts(tmp_path), job()
    first = await attempts.run(handler(origin), again)

    second = await attempts.run(handler(origin), again)

    assert isinstance(first.data, DeploymentData)
    assert second.data == DeploymentData(gitops_commit_sha=first.data.gitops_commit_sha, changed=False)


async def test_later_request_wins_whichever_job_comes_first(origin: Path, tmp_path: Path) -> None:
    attempts = Attempts(tmp_path)
    await attempts.run(handler(origin), job(43, MARCH))

    outcome = await attempts.run(handler(origin), job(42, FEBRUARY))

    assert outcome.error is not None
    assert (outcome.status, outcome.error.code, outcome.error.error_class) == (
        JobState.FAILED,
        "POLICY_DENIED",
        "policy",
    )
    assert not outcome.error.retryable
    assert MARCH in outcome.error.message


async def test_rule_of_the_server_is_the_jobs_error_and_in_its_log(origin: Path, tmp_path: Path) -> None:
    install_hook(origin, "update", "echo 'frozen until Monday' >&2; exit 1")
    attempts = Attempts(tmp_path)

    outcome = await attempts.run(handler(origin), job())

    assert outcome.error is not None
    assert outcome.error.code == "POLICY_DENIED"
    assert "frozen until Monday" in outcome.error.message
    assert "frozen until Monday" in attempts.log


async def test_repository_that_cannot_be_used_is_no_policy(tmp_path: Path) -> None:
    outcome = await Attempts(tmp_path).run(handler(tmp_path / "none.git"), job())

    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.error_class) == ("GITOPS_PUSH_FAILED", "config")
