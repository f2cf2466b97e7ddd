"""Configuration that people see and discovery does not, in real directories."""

from pathlib import Path

import pytest

from forgec.adapter.git import open_tree
from forgec.diagnostic import Code, ForgeError
from forgec.discovery.discover import discover
from forgec.discovery.files import ForgeFiles
from forgec.discovery.trigger import Trigger
from forgec.discovery.unseen import unseen

REPO = 'package repo\nforgeVersion: "v1.0.0"\ntagging: strategy: "monorepo"\n'


def written(root: Path, *paths: str) -> ForgeFiles:
    """The paths as files; `a -> b` as a symbolic link."""
    for path in paths:
        name, arrow, target = path.partition(" -> ")
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        if arrow:
            (root / name).symlink_to(target)
        else:
            (root / name).write_text(REPO)
    return ForgeFiles(open_tree(root)[0])


@pytest.mark.parametrize(
    ("paths", "reason"),
    [
        (("a/.forge -> ../b",), "a/.forge is a symbolic link; discovery follows none"),
        (("a/.forge -> .",), "a/.forge is a symbolic link; discovery follows none"),
        (("a/.forge/project.cue -> x",), "a/.forge/project.cue is a symbolic link; discovery follows none"),
        (("a/.forge/.git", "a/.forge/x"), "a/.forge is a submodule: its files belong to another repository"),
        (("a/.forge",), "a/.forge is a file, not a directory"),
        (("a/.forge/project.cue/x",), "a/.forge/project.cue is a directory, not a file"),
        (("a/.FORGE/project.cue",), "a/.FORGE is not called .forge: case matters"),
        (("a/.forge/PROJECT.cue",), "a/.forge/PROJECT.cue is not called project.cue"),
        ((".forge/proejct.cue",), ".forge/proejct.cue is not called project.cue"),
    ],
)
def test_what_looks_like_a_project_and_is_none_is_told_once(
    tmp_path: Path, paths: tuple[str, ...], reason: str
) -> None:
    (found,) = unseen(written(tmp_path, *paths))

    assert found.code is Code.CONFIG_UNSEEN
    assert found.message == f"no project is seen here: {reason}"


@pytest.mark.parametrize(
    "paths",
    [
        ("a/.forge/project.cue", "a/.forge/projects.txt", "a/.forge/README.md"),
        ("a/.forge/README.md",),
        (".forge/repo.cue", ".forge/Repo.cue"),
        ("link -> a", "a/forge/project.cue", "a/x.forge/project.cue"),
    ],
)
def test_nothing_is_told_of_what_is_seen_or_is_something_else(tmp_path: Path, paths: tuple[str, ...]) -> None:
    assert list(unseen(written(tmp_path, *paths))) == []


def test_nothing_is_told_of_what_is_ignored(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("a/.Forge/\n")

    assert list(unseen(written(tmp_path, "a/.Forge/project.cue"))) == []


@pytest.mark.parametrize(
    ("paths", "advice"),
    [
        ((".forge",), ".forge is a file, not a directory"),
        ((".forge/repo.cue/x",), ".forge/repo.cue is a directory, not a file"),
        ((".forge/repo.cue -> x",), ".forge/repo.cue is a symbolic link; discovery follows none"),
        ((".forge -> x",), ".forge is a symbolic link; discovery follows none"),
        ((".forge/repo.CUE",), "it is called .forge/repo.CUE here, and case matters"),
    ],
)
def test_a_repo_file_that_is_not_seen_is_explained(tmp_path: Path, paths: tuple[str, ...], advice: str) -> None:
    written(tmp_path, *paths)

    with pytest.raises(ForgeError) as caught:
        discover(open_tree(tmp_path)[0], Trigger())

    (finding,) = caught.value.diagnostics
    assert (finding.code, finding.help) == (Code.REPO_CONFIG_MISSING, advice)


@pytest.mark.parametrize(
    ("paths", "place", "message"),
    [
        (("a/.forge/project.cue", "a/.forge/more.cue"), "a/.forge/more.cue", "this file is not read: a project's"),
        (("a/.forge/settings.cue",), "a/.forge/settings.cue", "this file is not read: a project's"),
        (("a/.forge/b.cue", "a/.forge/project.cue", "a/.forge/a.cue"), "a/.forge/a.cue", "nor are 1 more here"),
        ((".forge/repo.cue", ".forge/project.cue", ".forge/more.cue"), ".forge/more.cue", "this file is not read"),
        (("a/.forge/project.cue", "a/.forge/repo.cue"), "a/.forge/repo.cue", "is the repository's"),
    ],
)
def test_cue_files_beside_a_configuration_are_told_to_be_no_part_of_it(
    tmp_path: Path, paths: tuple[str, ...], place: str, message: str
) -> None:
    (found,) = unseen(written(tmp_path, *paths))

    assert found.code is Code.CONFIG_UNSEEN
    assert message in found.message
    assert found.span is not None
    assert found.span.source.name == place


def test_what_lies_deeper_in_a_forge_directory_is_nobodys_configuration(tmp_path: Path) -> None:
    assert list(unseen(written(tmp_path, "a/.forge/project.cue", "a/.forge/cue.mod/module.cue"))) == []
