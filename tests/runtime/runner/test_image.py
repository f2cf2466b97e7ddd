"""Images by way of the container engine: its command line, and the runner."""

import asyncio
import io
import os
import tarfile
from pathlib import Path

import pytest
from tests.runtime.runner.engine import Engine
from tests.runtime.runner.step import EarthlyStep

from forge_runtime.job import JobState
from forge_runtime.process import LINE_BYTES_MAX
from forge_runtime.runner.image import EngineImages, ImageUnavailable

NEW, OLD = "sha256:9e3b", "sha256:1c77"


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path / "engine")


def test_an_image_becomes_an_oci_archive_and_leaves_the_engine(engine: Engine, tmp_path: Path) -> None:
    engine.held = {"app:1": NEW, "other:1": OLD}

    asyncio.run(engine.images.export("app:1", tmp_path / "image.tar"))

    with tarfile.open(tmp_path / "image.tar") as tar:
        assert "oci-layout" in tar.getnames()
    assert engine.held == {"other:1": OLD}


def test_an_image_that_cannot_be_saved_leaves_the_engine_too(engine: Engine, tmp_path: Path) -> None:
    engine.held = {"app:1": NEW}
    engine.behave(damaged=True)

    with pytest.raises(ImageUnavailable):
        asyncio.run(engine.images.export("app:1", tmp_path / "image.tar"))

    assert engine.held == {}


def test_an_image_whose_step_is_cancelled_leaves_the_engine_too(engine: Engine, tmp_path: Path) -> None:
    engine.held = {"app:1": NEW}
    engine.behave(hang=True)
    os.mkfifo(engine.folder / "saving")

    async def cancel() -> None:
        task = asyncio.create_task(engine.images.export("app:1", tmp_path / "image.tar"))
        async with asyncio.timeout(20):
            await asyncio.to_thread((engine.folder / "saving").read_bytes)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())

    assert engine.held == {}


@pytest.mark.parametrize(("prefix", "image"), [("localhost/", "app"), ("docker.io/library/", "app:latest")])
def test_podman_is_asked_for_the_form_and_by_its_own_name(tmp_path: Path, prefix: str, image: str) -> None:
    engine = Engine(tmp_path / "engine", "podman")
    engine.held = {"app:latest": NEW}
    engine.behave(prefix=prefix)

    asyncio.run(engine.images.export(image, tmp_path / "image.tar"))

    (save,) = [call for call in engine.calls if call[:2] == ["image", "save"]]
    assert save[:4] == ["image", "save", "--format", "oci-archive"]
    assert save[-1] == f"{prefix}app:latest"
    assert engine.held == {}


def test_an_engine_that_does_not_answer_keeps_what_was_built_and_that_is_told(
    engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine.behave(up=False)

    asyncio.run(engine.images.forget("app:1", tmp_path))

    assert "an image stays in the container engine" in caplog.messages


def test_no_engine_says_what_to_do(tmp_path: Path) -> None:
    images = EngineImages(environment={}, which=lambda _name: None)

    with pytest.raises(ImageUnavailable, match=r"neither docker nor podman is installed.*give the worker one"):
        asyncio.run(images.check(tmp_path))


def test_an_engine_that_is_not_there_is_told_in_its_own_words(engine: Engine, tmp_path: Path) -> None:
    engine.behave(up=False)

    with pytest.raises(ImageUnavailable, match="Cannot connect to the Docker daemon"):
        asyncio.run(engine.images.check(tmp_path))


@pytest.mark.parametrize(
    ("script", "image", "words"),
    [
        ({}, "app:2", "does not have the image"),
        ({"damaged": True}, "app:1", "Error response from daemon"),
        ({"members": ["manifest.json"]}, "app:1", "Docker 25 or newer"),
        ({}, "--output=/etc/x", "not the name of an image"),
        ({}, "app@sha256:9e3b", "not the name of an image"),
        ({}, NEW, "does not have the image"),
    ],
)
def test_what_cannot_be_exported_is_told(
    engine: Engine, tmp_path: Path, script: dict[str, object], image: str, words: str
) -> None:
    engine.held = {"app:1": NEW}
    engine.behave(**script)

    with pytest.raises(ImageUnavailable, match=words) as caught:
        asyncio.run(engine.images.export(image, tmp_path / "image.tar"))

    assert caught.value.away == (words in ("does not have the image", "Error response from daemon"))


@pytest.fixture
def step(earthly: EarthlyStep, engine: Engine) -> EarthlyStep:
    """A step that is wanted as an image."""
    earthly.wanted, earthly.images = {"save_image": earthly.root / "image.tar"}, engine.images
    return earthly


def test_a_step_gives_its_image(step: EarthlyStep, engine: Engine) -> None:
    step.cli.behave(images={"app:1": NEW}, engine=str(engine.program))

    outcome = step.run()

    assert outcome.status is JobState.SUCCEEDED
    assert "--image" in step.argv
    assert tarfile.is_tarfile(io.BytesIO((step.root / "image.tar").read_bytes()))
    assert engine.held == {}


@pytest.mark.parametrize(
    ("engine_script", "cli_script", "words"),
    [
        ({"up": False}, {"images": {"app:1": NEW}}, "no container engine on this worker"),
        ({}, {}, "has to give one image by SAVE IMAGE; it gives: none"),
        ({}, {"images": {"app:1": NEW, "app:2": NEW}}, "it gives: app:1, app:2"),
        ({"damaged": True}, {"images": {"app:1": NEW}}, "Error response from daemon"),
    ],
)
def test_a_step_that_cannot_give_its_image_fails(
    step: EarthlyStep,
    engine: Engine,
    engine_script: dict[str, object],
    cli_script: dict[str, object],
    words: str,
) -> None:
    engine.behave(**engine_script)
    step.cli.behave(engine=str(engine.program), **cli_script)

    outcome = step.run()

    assert outcome.status is JobState.FAILED
    assert outcome.error
    assert words in outcome.error.message
    assert engine.held == {}


def test_nothing_is_built_for_an_image_that_nobody_could_take_out(step: EarthlyStep, engine: Engine) -> None:
    engine.behave(up=False)

    step.run()

    assert step.cli.calls == []


BAR = b"          ./libs/x+test | "
SAID = b"Image x output as other/private:latest"

DISGUISED = {
    "as RUN --raw-output prints": SAID,
    "the rest of a line that was cut": BAR + b"A" * (LINE_BYTES_MAX - len(BAR)) + SAID,
    "the rest of a line that was cut often": BAR + b"A" * (20 * LINE_BYTES_MAX - len(BAR)) + SAID,
    "over the beginning of the line": BAR + b"\r" + SAID,
}


@pytest.mark.parametrize("printed", DISGUISED.values(), ids=DISGUISED)
def test_what_a_command_prints_never_names_the_image(step: EarthlyStep, engine: Engine, printed: bytes) -> None:
    engine.held = {"other/private:latest": OLD}
    step.cli.behave(raw=(printed + b"\n").hex())

    outcome = step.run()

    assert any(SAID.decode() in line for line in step.lines)
    assert outcome.error
    assert "it gives: none" in outcome.error.message
    assert {call[1] for call in engine.calls if call[0] == "image"} == {"ls"}
    assert engine.held == {"other/private:latest": OLD}


@pytest.mark.parametrize(
    ("made", "succeeds"),
    [
        ({"app:1": NEW}, True),
        ({"app:1": OLD}, True),
        ({"app:1": NEW, "app:2": NEW}, False),
    ],
    ids=["another image took its name", "the same image, built from a warm cache", "and the step fails"],
)
def test_an_image_that_the_engine_had_before_keeps_its_name(
    step: EarthlyStep, engine: Engine, made: dict[str, str], succeeds: bool
) -> None:
    engine.held = {"app:1": OLD, "other:1": OLD}
    step.cli.behave(images=made, engine=str(engine.program))

    outcome = step.run()

    assert (outcome.status is JobState.SUCCEEDED) == succeeds
    assert engine.held == {"app:1": OLD, "other:1": OLD}
