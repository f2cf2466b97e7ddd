"""A worker's own directory: one process has it at a time."""

from pathlib import Path

import pytest

from forge_runtime.settings import BadSettings
from forge_runtime.worker.__main__ import parse_arguments
from forge_runtime.worker.place import only_one


def test_second_worker_of_a_name_is_told_which_name_and_where(tmp_path: Path) -> None:
    with only_one(tmp_path / "worker-1"), pytest.raises(BadSettings, match=r"--name worker-1: .*/worker-1"):  # noqa: SIM117
        with only_one(tmp_path / "worker-1", wait_s=0):
            pass


def test_directory_is_free_when_its_worker_has_ended(tmp_path: Path) -> None:
    with only_one(tmp_path / "worker-1"):
        pass

    with only_one(tmp_path / "worker-1", wait_s=0), only_one(tmp_path / "worker-2", wait_s=0):
        begun = sorted(path.name for path in tmp_path.iterdir())

    assert begun == ["worker-1", "worker-2"]


def test_worker_without_a_disk_starts_all_the_same_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()

    with only_one(tmp_path / "file" / "worker-1", wait_s=0):
        told = [record.getMessage() for record in caplog.records]

    assert told == ["cannot see whether another worker has this directory"]


@pytest.mark.parametrize("name", ["", ".", "..", "../other", "a/b", "a\nb", "$(POD_NAME)"])
def test_name_that_is_no_directorys_is_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse_arguments(["--pools", "tasks", "--name", name])

    assert "--name" in capsys.readouterr().err
