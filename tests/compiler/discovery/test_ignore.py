"""Ignore rules, against git itself."""

import re
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.git_repository import new_repository

from forgec.adapter.git import git_environment
from forgec.discovery.ignore import IgnoreRules

NAMES = ["a", "b", "ab", "a.b", "foo", "bar", "x y", "é", "-", "]"]
PATTERN_PARTS = [
    *("a", "b", "foo", "bar", "*", "**", "?", "/", "/", "/**/", "!", "\\", " ", "#", "[a-b]", "[!a]", "[^/]", "[]-]"),
    *("[[:alpha:]]", "[a", "é", ".", "-", "\t", "x y", "[b-a]", "[a/]", "***"),
]
MISREAD = re.compile(r"[^/]\*\*+/")
PATHS = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4).map("/".join)
# Two stars behind other text are one star; git 2.39 takes them for directories, depending on where its memory lay.
LINES = st.lists(st.sampled_from(PATTERN_PARTS), max_size=5).map("".join).filter(lambda line: not MISREAD.search(line))
IGNORE_FILES = st.dictionaries(st.sampled_from(["", "a", "foo", "a/b"]), st.lists(LINES, max_size=4), max_size=3)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_repository(tmp_path_factory.mktemp("ignore") / "repository")


@settings(max_examples=400, deadline=None)
@given(files=IGNORE_FILES, paths=st.lists(PATHS, min_size=1, max_size=8, unique=True))
def test_ignore_rules_agree_with_git(repository: Path, files: dict[str, list[str]], paths: list[str]) -> None:
    # A fresh directory of the one repository is the root of each example.
    root = repository / "tree"
    subprocess.run(["rm", "-rf", str(root)], check=True, timeout=30)
    root.mkdir()
    rules = IgnoreRules()
    for directory, lines in files.items():
        text = "\n".join(lines).encode()
        (root / directory).mkdir(parents=True, exist_ok=True)
        (root / directory / ".gitignore").write_bytes(text)
        rules.add(directory, text)
    for path in paths:
        if (
            not any(root.joinpath(*Path(path).parts[:depth]).is_file() for depth in range(1, 4))
            and not (root / path).exists()
        ):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).touch()
    everything = [path.relative_to(root).as_posix() for path in root.rglob("*")]

    ours = {path for path in everything if rules.ignores(path, is_directory=(root / path).is_dir())}

    listed = subprocess.run(
        ["git", "-C", str(root), "check-ignore", "--no-index", "-z", "--stdin"],
        input="\0".join(everything).encode(),
        env=git_environment(repository),
        capture_output=True,
        timeout=30,
        check=False,
    )
    theirs = {path for path in listed.stdout.decode().split("\0") if path}
    assert ours == theirs


def test_nothing_below_an_excluded_directory_comes_back() -> None:
    rules = IgnoreRules()
    rules.add("", b"build/\n")
    rules.add("build", b"!kept\n")

    assert rules.ignores("build/kept")


def test_hostile_pattern_does_not_backtrack() -> None:
    rules = IgnoreRules()
    rules.add("", b"*a" * 40 + b"b\n" + b"**/a/" * 20 + b"**/b\n")

    started = time.monotonic()
    ignored = rules.ignores("a" * 4000) or rules.ignores("a/" * 400 + "a")

    assert not ignored
    assert time.monotonic() - started < 5
