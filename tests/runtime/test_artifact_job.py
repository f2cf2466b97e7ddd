"""The handler of artifact jobs: a real repository and runner, the real registry and API, publishers and servers."""

import asyncio
import hashlib
import json
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NoReturn

import msgspec
import pytest
import pytest_asyncio
from tests.runtime.artifact_stage import EARTHFILE, REPOSITORY, SECRET, Stage, open_stage
from tests.runtime.produce.hostile import tar_of
from tests.runtime.produce.image_runner import ImageRunner
from tests.runtime.publish.things import image_layout

from forge_api.registry.faults import Answers, Fault
from forge_runtime.job import ArtifactData, ErrorRecord, JobState, ReleaseTrigger, Sbom
from forge_runtime.oci.image import Blob, Manifest
from forge_runtime.oci.reference import Reference, parse_reference
from forge_runtime.oci.tracking import LAYER_ANNOTATION
from forge_runtime.publish.port import Publication
from forge_runtime.release_client import HttpReleaseClient, NewRelease, Published, ReleasedArtifact
from forge_runtime.supply.provenance import STATEMENT_MEDIA_TYPE
from forge_runtime.supply.sbom import find_syft
from forge_runtime.supply.sign import (
    ENVELOPE_MEDIA_TYPE,
    KeySigner,
    SigningFailed,
    signature_reference,
    verify_envelope,
    verify_image,
)
from forge_runtime.worker.handler import Outcome

TOOL = b"#!/bin/sh\necho hello\n"
DIGEST = f"sha256:{hashlib.sha256(TOOL).hexdigest()}"


@pytest_asyncio.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with open_stage(tmp_path) as opened:
        yield opened


def tracked(data: ArtifactData) -> Reference:
    return parse_reference(data.tracking_oci_uri).at(data.tracking_oci_digest)


async def tracking_image(stage: Stage, data: ArtifactData) -> tuple[Manifest, dict[str, bytes]]:
    """The manifest, and its layers by their kind."""
    manifest = await stage.registry.get_manifest(tracked(data))
    assert manifest is not None
    layers = {
        layer.annotations[LAYER_ANNOTATION]: await stage.registry.get_blob(tracked(data), layer)
        for layer in manifest.layers
    }
    return manifest, layers


def error_of(outcome: Outcome) -> ErrorRecord:
    assert outcome.status is JobState.FAILED
    assert outcome.error is not None
    return outcome.error


async def test_an_artifact_is_built_described_published_and_tracked(stage: Stage) -> None:
    data = await stage.made(stage.job(tag="web/v1.2.0"))

    assert data.outputs == {
        "executable": "tool",
        "arch": "any",
        "os": "any",
        "size": len(TOOL),
        "digest": DIGEST,
        "static": False,
    }
    hub, downloads = data.published_locations
    assert (hub.publisher, hub.status, hub.uri) == ("hub", "published", "hub.example/acme/web_tool:v1.2.0")
    assert (downloads.status, downloads.uri) == ("published", "https://github.example/download/1/tool")
    assert downloads.metadata["release_url"] == "https://github.example/acme/releases/tag/web/v1.2.0"
    assert list(stage.github.content.values()) == [TOOL]
    assert data.tracking_oci_uri == f"{stage.host}/tracking/acme/shop/web/tool:sha-{stage.job().commit_sha}"
    for said in ("+tool | --> RUN", "digest sha256:", "hub: hub.example/acme", "tracked as"):
        assert said in stage.attempts.log


async def test_the_tracking_image_says_what_it_is_and_how_it_was_made(stage: Stage) -> None:
    job = stage.job()

    data = await stage.made(job)

    manifest, layers = await tracking_image(stage, data)
    metadata = json.loads(layers["metadata"])
    assert metadata["outputs"] == data.outputs
    assert [each["uri"] for each in metadata["published_locations"]] == [each.uri for each in data.published_locations]
    statement = json.loads(layers["attestation"])
    assert statement["subject"] == [{"name": "tool", "digest": {"sha256": DIGEST.removeprefix("sha256:")}}]
    definition = statement["predicate"]["buildDefinition"]
    assert definition["externalParameters"]["producer"] == {"earthly": {"target": "+tool"}}
    assert definition["resolvedDependencies"][0]["digest"] == {"gitCommit": job.commit_sha}
    assert isinstance(stage.signer, KeySigner)
    assert verify_envelope(layers["signature"], STATEMENT_MEDIA_TYPE, stage.signer.verifier) == layers["attestation"]
    referrers = await stage.registry.referrers(tracked(data))
    assert len(referrers) == len(manifest.layers) - 1
    signatures = await stage.registry.get_manifest(signature_reference(tracked(data)))
    assert signatures is not None
    payload = await stage.registry.get_blob(tracked(data), signatures.layers[0])
    verify_image(tracked(data), Blob(descriptor=signatures.layers[0], content=payload), stage.signer.verifier)


@pytest.mark.skipif(find_syft() is None, reason="syft is not installed")
async def test_an_archive_has_a_bill_of_what_is_in_it_the_same_each_time(stage: Stage) -> None:
    stage.syft = find_syft()
    recipe = "echo 'left==1.2.3' > site/requirements.txt; echo 'p {}'"
    stage.commit({"web/Earthfile": EARTHFILE.replace("echo 'p {}'", recipe)})

    data = await stage.made(stage.job("site", kind="archive", to=("hub",)))

    _, layers = await tracking_image(stage, data)
    assert data.sbom == Sbom(format="syft-json", digest=f"sha256:{hashlib.sha256(layers['sbom']).hexdigest()}")
    bill = json.loads(layers["sbom"])
    assert bill["source"]["name"] == "site"
    assert [(each["name"], each["version"]) for each in bill["artifacts"]] == [("left", "1.2.3")]
    assert await stage.made(stage.job("site", kind="archive", to=("hub",), run=2)) == data


async def test_an_image_is_published_with_its_bill_provenance_and_signature(stage: Stage, tmp_path: Path) -> None:
    layer = tar_of(tmp_path / "layer.tar", {"app/package.json": b'{"name": "left", "version": "1.2.3"}'}, "w")
    image = image_layout(tmp_path / "image", {"one": layer.read_bytes()})
    stage.runner, stage.syft = ImageRunner(image.path), find_syft()

    data = await stage.made(stage.job("image", kind="container", to=("hub",), tag="web/v1.2.0"))

    assert data.outputs["digest"] == data.published_locations[0].metadata["digest"] == image.digest
    assert data.published_locations[0].uri == "hub.example/acme/web_image:v1.2.0"
    there = parse_reference(f"{stage.host}/acme/web_image@{image.digest}")
    kinds = {each.artifact_type for each in await stage.registry.referrers(there)}
    assert kinds == {"application/vnd.syft+json", STATEMENT_MEDIA_TYPE, ENVELOPE_MEDIA_TYPE}
    assert await stage.registry.resolve(signature_reference(there)) is not None
    _, layers = await tracking_image(stage, data)
    assert json.loads(layers["attestation"])["subject"][0]["digest"] == {"sha256": image.digest.removeprefix("sha256:")}
    assert json.loads(layers["sbom"])["source"]["type"] == "image"


async def test_another_run_finds_everything_there_and_has_the_same_result(stage: Stage) -> None:
    first = await stage.made(stage.job())
    stage.attempts.now += 1000.0

    second = await stage.made(stage.job(run=2))

    assert second == first
    assert stage.github.uploads == 1
    assert stage.attempts.log.count("(was there already)") == 2


UNSTEADY = EARTHFILE.replace("chmod +x tool", "date +%s%N >> tool; chmod +x tool")


async def test_an_attempt_publishes_what_the_one_before_it_built(tmp_path: Path) -> None:
    fault = Fault(what=Answers(status=503), method="PUT", path="/tracking/", times=5)
    async with open_stage(tmp_path, [fault]) as stage:
        stage.commit({"web/Earthfile": UNSTEADY})
        first = await stage.make(stage.job(to=("downloads",)))

        second = await stage.made(stage.job(to=("downloads",)))

        assert error_of(first).code == "PUSH_FAILED"
        assert "was built by an earlier attempt" in stage.attempts.log
        assert stage.github.uploads == 1
        assert [each.status for each in second.published_locations] == ["published"]
        assert not [file for file in (tmp_path / "objects").rglob("*") if file.is_file()]


async def test_what_was_staged_badly_is_built_again(tmp_path: Path) -> None:
    fault = Fault(what=Answers(status=503), method="PUT", path="/tracking/", times=5)
    async with open_stage(tmp_path, [fault]) as stage:
        await stage.make(stage.job(to=("hub",)))
        (staged,) = (tmp_path / "objects").rglob("file")
        staged.write_bytes(b"#!another")

        data = await stage.made(stage.job(to=("hub",)))

        assert data.outputs["digest"] == DIGEST
        assert "RUN" in stage.attempts.log


async def test_a_directory_becomes_an_archive_that_is_the_same_each_time(stage: Stage) -> None:
    first = await stage.made(stage.job("site", kind="archive", to=("hub",)))
    second = await stage.made(stage.job("site", kind="archive", to=("hub",), run=2))

    assert (first.outputs["format"], first.outputs["entries"]) == ("tar.gz", 2)
    assert second == first


async def test_an_artifact_for_nobody_is_tracked_as_well(stage: Stage) -> None:
    data = await stage.made(stage.job(to=()))

    assert data.published_locations == ()
    assert (await stage.registry.resolve(tracked(data))) is not None


async def test_a_publisher_that_is_refused_leaves_the_others_alone(stage: Stage) -> None:
    stage.github.token = "another"

    data = await stage.made(stage.job(to=("downloads", "hub")))

    downloads, hub = data.published_locations
    assert (downloads.status, hub.status) == ("failed", "published")
    assert downloads.error is not None
    assert (downloads.error.code, downloads.error.error_class) == ("PUBLISHER_FAILED", "config")
    assert "401" in downloads.error.message
    _, layers = await tracking_image(stage, data)
    statuses = [each["status"] for each in json.loads(layers["metadata"])["published_locations"]]
    assert statuses == ["failed", "published"]


async def test_a_publisher_that_does_not_answer_may_do_so_another_time(stage: Stage) -> None:
    stage.github_url = "http://127.0.0.1:9"

    data = await stage.made(stage.job())

    error = data.published_locations[1].error
    assert error is not None
    assert (error.error_class, error.retryable) == ("infra", True)


class MistakenPublisher:
    """One with a fault of its own."""

    async def publish(self, publication: Publication) -> NoReturn:
        raise ValueError(f"unforeseen, with {publication.settings['registry']} and {SECRET}")


async def test_a_publisher_that_fails_unforeseen_leaves_the_others_alone(stage: Stage) -> None:
    stage.more_publishers = {"docker": MistakenPublisher()}

    data = await stage.made(stage.job())

    hub, downloads = data.published_locations
    assert (hub.status, downloads.status) == ("failed", "published")
    assert hub.error is not None
    assert (hub.error.code, hub.error.error_class) == ("PUBLISHER_FAILED", "internal")
    assert hub.error.message == "publisher hub: ValueError: unforeseen, with hub.example and ***"
    assert await stage.registry.get_manifest(tracked(data)) is not None


async def test_a_second_run_publishes_what_the_first_could_not(stage: Stage) -> None:
    stage.github.token = "another"
    first = await stage.made(stage.job())
    stage.github.token = SECRET

    second = await stage.made(stage.job(run=2))

    assert [each.status for each in second.published_locations] == ["published", "published"]
    assert second.published_locations[0] == first.published_locations[0]
    assert second.tracking_oci_digest != first.tracking_oci_digest


def files_with(text: bytes, folder: Path) -> list[Path]:
    """Logs, scratch, the registry's blobs, the git cache, the database."""
    return [file for file in folder.rglob("*") if file.is_file() and text in file.read_bytes()]


async def test_a_secret_is_found_nowhere_that_it_was_not_put(stage: Stage, tmp_path: Path) -> None:
    published = await stage.make(stage.job())
    stage.github.token = "another"  # which answers with the token that it was shown
    stage.commit({"web/greeting": "hello again"})

    refused = await stage.make(stage.job())

    assert "Bad credentials Bearer ***" in stage.attempts.log
    for outcome in (published, refused):
        assert outcome.data is not None
        assert SECRET not in msgspec.json.encode(outcome.data).decode()
    assert files_with(SECRET.encode(), tmp_path) == []


async def test_a_missing_bill_of_materials_is_a_warning(stage: Stage) -> None:
    data = await stage.made(stage.job())

    assert data.sbom is None
    assert "warning: no bill of materials: syft ended with exit code 3" in stage.attempts.log


class BrokenSigner:
    """A key service that is away."""

    key_id = "0" * 64

    def sign(self, data: bytes) -> bytes:
        raise SigningFailed("the key cannot be used")


async def test_what_cannot_be_signed_is_not_published(stage: Stage) -> None:
    stage.signer = BrokenSigner()

    error = error_of(await stage.make(stage.job()))

    assert (error.code, error.retryable) == ("SIGNING_FAILED", False)
    assert stage.github.content == {}


async def test_without_a_key_nothing_is_signed_and_the_log_says_so(stage: Stage) -> None:
    stage.signer = None

    data = await stage.made(stage.job())

    _, layers = await tracking_image(stage, data)
    assert "signature" not in layers
    assert "not signed" in stage.attempts.log


@pytest.mark.parametrize(("status", "error_class"), [(503, "infra"), (403, "config")], ids=["it is away", "it refuses"])
async def test_a_tracking_image_that_cannot_be_pushed_fails_the_job(
    tmp_path: Path, status: int, error_class: str
) -> None:
    fault = Fault(what=Answers(status=status), method="PUT", path="/manifests/", times=1000)
    async with open_stage(tmp_path, [fault]) as stage:
        outcome = await stage.make(stage.job(to=("downloads",)))

        error = error_of(outcome)
        assert (error.code, error.error_class) == ("PUSH_FAILED", error_class)


async def test_a_target_that_fails_is_told_with_its_place_and_its_last_words(stage: Stage) -> None:
    stage.commit({"web/Earthfile": EARTHFILE.replace("chmod +x tool", "echo no such compiler; exit 4")})

    outcome = await stage.make(stage.job())

    error = error_of(outcome)
    assert (error.code, error.error_class, outcome.exit_code) == ("PRODUCER_FAILED", "user", 4)
    assert error.cause is not None
    assert error.cause.code == "STEP_FAILED"
    assert error.location is not None
    assert error.location.file == "web/Earthfile"
    assert "+tool | no such compiler" in error.context["tail"]


async def test_a_target_that_takes_too_long_is_ended(stage: Stage) -> None:
    stage.commit({"web/Earthfile": EARTHFILE.replace("chmod +x tool", "sleep 60")})
    job = stage.job()
    limits = msgspec.structs.replace(job.limits, start_to_close_s=1.0)

    error = error_of(await stage.make(msgspec.structs.replace(job, limits=limits)))

    assert (error.code, error.error_class) == ("PRODUCER_FAILED", "timeout")


@pytest.mark.parametrize(
    ("recipe", "kind", "reason"),
    [
        ("RUN true", "binary", "saved nothing"),
        ("RUN echo a > a; echo b > b\n    SAVE ARTIFACT a\n    SAVE ARTIFACT b", "binary", "2 files where one"),
        ("RUN echo hello > a\n    SAVE ARTIFACT a", "binary", "is no executable"),
        ("RUN echo hello > a\n    SAVE ARTIFACT a", "archive", "no archive of a known format"),
        ("RUN echo a > a; echo b > b\n    SAVE ARTIFACT a\n    SAVE ARTIFACT b", "archive", "2 things where one"),
        ("RUN mkdir a\n    SAVE ARTIFACT a", "archive", "without any file"),
        ("RUN ln -s /etc/passwd a\n    SAVE ARTIFACT a", "archive", "saved|leads out"),
        ("RUN mkdir d; ln -s ../../../../etc/passwd d/a\n    SAVE ARTIFACT d", "archive", "leads out|saved"),
        ("RUN mkdir d; mkfifo d/pipe\n    SAVE ARTIFACT d", "archive", "no regular file|neither a file"),
        (
            "RUN mkdir d; echo x > \"d/a$(printf '\\n')b\"; echo y > \"$(printf 'd/a\\tb')\"\n    SAVE ARTIFACT d",
            "archive",
            "printed",
        ),
        ("SAVE IMAGE web:latest", "container", "earthly runner"),
    ],
)
async def test_a_target_that_saves_something_else_makes_no_artifact(
    stage: Stage, recipe: str, kind: str, reason: str
) -> None:
    stage.commit({"web/Earthfile": f"VERSION 0.8\nFROM alpine:3.20\nodd:\n    {recipe}\n"})

    outcome = await stage.make(stage.job("odd", kind=kind))

    error = error_of(outcome)
    assert error.code == "PRODUCER_FAILED"
    assert any(part in error.message for part in reason.split("|")), error.message
    assert stage.github.asked == []


async def test_a_commit_that_is_not_there_is_told(stage: Stage) -> None:
    job = msgspec.structs.replace(stage.job(), commit_sha="f" * 40)

    assert error_of(await stage.make(job)).code == "COMMIT_NOT_FOUND"


async def test_without_its_secret_nothing_is_built(stage: Stage) -> None:
    stage.secrets.clear()

    error = error_of(await stage.make(stage.job()))

    assert (error.code, error.error_class) == ("SECRET_UNRESOLVED", "config")
    assert "publishers/github" in error.message
    assert "RUN" not in stage.attempts.log


async def register(stage: Stage, data: ArtifactData, *, failed: bool = False) -> None:
    """A release of the origin's commit, as release jobs register it."""
    published = [
        Published(publisher=each.publisher, status=each.status, uri=each.uri, metadata=each.metadata)
        for each in data.published_locations
    ]
    if failed:
        published[0] = Published(publisher=published[0].publisher, status="failed")
    artifact = ReleasedArtifact(
        name=data.artifact_name,
        type=data.type,
        tracking_oci_uri=data.tracking_oci_uri,
        tracking_oci_digest=data.tracking_oci_digest,
        primary_published_uri=data.published_locations[0].uri,
        published=tuple(published),
    )
    client = HttpReleaseClient(stage.api_http, "http://localhost", stage.folder / "tokens" / "worker-release")
    await client.register(
        NewRelease(
            repository=REPOSITORY,
            project="web",
            commit_sha=stage.job().commit_sha,
            oci_uri=f"{stage.host}/releases/acme/shop/web:x",
            oci_digest="sha256:" + "1" * 64,
            trigger=ReleaseTrigger(trigger_type="branch_push", branch="main"),
            artifacts=(artifact,),
        )
    )


async def test_an_artifact_of_a_complete_release_is_not_built_again(stage: Stage) -> None:
    first = await stage.made(stage.job())
    await register(stage, first)
    asked = len(stage.github.asked)

    again = await stage.made(stage.job(run=2))

    assert again == msgspec.structs.replace(first, sbom=None)
    assert "RUN" not in stage.attempts.log
    assert len(stage.github.asked) == asked


async def test_an_artifact_of_a_partial_release_is_built_again(stage: Stage) -> None:
    first = await stage.made(stage.job())
    await register(stage, first, failed=True)

    again = await stage.made(stage.job(run=2))

    assert again == first
    assert "RUN" in stage.attempts.log


async def test_an_api_that_does_not_answer_may_do_so_another_time(stage: Stage) -> None:
    job = stage.job()
    handler = stage.handler()
    handler._releases = HttpReleaseClient(stage.http, "http://127.0.0.1:9", stage.folder / "tokens" / "worker-artifact")

    error = error_of(await stage.attempts.run(handler, job))

    assert (error.code, error.error_class) == ("INTERNAL", "infra")


def written(file: Path) -> int:
    """What a command of another process writes there, once it has."""
    deadline = time.monotonic() + 30
    while not file.exists() or not file.read_text().endswith("\n"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return int(file.read_text())


async def test_a_job_that_is_cancelled_ends_its_commands(stage: Stage, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    stage.commit({"web/Earthfile": EARTHFILE.replace("chmod +x tool", f"echo $$ > {begun}; exec sleep 100")})
    work = asyncio.create_task(stage.make(stage.job()))
    process_id = await asyncio.to_thread(written, begun)

    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work

    with pytest.raises(ProcessLookupError):
        os.kill(process_id, 0)
