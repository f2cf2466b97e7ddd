"""Which git is refused."""

from pathlib import Path

import pytest

from forge_runtime.git.error import GitError
from forge_runtime.git.version import GitTooOld, check_git, is_fixed, is_fixed_package, parse_version


@pytest.mark.parametrize(
    ("said", "fixed"),
    [
        ("git version 2.39.5", False),
        ("git version 2.43.6", False),
        ("git version 2.43.7", True),
        ("git version 2.47.2", False),
        ("git version 2.47.3", True),
        ("git version 2.50.0", False),
        ("git version 2.50.1", True),
        ("git version 2.51.0", True),
        ("git version 2.51", True),
        ("git version 3.0.0", True),
        ("git version 2.46.2.windows.1", False),
        ("git version 2.50.1 (Apple Git-155)", True),
        ("something else", False),
    ],
)
def test_release_has_the_fixes_from_the_one_that_brought_them(said: str, fixed: bool) -> None:
    assert is_fixed(parse_version(said)) is fixed


@pytest.mark.parametrize(
    ("package", "fixed"),
    [
        ("1:2.39.5-0+deb12u2", False),
        ("1:2.39.5-0+deb12u3", True),
        ("1:2.39.5-0+deb12u12", True),
        ("1:2.39.2-1.1", False),
        ("1:2.34.1-1ubuntu1.10", False),
        ("", False),
    ],
)
def test_package_tells_what_the_version_does_not(package: str, fixed: bool) -> None:
    assert is_fixed_package(package) is fixed


def fake(path: Path, said: str) -> None:
    path.write_text(f"#!/bin/sh\necho '{said}'\n")
    path.chmod(0o755)


async def test_old_git_is_refused_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(tmp_path / "git", "git version 2.43.1")
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(GitTooOld, match=r"2\.43\.1.*Install 2\.50\.1 or later"):
        await check_git()
    assert await check_git(backported=True) == "2.43.1"


async def test_old_package_is_refused_and_the_mended_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(tmp_path / "git", "git version 2.39.5")
    monkeypatch.setenv("PATH", str(tmp_path))

    fake(tmp_path / "dpkg-query", "1:2.39.5-0+deb12u2")
    with pytest.raises(GitTooOld, match=r"package 1:2\.39\.5-0\+deb12u2"):
        await check_git()
    fake(tmp_path / "dpkg-query", "1:2.39.5-0+deb12u3")

    assert await check_git() == "2.39.5"


async def test_git_too_old_for_our_commands_is_refused_whatever_is_said_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(tmp_path / "git", "git version 2.34.1")
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(GitTooOld, match=r"2\.36"):
        await check_git(backported=True)


async def test_machine_without_git_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(GitError, match="install it"):
        await check_git()
