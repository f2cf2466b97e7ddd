"""The producer with the host runner: what a target saves, told as references in deployment resources may name it."""

from pathlib import Path

import pytest
from tests.runtime.produce.hostile import tar_of, zip_of
from tests.runtime.produce.image_runner import ImageRunner
from tests.runtime.publish.things import image_layout

from forge_runtime.job import ErrorRecord
from forge_runtime.produce.earthly import EarthlyProducer, Production, TargetFailed, content_type_of
from forge_runtime.produce.product import Archive, Binary, Container, ProducerFailed, Product, outputs_of
from forge_runtime.runner.host import HostRunner
from forge_runtime.runner.port import StepRunner


async def ignore(_line: str) -> None:
    return None


async def produce(tmp_path: Path, earthfile: str, kind: str = "archive", runner: StepRunner | None = None) -> Product:
    workspace = tmp_path / "workspace"
    (workspace / "web").mkdir(parents=True, exist_ok=True)
    (workspace / "web" / "Earthfile").write_text(f"VERSION 0.8\nFROM alpine:3.20\n{earthfile}")
    production = Production(
        name="thing",
        type=kind,
        producer={"earthly": {"target": "+thing", "args": ["--LEVEL=high"]}},
        workspace=workspace,
        project_path="web",
        scratch=tmp_path / "scratch",
        timeout_s=60.0,
        environment={"FORGE_ARTIFACT": "thing"},
    )
    production.scratch.mkdir()
    return await EarthlyProducer(runner or HostRunner()).produce(production, ignore)


async def test_a_file_that_can_be_executed_is_a_binary(tmp_path: Path) -> None:
    run = "RUN (echo '#!/bin/sh'; echo $LEVEL $FORGE_ARTIFACT) > bin"
    recipe = f"thing:\n    ARG LEVEL\n    {run}\n    SAVE ARTIFACT bin dist/\n"

    binary = await produce(tmp_path, recipe, "binary")

    assert isinstance(binary, Binary)
    assert binary.path.read_text() == "#!/bin/sh\nhigh thing\n"
    assert (binary.executable, binary.arch, binary.size) == ("bin", "any", 21)
    assert "path" not in outputs_of(binary)


async def test_a_directory_is_packed_under_the_artifacts_name(tmp_path: Path) -> None:
    archive = await produce(
        tmp_path, "thing:\n    RUN mkdir -p site/a; echo 1 > site/a/b; echo 2 > site/c\n    SAVE ARTIFACT site\n"
    )

    assert isinstance(archive, Archive)
    assert (archive.path.name, archive.format, archive.entries) == ("thing.tar.gz", "tar.gz", 2)
    assert archive.digest.startswith("sha256:")


async def test_an_archive_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "workspace" / "web").mkdir(parents=True)
    packed = zip_of(tmp_path / "workspace" / "web" / "tidy-1.0-py3-none-any.whl", {"tidy.py": b"", "a/b": b"x"})

    archive = await produce(tmp_path, "thing:\n    COPY *.whl .\n    SAVE ARTIFACT *.whl\n")

    assert isinstance(archive, Archive)
    assert archive.path.read_bytes() == packed.read_bytes()
    assert (archive.format, archive.entries, archive.content_type) == ("zip", 2, "python-wheel")


async def test_an_archive_that_must_not_be_unpacked_is_refused(tmp_path: Path) -> None:
    (tmp_path / "workspace" / "web").mkdir(parents=True)
    tar_of(tmp_path / "workspace" / "web" / "evil.tar.gz", {"../../etc/cron.d/evil": b"x"})

    with pytest.raises(ProducerFailed, match="leads out of the archive"):
        await produce(tmp_path, "thing:\n    COPY evil.tar.gz .\n    SAVE ARTIFACT evil.tar.gz\n")


async def test_a_target_that_fails_is_told_with_the_runners_word(tmp_path: Path) -> None:
    with pytest.raises(TargetFailed) as failed:
        await produce(tmp_path, "thing:\n    RUN exit 3\n")

    assert (failed.value.error.code, failed.value.outcome.exit_code) == ("STEP_FAILED", 3)


async def test_an_image_is_a_container(tmp_path: Path) -> None:
    expected = image_layout(tmp_path / "layout", {"one": b"layer"})

    container = await produce(tmp_path, "", "container", ImageRunner(expected.path))

    assert isinstance(container, Container)
    assert outputs_of(container) == {
        "image_ref": "",
        "image_id": expected.image_id,
        "digest": expected.digest,
        "size": expected.size,
        "layers": 1,
    }


async def test_a_target_without_an_image_makes_no_container(tmp_path: Path) -> None:
    with pytest.raises(ProducerFailed, match="saved no image: name it with SAVE IMAGE"):
        await produce(tmp_path, "", "container", ImageRunner(None))


async def test_where_no_image_can_be_built_the_runner_says_so(tmp_path: Path) -> None:
    with pytest.raises(TargetFailed) as failed:
        await produce(tmp_path, "thing:\n    SAVE IMAGE web:latest\n", "container")

    error: ErrorRecord = failed.value.error
    assert error.code == "CONFIG_INVALID"
    assert "earthly runner" in error.message


@pytest.mark.parametrize(
    ("file", "names", "kind"),
    [
        ("a.whl", {"a.py"}, "python-wheel"),
        ("a-1.0.crate", {"a-1.0/Cargo.toml"}, "rust-crate"),
        ("a.tar.gz", {"a-1.0/PKG-INFO", "a-1.0/a.py"}, "python-sdist"),
        ("a.zip", {"cue.mod/module.cue"}, "cue-module"),
        ("a.tgz", {"package/package.json"}, "npm-package"),
        ("a.tar.gz", {"index.html"}, None),
    ],
)
def test_an_archive_is_what_its_files_say(file: str, names: set[str], kind: str | None) -> None:
    assert content_type_of(file, names) == kind
