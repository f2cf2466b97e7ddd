"""The jobs of a release as the envelope makes them."""

import msgspec
import pytest
from msgspec.structs import replace
from tests.runtime import samples

from forge_runtime.bus.memory import MemoryBus
from forge_runtime.envelope import PAYLOAD_BYTES_MAX, Envelope, PayloadTooLarge, address_of
from forge_runtime.job import (
    RESULT_INLINE_BYTES_MAX,
    Git,
    Job,
    JobRecord,
    JobResult,
    JobState,
    ReleaseData,
    ReleasePayload,
    ReleaseTrigger,
    RequestedDeployment,
    decode_job,
    encode,
    new_error,
)
from forge_runtime.run import RunRecord
from forgec import ids

RUN = samples.run_record(samples.new_run_id())
WEB = samples.released("web", "image")
RELEASE = ReleaseData(release_id="1", release_number=1, oci_uri="", oci_digest="sha256:1")


@pytest.mark.parametrize(
    ("run", "trigger"),
    [
        (
            replace(RUN, trigger_type="push", git=Git(ref="refs/heads/main", branch="main")),
            ReleaseTrigger(trigger_type="branch_push", branch="main"),
        ),
        (
            replace(RUN, trigger_type="push", git=Git(ref="refs/tags/web/v1", tag="web/v1")),
            ReleaseTrigger(trigger_type="tag", tag="web/v1"),
        ),
        (
            replace(RUN, git=Git(ref="refs/heads/main", branch="main"), triggered_by="user:ada"),
            ReleaseTrigger(trigger_type="manual", triggered_by="user:ada"),
        ),
    ],
)
def test_release_is_told_what_triggered_it(run: RunRecord, trigger: ReleaseTrigger) -> None:
    job = Envelope(run, 0.0).release_job(WEB, [])

    assert msgspec.json.decode(job.payload, type=ReleasePayload).trigger == trigger


def test_each_job_of_a_release_has_its_place_and_its_id() -> None:
    envelope = Envelope(RUN, 0.0)
    jobs = {
        "artifact:image": envelope.artifact_job(WEB, "image"),
        "release": envelope.release_job(WEB, []),
        "deploy:dev": envelope.deployment_job("web", RELEASE, RequestedDeployment(id="1", environment="dev")),
    }

    for step, job in jobs.items():
        address = address_of(decode_job(encode(job)))
        assert (address.phase, address.project, address.step) == (ids.RELEASE_PHASE, "web", step)
        assert job.job_id == ids.job_id(RUN.run_id, ids.RELEASE_PHASE, "web", step)


@pytest.mark.parametrize("environment", ["../prod", "Prod", "a.b", "", "a" * 64])
def test_environment_that_is_no_name_is_refused(environment: str) -> None:
    data = {**msgspec.to_builtins(RELEASE), "deployments": [{"id": "1", "environment": environment}]}

    with pytest.raises(msgspec.ValidationError, match="environment"):
        msgspec.convert(data, ReleaseData)


async def test_record_of_the_largest_job_has_room_for_the_largest_result() -> None:
    largest = _job_of(PAYLOAD_BYTES_MAX)
    error = new_error("INTERNAL", "infra", "x" * 2048, component="worker.artifacts", now=0.0)
    result = JobResult(
        job_id=largest.job_id,
        status=JobState.FAILED,
        data={"bulk": "x" * RESULT_INLINE_BYTES_MAX},
        error=replace(error, context={"tail": ["x" * 500] * 200}),
    )
    record = JobRecord(state=JobState.FAILED, job=largest, submitted_at=0.0, result=result)

    await MemoryBus().jobs.create("state.run.job", encode(record))

    with pytest.raises(PayloadTooLarge, match='step "artifact:image" of project "web" in phase "_release"'):
        _job_of(PAYLOAD_BYTES_MAX + 1)


def _job_of(payload_bytes: int) -> Job:
    """An artifact's job whose payload is so large."""

    def job(bulk_bytes: int) -> Job:
        publishers = {**WEB.publishers, "docs": {"bulk": "x" * bulk_bytes}}
        return Envelope(RUN, 0.0).artifact_job(replace(WEB, publishers=publishers), "image")

    return job(payload_bytes - len(bytes(job(0).payload)))
