"""Files that a step saves AS LOCAL, in later phases on other workers: real dispatchers, workers, git, host runner."""

import asyncio
import io
import random
import tarfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.earthly.fakes import FakeCli
from tests.runtime import samples
from tests.runtime.machines import Machines, plan_of, step

from forge_runtime.blob import DirectoryBlob
from forge_runtime.bus.memory import MemoryBus
from forge_runtime.dispatcher import Exit
from forge_runtime.envelope import Envelope, earlier_of
from forge_runtime.job import CiData, CiPayload, EarlierStep, Job, ResultReference, StepPayload
from forge_runtime.ledger import Ledger
from forge_runtime.runner.earthly import EarthlyRunner
from forge_runtime.worker.outputs import ARCHIVE_BYTES_MAX, FILES_MAX, Outputs, OutputsRefused
from forge_runtime.worker.results import ResultLost, StoredResults
from forgec.plan.model import Task

EARTHFILE = """VERSION 0.8
FROM alpine:3.20
make:
    RUN mkdir -p out/bin && echo made > out/data && echo '#!/bin/sh' > out/bin/tool && chmod +x out/bin/tool
    SAVE ARTIFACT out/data AS LOCAL ./gen/data
    SAVE ARTIFACT out/bin AS LOCAL tools/
use:
    COPY gen/data tools/bin/tool ./
    RUN test "$(cat data)" = made && test -x tool
again:
    RUN echo newer > data
    SAVE ARTIFACT data AS LOCAL gen/data
both:
    BUILD +make
newest:
    COPY gen/data tools/bin/tool ./
    RUN test "$(cat data)" = newer
"""


@pytest.fixture
async def machines(tmp_path: Path) -> Machines:
    return Machines(MemoryBus(), tmp_path)


async def test_a_later_phase_finds_them_on_another_worker(machines: Machines) -> None:
    await machines.begin(plan_of(("make",), ("use",)), EARTHFILE)

    made = await machines.carry(0, "one")
    used = await machines.carry(1, "two")

    record = await machines.record("web/make")
    assert record is not None
    assert record.result is not None
    outputs = msgspec.convert(record.result.data, CiData).outputs
    assert (made, used) == (Exit.SUCCEEDED, Exit.SUCCEEDED)
    assert outputs is not None
    assert outputs.key.startswith(f"artifact-staging/{machines.run.run_id}/web/p1/make-")


async def test_the_later_of_two_phases_wins_and_targets_that_a_step_builds_count(machines: Machines) -> None:
    await machines.begin(plan_of(("both",), ("again",), ("newest",)), EARTHFILE)

    exits = [await machines.carry(group, machine) for group, machine in enumerate(("one", "two", "one"))]

    assert exits == [Exit.SUCCEEDED] * 3


async def test_an_archive_that_is_not_what_was_stored_is_not_used(machines: Machines) -> None:
    await machines.begin(plan_of(("make",), ("use",)), EARTHFILE)
    await machines.carry(0, "one")
    (archive,) = (machines.folder / "blob" / "artifact-staging").rglob("*.tar.gz")
    data = archive.read_bytes()
    archive.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))

    await machines.carry(1, "two")

    record = await machines.record("web/use")
    assert record is not None
    assert record.result is not None
    assert record.result.error is not None
    assert (record.starts, record.result.error.error_class) == (3, "infra")
    assert "is not the object" in record.result.error.message


async def test_a_step_whose_record_is_lost_is_not_taken_for_one_that_left_nothing(machines: Machines) -> None:
    results = StoredResults(Ledger(machines.bus, 0.0), DirectoryBlob(machines.folder / "blob"), samples.new_run_id())

    with pytest.raises(ResultLost, match=r"p1/make: job .* has no record"):
        await results.outputs("web", EarlierStep("p1", "make"))


async def test_a_runner_that_has_no_use_for_them_says_so(machines: Machines) -> None:
    cli = FakeCli(machines.folder / "cli")
    await machines.begin(plan_of(("make",), ("use",)), EARTHFILE)
    await machines.carry(0, "one")

    await machines.carry(1, "two", EarthlyRunner(cli=str(cli.program)))

    record = await machines.record("web/use")
    assert record is not None
    (log,) = (machines.folder / "blob").rglob("use*.log")
    assert "not in the checkout: what p1/make saved AS LOCAL" in log.read_text()


def test_earlier_steps_are_those_of_the_project_in_groups_before() -> None:
    plan = plan_of(("a", "b"), ("c",), ("d",))

    earlier = earlier_of(plan)

    assert earlier == {
        ("p2", "web"): (EarlierStep("p1", "a"), EarlierStep("p1", "b")),
        ("p3", "web"): (EarlierStep("p1", "a"), EarlierStep("p1", "b"), EarlierStep("p2", "c")),
    }


def test_a_job_of_the_first_phase_says_nothing_of_earlier_ones() -> None:
    job = ci_job(())

    assert b"earlier" not in bytes(job.payload)


REFUSED = {
    "out of the project": ("AS LOCAL ../other/x", "files within the project's directory"),
    "an absolute path": ("AS LOCAL /etc/x", "files within the project's directory"),
    "the project's configuration": ("AS LOCAL .forge/project.cue", "none of .forge, .git, Earthfile"),
    "by a way around": ("AS LOCAL a/../Earthfile", "none of .forge, .git, Earthfile"),
    "of a project below": ("AS LOCAL lib/Earthfile", "none of .forge, .git, Earthfile"),
    "in other letters": ("AS LOCAL earthfile", "none of .forge, .git, Earthfile"),
}


@pytest.mark.parametrize(("local", "words"), REFUSED.values(), ids=REFUSED)
async def test_places_that_are_not_a_steps_own_are_refused(machines: Machines, local: str, words: str) -> None:
    text = f"VERSION 0.8\nmake:\n    RUN echo x > x\n    SAVE ARTIFACT x {local}\n"
    await machines.begin(plan_of(("make",)), text)

    await machines.carry(0, "one")

    record = await machines.record("web/make")
    assert record is not None
    assert record.result is not None
    assert record.result.error is not None
    assert record.result.error.error_class == "config"
    assert words in record.result.error.message


@pytest.mark.parametrize(
    "saved", ["out/Earthfile AS LOCAL ./", "out/* AS LOCAL ./", "out AS LOCAL lib", "out/.git AS LOCAL ./"]
)
async def test_what_decides_what_runs_is_refused_under_whatever_name_it_is_saved(
    machines: Machines, saved: str
) -> None:
    make = "mkdir -p out/.git && echo x > out/Earthfile && echo x > out/.git/config"
    await machines.begin(plan_of(("make",)), f"VERSION 0.8\nmake:\n    RUN {make}\n    SAVE ARTIFACT {saved}\n")

    await machines.carry(0, "one")

    record = await machines.record("web/make")
    assert record is not None
    assert record.result is not None
    assert record.result.error is not None
    assert record.result.error.error_class == "config"
    assert "none of .forge, .git, Earthfile" in record.result.error.message


async def test_equal_files_are_an_equal_archive_and_links_count_as_what_they_lead_to(tmp_path: Path) -> None:
    digests = set()
    for name in ("one", "two"):
        folder = tmp_path / name
        (folder / "d").mkdir(parents=True)
        (folder / "d" / "file").write_text("text")
        (folder / "link").symlink_to("d/file")
        reference = await Outputs(DirectoryBlob(tmp_path / "blob")).keep(
            ci_job(()), payload(()), folder, tmp_path / "archive"
        )
        assert reference is not None
        digests.add(reference.sha256)

    assert len(digests) == 1


async def test_nothing_saved_is_nothing_stored(tmp_path: Path) -> None:
    outputs = Outputs(DirectoryBlob(tmp_path / "blob"))

    assert await outputs.keep(ci_job(()), payload(()), tmp_path / "none", tmp_path / "archive") is None
    assert not (tmp_path / "blob").exists()


async def test_too_many_files_are_refused(tmp_path: Path) -> None:
    for number in range(FILES_MAX + 1):
        (tmp_path / f"f{number}").touch()

    with pytest.raises(OutputsRefused, match="make it an artifact"):
        await Outputs(DirectoryBlob(tmp_path / "blob")).keep(ci_job(()), payload(()), tmp_path, tmp_path / "archive")


async def test_packing_ends_where_the_archive_is_too_large(tmp_path: Path) -> None:
    folder, archive = tmp_path / "folder", tmp_path / "archive"
    folder.mkdir()
    for number in range(3):  # no more than that is read of them
        (folder / str(number)).write_bytes(random.Random(number).randbytes(ARCHIVE_BYTES_MAX // 2))

    with pytest.raises(OutputsRefused, match=f"more than {ARCHIVE_BYTES_MAX} bytes packed"):
        await Outputs(DirectoryBlob(tmp_path / "blob")).keep(ci_job(()), payload(()), folder, archive)

    assert archive.stat().st_size <= ARCHIVE_BYTES_MAX


def archive_of(name: str, kind: bytes, link: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, link
        tar.addfile(member, io.BytesIO(b""))
    return buffer.getvalue()


HOSTILE = {
    "a path out": archive_of("../../evil", tarfile.REGTYPE),
    "an absolute path": archive_of("/tmp/evil-of-forge", tarfile.REGTYPE),
    "a link": archive_of("link", tarfile.SYMTYPE, "/etc/passwd"),
    "what decides what runs": archive_of("lib/Earthfile", tarfile.REGTYPE),
    "a device": archive_of("null", tarfile.CHRTYPE),
    "no archive": b"\x1f\x8b" + b"nonsense",
    "cut off": archive_of("x", tarfile.REGTYPE)[:20],
}


class Given:
    """Every earlier step left this archive."""

    def __init__(self, archive: bytes) -> None:
        self._archive = archive

    async def left(self, project: str, earlier: EarlierStep) -> ResultReference:
        raise AssertionError("not asked")

    async def outputs(self, project: str, earlier: EarlierStep) -> bytes:
        return self._archive

    async def artifact(self, result: Any) -> Any:
        raise AssertionError("not asked")


def lay(archive: bytes, folder: Path) -> None:
    outputs = Outputs(DirectoryBlob(folder / "blob"))
    earlier = payload((EarlierStep("p1", "make"),))
    asyncio.run(outputs.lay(earlier, Given(archive), folder / "checkout", folder / "aside"))


@pytest.mark.parametrize("archive", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_archive_is_refused_and_leaves_nothing_outside(tmp_path: Path, archive: bytes) -> None:
    (tmp_path / "checkout" / "web").mkdir(parents=True)

    with pytest.raises(OutputsRefused, match="files of p1/make cannot be used"):
        lay(archive, tmp_path)

    assert [path for path in tmp_path.rglob("*") if not path.is_dir()] == []
    assert not Path("/tmp/evil-of-forge").exists()


def test_a_project_directory_that_became_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "checkout").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "checkout" / "web").symlink_to(tmp_path / "outside")

    with pytest.raises(OutputsRefused, match="leads out of the repository"):
        lay(archive_of("x", tarfile.REGTYPE), tmp_path)

    assert not any((tmp_path / "outside").iterdir())


def payload(earlier: tuple[EarlierStep, ...]) -> CiPayload:
    step_payload = StepPayload(name="make", action="earthly", target="+make")
    return CiPayload(phase="p1", project="web", project_path="web", step=step_payload, earlier=earlier)


def ci_job(earlier: tuple[EarlierStep, ...]) -> Job:
    run = samples.run_record(samples.new_run_id())
    envelope = Envelope(run, 0.0, earlier={("p1", "web"): earlier} if earlier else {})
    return envelope.ci_job("p1", Task(project="web", path="web", waves=()), step("make"))
