"""Repositories of the cache that are no longer what git wrote, and disks that are full: the next job works."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.git_repository import commit_all, git, new_repository

from forge_runtime.git.cache import GitCache
from forge_runtime.git.command import GitFailed
from forge_runtime.git.error import GitError
from forge_runtime.git.shelf import Shelf
from forge_runtime.git.upkeep import Upkeep, UpkeepLimits

pytestmark = pytest.mark.usefixtures("real_git")


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    root = new_repository(tmp_path / "origin")
    for number in range(20):
        (root / f"file-{number}").write_bytes(os.urandom(4096))
    commit_all(root)
    return root


@pytest.fixture
def cache(tmp_path: Path) -> GitCache:
    return GitCache(tmp_path / "cache", allow_file=True)


async def check_out(cache: GitCache, origin: Path, into: Path, sha: str | None = None) -> int:
    """How many files there are, each read."""
    async with cache.checkout(f"file://{origin}", sha or git(origin, "rev-parse", "main"), into) as root:
        return sum(1 for path in root.glob("file-*") if path.read_bytes())


def repositories(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / "repositories").iterdir())


def packs(repository: Path, suffix: str) -> list[Path]:
    found = list((repository / "objects" / "pack").glob(f"*.{suffix}"))
    assert found
    for path in found:
        path.chmod(0o644)
    return found


def corrupt_pack(repository: Path) -> None:
    """In its middle, where the files are."""
    for pack in packs(repository, "pack"):
        with pack.open("r+b") as file:
            file.seek(pack.stat().st_size // 3)
            file.write(bytes(pack.stat().st_size // 3))


def truncate_pack(repository: Path) -> None:
    for pack in packs(repository, "pack"):
        os.truncate(pack, pack.stat().st_size // 2)


def empty_pack(repository: Path) -> None:
    for pack in packs(repository, "pack"):
        os.truncate(pack, 0)


def remove_pack(repository: Path) -> None:
    for pack in packs(repository, "pack"):
        pack.unlink()


def truncate_index(repository: Path) -> None:
    for index in packs(repository, "idx"):
        os.truncate(index, index.stat().st_size // 2)


def empty_index(repository: Path) -> None:
    for index in packs(repository, "idx"):
        os.truncate(index, 0)


def empty_reference(repository: Path) -> None:
    for reference in (repository / "refs" / "forge" / "keep").iterdir():
        os.truncate(reference, 0)


def empty_head(repository: Path) -> None:
    os.truncate(repository / "HEAD", 0)


def remove_objects(repository: Path) -> None:
    shutil.rmtree(repository / "objects")


def break_configuration(repository: Path) -> None:
    (repository / "config").write_bytes(b"[core\x00")


DAMAGES = [
    corrupt_pack,
    truncate_pack,
    empty_pack,
    remove_pack,
    truncate_index,
    empty_index,
    empty_reference,
    empty_head,
    remove_objects,
    break_configuration,
]


@pytest.mark.parametrize("damage", DAMAGES)
async def test_damaged_repository_is_replaced_without_a_failing_job(
    cache: GitCache, origin: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    await check_out(cache, origin, tmp_path / "work")
    damage(repositories(tmp_path)[0])

    assert await check_out(cache, origin, tmp_path / "work") == 20
    assert await check_out(cache, origin, tmp_path / "work") == 20


@pytest.mark.parametrize("damage", DAMAGES)
async def test_damaged_repository_is_replaced_for_a_new_commit_too(
    cache: GitCache, origin: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    await check_out(cache, origin, tmp_path / "work")
    damage(repositories(tmp_path)[0])
    (origin / "file-20").write_text("new")
    commit_all(origin)

    assert await check_out(cache, origin, tmp_path / "work") == 21


@pytest.mark.parametrize(
    "lock", ["HEAD.lock", "packed-refs.lock", "config.lock", "refs/forge/keep/{}.lock", "objects/maintenance.lock"]
)
async def test_lock_file_of_a_killed_process_is_survived(
    cache: GitCache, origin: Path, tmp_path: Path, lock: str
) -> None:
    await check_out(cache, origin, tmp_path / "work")
    (origin / "file-20").write_text("new")
    sha = commit_all(origin)
    repository = repositories(tmp_path)[0]
    (repository / lock.format(sha)).touch()

    assert await check_out(cache, origin, tmp_path / "work", sha) == 21
    assert repositories(tmp_path) == [repository]


async def test_worktrees_of_killed_processes_are_in_nobodys_way(cache: GitCache, origin: Path, tmp_path: Path) -> None:
    await check_out(cache, origin, tmp_path / "work")
    repository = repositories(tmp_path)[0]
    git(
        repository,
        "worktree",
        "add",
        "--detach",
        "--no-checkout",
        str(tmp_path / "work"),
        git(origin, "rev-parse", "main"),
    )
    shutil.rmtree(tmp_path / "work")
    (repository / "worktrees" / "work" / "index.lock").touch()
    (repository / "worktrees" / "torn").mkdir()

    assert await check_out(cache, origin, tmp_path / "work") == 20
    assert list(repository.glob("worktrees/*")) == []


async def test_whoever_uses_a_repository_keeps_it_when_it_is_found_damaged(
    cache: GitCache, origin: Path, tmp_path: Path
) -> None:
    sha = git(origin, "rev-parse", "main")
    upkeep = Upkeep(Shelf(tmp_path / "cache", patience_s=60), UpkeepLimits())

    async with cache.checkout(f"file://{origin}", sha, tmp_path / "first") as first:
        old = repositories(tmp_path)[0]
        corrupt_pack(old)
        assert await check_out(cache, origin, tmp_path / "second") == 20
        head = git(first, "rev-parse", "HEAD")
        during = repositories(tmp_path)
        assert await upkeep.evict() == 0
        assert old.exists()
    assert await upkeep.evict() == 1

    assert head == sha
    assert len(during) == 2
    assert repositories(tmp_path) == [path for path in during if path != old]


async def test_damage_of_the_server_condemns_nothing_of_ours(cache: GitCache, origin: Path, tmp_path: Path) -> None:
    await check_out(cache, origin, tmp_path / "work")
    ours = repositories(tmp_path)
    (origin / "file-20").write_bytes(os.urandom(4096))
    sha = commit_all(origin)
    blob = git(origin, "rev-parse", "HEAD:file-20")
    (origin / ".git" / "objects" / blob[:2] / blob[2:]).unlink()

    with pytest.raises(GitError) as caught:
        await check_out(cache, origin, tmp_path / "work", sha)

    assert caught.value.error_class == "infra"
    assert repositories(tmp_path) == ours


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("a small disk needs the right to mount one")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True, capture_output=True)


async def test_clone_that_fills_the_disk_is_an_error_of_the_infrastructure_and_leaves_room(
    origin: Path, tmp_path: Path, small_disk: Path
) -> None:
    cache = GitCache(small_disk / "cache", allow_file=True)
    large = new_repository(tmp_path / "large")
    (large / "file-0").write_bytes(os.urandom(8 * 1024 * 1024))
    commit_all(large)

    with pytest.raises(GitError, match="No space left on device") as caught:
        await check_out(cache, large, tmp_path / "work")

    assert (caught.value.error_class, caught.value.retryable) == ("infra", True)
    assert list((small_disk / "cache" / "building").iterdir()) == []
    assert await check_out(cache, origin, tmp_path / "work") == 20


async def test_checkout_that_fills_the_disk_leaves_nothing_and_the_next_one_works(
    origin: Path, tmp_path: Path, small_disk: Path
) -> None:
    cache = GitCache(tmp_path / "cache", allow_file=True)
    await check_out(cache, origin, tmp_path / "work")
    (origin / "file-20").write_bytes(os.urandom(8 * 1024 * 1024))
    commit_all(origin)

    with pytest.raises(GitError, match="No space left on device") as caught:
        await check_out(cache, origin, small_disk / "work")

    assert caught.value.error_class == "infra"
    assert not (small_disk / "work").exists()
    assert await check_out(cache, origin, tmp_path / "work") == 21
    assert len(repositories(tmp_path)) == 1


async def test_full_disk_is_made_room_on_by_what_was_unused_longest(
    origin: Path, tmp_path: Path, small_disk: Path
) -> None:
    cache = GitCache(small_disk / "cache", allow_file=True)
    large = [new_repository(tmp_path / f"large-{number}") for number in range(2)]
    for root in large:
        (root / "file-0").write_bytes(os.urandom(2 * 1024 * 1024))
        commit_all(root)
    await check_out(cache, large[0], tmp_path / "work")

    with pytest.raises(GitError, match="1 repositories that nobody used were removed"):
        await check_out(cache, large[1], tmp_path / "work")

    assert await check_out(cache, large[1], tmp_path / "work") == 1


async def test_cache_that_cannot_be_written_is_an_error_of_the_infrastructure(origin: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")

    with pytest.raises(GitError, match="cannot be written") as caught:
        await check_out(GitCache(tmp_path / "cache", allow_file=True), origin, tmp_path / "work")

    assert caught.value.error_class == "infra"


@pytest.mark.parametrize(
    ("said", "damaged"),
    [
        ("fatal: bad object refs/forge/keep/1", True),
        ("error: packfile ./objects/pack/pack-1.pack does not match index", True),
        ("error: index file ./objects/pack/pack-1.idx is too small", True),
        ("error: inflate: data stream error (incorrect header check)", True),
        ("fatal: unable to read tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904", True),
        ("fatal: not a git repository: '/cache/x.git'", True),
        ("fatal: Unable to create '/cache/x.git/packed-refs.lock': File exists.", True),
        ("remote: fatal: packfile ./objects/pack/pack-1.pack cannot be accessed", False),
        ("fatal: unable to access 'https://localhost/': Could not resolve host: localhost", False),
        ("fatal: early EOF", False),
        ("fatal: protocol error: bad pack header", False),
        ("error: unable to create file x: No space left on device", False),
        ("fatal: couldn't find remote ref refs/heads/x", False),
    ],
)
def test_text_of_git_is_taken_for_damage_only_if_it_is(said: str, damaged: bool) -> None:
    assert GitFailed("reset", 128, (said,)).damaged is damaged
