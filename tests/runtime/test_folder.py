"""Directories go, whatever a build did to them."""

import os
from pathlib import Path

from forge_runtime.folder import remove_folder


def test_folder_goes_with_all_that_it_holds(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "file").write_text("x")
    (folder / "link").symlink_to(tmp_path)

    remove_folder(folder)

    assert list(tmp_path.iterdir()) == []


def test_folder_that_is_not_there_is_gone(tmp_path: Path) -> None:
    remove_folder(tmp_path / "folder")

    assert list(tmp_path.iterdir()) == []


def test_folder_deeper_than_a_path_may_be_goes(tmp_path: Path) -> None:
    top = os.open(tmp_path, os.O_RDONLY)
    os.mkdir("folder", dir_fd=top)
    current = os.open("folder", os.O_RDONLY, dir_fd=top)
    for _ in range(3000):
        os.mkdir("d", dir_fd=current)
        below = os.open("d", os.O_RDONLY, dir_fd=current)
        os.close(current)
        current = below
    os.close(current)
    os.close(top)

    remove_folder(tmp_path / "folder")

    assert list(tmp_path.iterdir()) == []
