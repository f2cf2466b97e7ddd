"""Images by way of the container engine: a program that behaves as Docker's command line does, and the runner."""

import asyncio
import io
import json
import os
import sys
import tarfile
from pathlib import Path

import pytest
from tests.runtime.runner.step import EarthlyStep

from forge_runtime.job import JobState
from forge_runtime.process import LINE_BYTES_MAX
from forge_runtime.runner.image import EngineImages, ImageUnavailable

ENGINE = """
import json, sys, tarfile, io, time
from pathlib import Path
here = Path(__file__).parent
script = json.loads((here / "engine.json").read_text())
with (here / "engine.log").open("a") as log:
    log.write(json.dumps(sys.argv[1:]) + "\\n")
if sys.argv[1] == "version":
    if not script.get("up", True):
        sys.exit("Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?")
    print("28.2.2")
elif sys.argv[1:3] == ["image", "save"]:
    file, name = sys.argv[sys.argv.index("-o") + 1], sys.argv[-1]
    if script.get("hang"):
        (here / "saving").write_text("")
        time.sleep(60)
    if name not in script.get("images", []):
        sys.exit(f"Error response from daemon: reference does not exist: {name}")
    with tarfile.open(file, "w") as tar:
        for member in script.get("members", ["oci-layout", "index.json", "manifest.json"]):
            tar.addfile(tarfile.TarInfo(member), io.BytesIO())
elif sys.argv[1:3] == ["image", "rm"]:
    print(f"Untagged: {sys.argv[3]}")
"""


class Engine:
    def __init__(self, folder: Path, name: str = "docker") -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        (folder / "engine.py").write_text(ENGINE)
        self.program = folder / name
        self.program.write_text(f'#!/bin/sh\nexec {sys.executable} {folder}/engine.py "$@"\n')
        self.program.chmod(0o755)
        self.behave(images=["app:1"])

    def behave(self, **script: object) -> None:
        (self.folder / "engine.json").write_text(json.dumps(script))

    @property
    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in (self.folder / "engine.log").read_text().splitlines()]

    @property
    def images(self) -> EngineImages:
        found = {self.program.name: str(self.program)}
        return EngineImages(environment={"PATH": os.environ["PATH"]}, which=found.get)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path / "engine")


def test_an_image_becomes_an_oci_archive_and_leaves_the_engine(engine: Engine, tmp_path: Path) -> None:
    asyncio.run(engine.images.export("app:1", tmp_path / "image.tar"))

    with tarfile.open(tmp_path / "image.tar") as tar:
        assert "oci-layout" in tar.getnames()
    assert engine.calls[-1] == ["image", "rm", "app:1"]


def test_an_image_that_cannot_be_saved_leaves_the_engine_too(engine: Engine, tmp_path: Path) -> None:
    engine.behave(images=[])

    with pytest.raises(ImageUnavailable):
        asyncio.run(engine.images.export("app:1", tmp_path / "image.tar"))

    assert engine.calls[-1] == ["image", "rm", "app:1"]


def test_an_image_whose_step_is_cancelled_leaves_the_engine_too(engine: Engine, tmp_path: Path) -> None:
    engine.behave(images=["app:1"], hang=True)
    os.mkfifo(engine.folder / "saving")

    async def cancel() -> None:
        task = asyncio.create_task(engine.images.export("app:1", tmp_path / "image.tar"))
        async with asyncio.timeout(20):
            await asyncio.to_thread((engine.folder / "saving").read_bytes)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())

    assert engine.calls[-1] == ["image", "rm", "app:1"]


def test_podman_is_asked_for_the_form(tmp_path: Path) -> None:
    engine = Engine(tmp_path / "engine", "podman")

    asyncio.run(engine.images.export("app:1", tmp_path / "image.tar"))

    assert engine.calls[1][:4] == ["image", "save", "--format", "oci-archive"]


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
        ({"images": []}, "app:1", "reference does not exist"),
        ({"images": ["app:1"], "members": ["manifest.json"]}, "app:1", "Docker 25 or newer"),
        ({}, "--output=/etc/x", "not the name of an image"),
    ],
)
def test_what_cannot_be_exported_is_told(
    engine: Engine, tmp_path: Path, script: dict[str, object], image: str, words: str
) -> None:
    engine.behave(**script)

    with pytest.raises(ImageUnavailable, match=words) as caught:
        asyncio.run(engine.images.export(image, tmp_path / "image.tar"))

    assert caught.value.away == (words == "reference does not exist")


def test_a_step_gives_its_image(earthly: EarthlyStep, engine: Engine) -> None:
    archive = earthly.root / "image.tar"
    earthly.wanted, earthly.images = {"save_image": archive}, engine.images
    earthly.cli.behave(image="app:1")

    outcome = earthly.run()

    assert outcome.status is JobState.SUCCEEDED
    assert "--image" in earthly.argv
    assert tarfile.is_tarfile(io.BytesIO(archive.read_bytes()))


@pytest.mark.parametrize(
    ("engine_script", "cli_script", "words"),
    [
        ({"up": False}, {"image": "app:1"}, "no container engine on this worker"),
        ({"images": ["app:1"]}, {}, "has to give one image by SAVE IMAGE; it gives: none"),
        ({"images": []}, {"image": "app:1"}, "reference does not exist"),
    ],
)
def test_a_step_that_cannot_give_its_image_fails(
    earthly: EarthlyStep,
    engine: Engine,
    engine_script: dict[str, object],
    cli_script: dict[str, object],
    words: str,
) -> None:
    earthly.wanted, earthly.images = {"save_image": earthly.root / "image.tar"}, engine.images
    engine.behave(**engine_script)
    earthly.cli.behave(**cli_script)

    outcome = earthly.run()

    assert outcome.status is JobState.FAILED
    assert outcome.error
    assert words in outcome.error.message


def test_nothing_is_built_for_an_image_that_nobody_could_take_out(earthly: EarthlyStep, engine: Engine) -> None:
    earthly.wanted, earthly.images = {"save_image": earthly.root / "image.tar"}, engine.images
    engine.behave(up=False)

    earthly.run()

    assert earthly.cli.calls == []


BAR = b"          ./libs/x+test | "
SAID = b"Image x output as other/private:latest"

DISGUISED = {
    "the rest of a line that was cut": BAR + b"A" * (LINE_BYTES_MAX - len(BAR)) + SAID,
    "the rest of a line that was cut often": BAR + b"A" * (20 * LINE_BYTES_MAX - len(BAR)) + SAID,
    "over the beginning of the line": BAR + b"\r" + SAID,
}


@pytest.mark.parametrize("printed", DISGUISED.values(), ids=DISGUISED)
def test_what_a_command_prints_never_names_the_image(earthly: EarthlyStep, engine: Engine, printed: bytes) -> None:
    earthly.wanted, earthly.images = {"save_image": earthly.root / "image.tar"}, engine.images
    engine.behave(images=["other/private:latest"])
    earthly.cli.behave(raw=(printed + b"\n").hex())

    outcome = earthly.run()

    assert any(SAID.decode() in line for line in earthly.lines)
    assert outcome.error
    assert "it gives: none" in outcome.error.message
    assert not [call for call in engine.calls if call[0] == "image"]
