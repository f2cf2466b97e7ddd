"""The git cache over HTTPS, against git's own server."""

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.git_https import Behaviour, GitServer, serve_repositories
from tests.git_repository import commit_all, git, new_repository

from forge_runtime.git.cache import GitCache
from forge_runtime.git.error import CommitNotFound, GitError

pytestmark = pytest.mark.skipif(
    shutil.which("openssl") is None
    or subprocess.run(["git", "http-backend"], capture_output=True, check=False).returncode == 1,
    reason="needs openssl and git http-backend",
)


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    root = new_repository(tmp_path / "served" / "shop")
    (root / "file").write_text("first\n")
    commit_all(root)
    git(root, "checkout", "-q", "-b", "topic")
    (root / "file").write_text("second\n")
    commit_all(root)
    (root / "file").write_text("third\n")
    commit_all(root)
    git(root, "checkout", "-q", "main")
    return root


@pytest.fixture(params=["a server that gives out any commit", "an old server"])
def server(
    request: pytest.FixtureRequest, origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[GitServer]:
    behaviour = Behaviour(protocol_v2=request.param != "an old server")
    with serve_repositories(origin.parent, tmp_path, behaviour=behaviour) as running:
        monkeypatch.setenv("GIT_SSL_CAINFO", str(running.certificate))
        yield running


async def found(cache: GitCache, url: str, sha: str) -> Path:
    async with cache.lease(url, sha) as repository:
        return repository


async def read_file(cache: GitCache, url: str, commit: str, into: Path) -> str:
    async with cache.checkout(url, commit, into) as root:
        return (root / "file").read_text()


async def test_nothing_is_kept_but_the_commit_that_was_asked_for(
    server: GitServer, origin: Path, tmp_path: Path
) -> None:
    sha = git(origin, "rev-parse", "topic~1")
    git(origin, "tag", "v1")

    repository = await found(GitCache(tmp_path / "cache"), f"{server.url}/shop/.git", sha)

    assert git(repository, "for-each-ref", "--format=%(refname)") == f"refs/forge/keep/{sha}"


async def test_commit_that_no_branch_points_to_is_checked_out(server: GitServer, origin: Path, tmp_path: Path) -> None:
    cache = GitCache(tmp_path / "cache")
    inner = git(origin, "rev-parse", "topic~1")

    async with asyncio.timeout(60):
        text = await read_file(cache, f"{server.url}/shop/.git", inner, tmp_path / "work")

    assert text == "second\n"


async def test_many_jobs_of_one_commit_fetch_it_once(server: GitServer, origin: Path, tmp_path: Path) -> None:
    cache = GitCache(tmp_path / "cache")
    tip = git(origin, "rev-parse", "topic")
    url = f"{server.url}/shop/.git"

    async with asyncio.timeout(60):
        texts = await asyncio.gather(*(read_file(cache, url, tip, tmp_path / f"work{n}") for n in range(8)))

    assert texts == ["third\n"] * 8
    assert sum("service=git-upload-pack" in request for request in server.requests) == 1


async def test_unknown_commit_is_told_from_an_unknown_repository(server: GitServer, tmp_path: Path) -> None:
    cache = GitCache(tmp_path / "cache")

    async with asyncio.timeout(60):
        with pytest.raises(CommitNotFound):
            await found(cache, f"{server.url}/shop/.git", "f" * 40)
        with pytest.raises(GitError) as caught:
            await found(cache, f"{server.url}/absent/.git", "f" * 40)

    assert caught.value.code == "GIT_FETCH_FAILED"


async def test_unknown_authority_is_refused(
    server: GitServer, origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GIT_SSL_CAINFO")

    async with asyncio.timeout(60):
        with pytest.raises(GitError):
            await found(GitCache(tmp_path / "cache"), f"{server.url}/shop/.git", git(origin, "rev-parse", "main"))
