"""Links of a checkout that others could be led out by."""

import threading
from pathlib import Path

import pytest

from forge_runtime.git.links import close_links
from forge_runtime.thread import Stopped


def chain(folder: Path, links: int) -> None:
    folder.mkdir()
    for number in range(links):
        (folder / f"l{number}").symlink_to(f"l{number + 1}")
    (folder / f"l{links}").write_text("the end")


def test_of_a_chain_those_links_stay_that_linux_follows_to_its_end(tmp_path: Path) -> None:
    chain(tmp_path / "root", 1_500)

    closed = close_links(tmp_path / "root", threading.Event())

    assert set(closed) == {f"l{number}" for number in range(1_460)}
    assert (tmp_path / "root" / "l1459").read_text() == "l1460"
    assert (tmp_path / "root" / "l1460").is_symlink()
    assert (tmp_path / "root" / "l1460").read_text() == "the end"


def test_a_link_in_a_circle_becomes_a_file(tmp_path: Path) -> None:
    (tmp_path / "there").symlink_to("back")
    (tmp_path / "back").symlink_to("there")

    assert sorted(close_links(tmp_path, threading.Event())) == ["back", "there"]


def test_nothing_is_changed_once_the_job_is_stopped(tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to("..")
    stop = threading.Event()
    stop.set()

    with pytest.raises(Stopped):
        close_links(tmp_path, stop)

    assert (tmp_path / "out").is_symlink()
