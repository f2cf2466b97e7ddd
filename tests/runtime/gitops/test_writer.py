"""Pointers written to a real repository: alone, together, against others, and against rules."""

import asyncio
import contextlib
import os
from collections import Counter
from pathlib import Path

import pytest
from tests.git_repository import git
from tests.runtime.gitops.origin import commit_file, commits, install_hook, new_origin, pointers, update

from forge_runtime.gitops.writer import (
    GitOpsDenied,
    GitOpsError,
    GitOpsMisconfigured,
    GitOpsRepository,
    PointerWriter,
    Written,
)
from forge_runtime.meter import PushResult, Unmetered


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    return new_origin(tmp_path / "origin.git")


def writer(origin: Path, name: str = "writer", branch: str = "main") -> PointerWriter:
    repository = GitOpsRepository(clone_url=origin.as_uri(), branch=branch)
    return PointerWriter(repository, origin.parent / name, allow_file=True)


async def test_pointer_is_a_commit_on_the_branch(origin: Path) -> None:
    written = await writer(origin).put(update(1))

    assert written == Written(git(origin, "rev-parse", "main"), changed=True)
    assert git(origin, "show", "--name-status", "--format=%an <%ae>", "main").split("\n\n") == [
        "Catalyst Forge <catalyst-forge@localhost>",
        "A\tenvironments/dev/acme/shop/web/release.yaml",
    ]
    assert git(origin, "show", "main:README.md") == "pointers"


async def test_repeated_update_is_the_same_commit(origin: Path) -> None:
    first = await writer(origin).put(update(1))
    await writer(origin).put(update(2, "quote"))

    again = await writer(origin, "elsewhere").put(update(1))

    assert again == Written(first.commit_sha, changed=False)
    assert len(commits(origin)) == 3


async def test_other_deployment_of_the_same_release_changes_nothing(origin: Path) -> None:
    first = await writer(origin).put(update(2))

    again = await writer(origin).put(update(2, deployment_id="another", requested_at="2026-03-02T00:00:00Z"))

    assert again == Written(first.commit_sha, changed=False)


async def test_twenty_updates_at_once_are_pushed_together_a_commit_each(origin: Path) -> None:
    install_hook(origin, "post-receive", 'echo push >> "$GIT_DIR/pushes"')
    shared = writer(origin)

    written = await asyncio.gather(*(shared.put(update(n, f"project-{n}")) for n in range(20)))

    assert pointers(origin) == {f"project-{n}": f"{n:040x}" for n in range(20)}
    assert {each.commit_sha for each in written} == set(git(origin, "rev-list", "--max-count=20", "main").splitlines())
    assert (origin / "pushes").read_text().splitlines() == ["push"]


async def test_of_two_releases_at_once_the_later_one_stays(origin: Path) -> None:
    shared = writer(origin)

    later, earlier = await asyncio.gather(shared.put(update(2)), shared.put(update(1)))

    assert later.changed
    assert earlier.changed
    assert pointers(origin) == {"web": f"{2:040x}"}
    assert commits(origin)[:2] == ["Deploy web to dev: release 2", "Deploy web to dev: release 1"]


async def test_older_deployment_undoes_no_newer_one(origin: Path) -> None:
    await writer(origin).put(update(2))

    with pytest.raises(GitOpsDenied, match="a later deployment \\(deployment-web-2, release 000000000000\\)"):
        await writer(origin).put(update(1))

    assert pointers(origin) == {"web": f"{2:040x}"}


async def test_rollback_is_a_later_deployment_of_an_older_release(origin: Path) -> None:
    await writer(origin).put(update(2))

    await writer(origin).put(update(1, requested_at="2026-03-02T00:00:00Z"))

    assert commits(origin)[0] == "Rollback web in dev to release 1"


async def test_what_people_broke_by_hand_is_written_anew(origin: Path) -> None:
    commit_file(origin, "environments/dev/acme/shop/web/release.yaml", "<<<<<<< ours\n")

    written = await writer(origin).put(update(1))

    assert written.changed
    assert pointers(origin) == {"web": f"{1:040x}"}


async def test_lost_race_builds_on_what_the_other_pushed(origin: Path) -> None:
    # The hook of the first push commits something else first, as a writer elsewhere would between fetch and push.
    script = f"""
[ -e raced ] && exit 0
touch raced
unset GIT_QUARANTINE_PATH GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES
tree=$(git rev-parse refs/heads/main^{{tree}})
git update-ref refs/heads/main $(git -c user.name=o -c user.email=o@example.org commit-tree -p main -m other $tree)
echo '{"x" * 20}' >&2
"""
    install_hook(origin, "pre-receive", script)

    written = await writer(origin).put(update(1))

    assert written.changed
    assert commits(origin)[:2] == ["Deploy web to dev: release 1", "other"]


async def test_pushes_are_counted_by_what_came_of_them(origin: Path) -> None:
    counted: Counter[PushResult] = Counter()

    class Counting(Unmetered):
        def pointers_pushed(self, result: PushResult) -> None:
            counted[result] += 1

    repository = GitOpsRepository(clone_url=origin.as_uri())
    counting = PointerWriter(repository, origin.parent / "writer", allow_file=True, meter=Counting())
    await counting.put(update(1))
    await counting.put(update(1))
    install_hook(origin, "update", "exit 1")
    with pytest.raises(GitOpsDenied):
        await counting.put(update(2))

    assert counted == {PushResult.PUSHED: 1, PushResult.DENIED: 1}


async def test_push_that_arrived_unheard_counts_as_ours(origin: Path, tmp_path: Path) -> None:
    # The server takes the push and dies before it says so.
    marker = tmp_path / "cut"
    install_hook(origin, "post-receive", f"[ -e {marker} ] && exit 0; touch {marker}; kill -9 $PPID")

    written = await writer(origin).put(update(1))

    assert marker.exists()
    assert written == Written(git(origin, "rev-parse", "main"), changed=True)
    assert len(commits(origin)) == 2


async def test_rule_of_the_server_ends_it_in_its_words(origin: Path) -> None:
    install_hook(origin, "update", "echo 'production is frozen until Monday' >&2; exit 1")

    with pytest.raises(
        GitOpsDenied, match="refuses this change: remote rejected \\(hook declined\\); production is frozen"
    ):
        await writer(origin).put(update(1))

    assert len(commits(origin)) == 1


async def test_one_refused_update_does_not_take_others_with_it(origin: Path) -> None:
    script = 'git diff --name-only "$2" "$3" | grep -q /bad/ && { echo "not this one" >&2; exit 1; }; exit 0'
    install_hook(origin, "update", script)
    shared = writer(origin)

    answers = await asyncio.gather(
        *(shared.put(update(n, project)) for n, project in enumerate(("a", "bad", "b"))), return_exceptions=True
    )

    assert isinstance(answers[1], GitOpsDenied)
    assert sorted(pointers(origin)) == ["a", "b"]


@pytest.mark.parametrize(
    "path", ["environments", "environments/dev/acme", "environments/dev/acme/shop/web/release.yaml/x"]
)
async def test_something_else_in_the_pointers_place_is_left_there(origin: Path, path: str) -> None:
    commit_file(origin, path, "mine\n")
    shared = writer(origin)

    with pytest.raises(GitOpsDenied, match="where the pointer belongs"):
        await shared.put(update(1))

    assert git(origin, "show", f"main:{path}") == "mine"


async def test_empty_repository_gets_its_first_commit(tmp_path: Path) -> None:
    origin = new_origin(tmp_path / "origin.git", empty=True)

    await writer(origin).put(update(1))
    await writer(origin).put(update(2))

    assert commits(origin) == ["Deploy web to dev: release 2", "Deploy web to dev: release 1"]


async def test_missing_branch_of_a_repository_with_commits_is_for_people(origin: Path) -> None:
    with pytest.raises(GitOpsMisconfigured, match=r"branch trunk of file://.*name another branch, or make it"):
        await writer(origin, branch="trunk").put(update(1))


async def test_repository_that_is_not_there_is_for_people(tmp_path: Path) -> None:
    with pytest.raises(GitOpsMisconfigured, match="cannot be read"):
        await writer(tmp_path / "none.git").put(update(1))


@pytest.mark.parametrize("branch", ["-f", "a..b", "a//b", "a.lock", "x y", "refs/../x", "@{u}", ""])
def test_what_is_no_branch_is_refused(branch: str) -> None:
    with pytest.raises(GitOpsMisconfigured, match="not the name of a branch"):
        GitOpsRepository(clone_url="https://git.example/gitops", branch=branch)


@pytest.mark.parametrize("url", ["ext::sh -c x", "https://user:token@git.example/x", "/plain/path"])
def test_url_that_git_must_not_see_is_refused_without_its_secret(url: str, tmp_path: Path) -> None:
    with pytest.raises(GitOpsMisconfigured) as refused:
        PointerWriter(GitOpsRepository(clone_url=url), tmp_path)

    assert "token" not in str(refused.value)


async def test_damaged_clone_is_made_anew(origin: Path) -> None:
    await writer(origin).put(update(1))
    clone = origin.parent / "writer" / "gitops.git"
    for pack in (clone / "objects").rglob("*"):
        if pack.is_file():
            pack.chmod(0o644)
            pack.write_bytes(b"broken")

    await writer(origin).put(update(2))

    assert pointers(origin) == {"web": f"{2:040x}"}


async def test_locks_of_a_killed_process_hinder_nobody(origin: Path) -> None:
    await writer(origin).put(update(1))
    clone = origin.parent / "writer" / "gitops.git"
    for name in ("refs/forge/tip.lock", "refs/forge/next.lock", "packed-refs.lock", "config.lock"):
        (clone / name).touch()

    await writer(origin).put(update(2))

    assert pointers(origin) == {"web": f"{2:040x}"}


async def test_cancelled_update_that_waits_is_taken_back(origin: Path, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    install_hook(origin, "pre-receive", f"[ -e {gate} ] && cat {gate} >/dev/null; exit 0")
    shared = writer(origin)
    first = asyncio.create_task(shared.put(update(1, "first")))
    opened = await asyncio.to_thread(gate.open, "w")  # returns once the push of the first is at the server
    second, third = (asyncio.create_task(shared.put(update(n, name))) for n, name in ((2, "second"), (3, "third")))
    await asyncio.sleep(0)  # both wait now

    second.cancel()
    gate.unlink()
    opened.close()
    await asyncio.gather(first, third)

    assert "second" not in pointers(origin)


async def test_updates_go_on_when_whoever_carries_them_is_cancelled(origin: Path, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    install_hook(origin, "pre-receive", f"[ -e {gate} ] && cat {gate} >/dev/null; exit 0")
    shared = writer(origin)
    puts = [asyncio.create_task(shared.put(update(n, f"project-{n}"))) for n in range(3)]
    opened = await asyncio.to_thread(gate.open, "w")

    puts[0].cancel()
    gate.unlink()
    with contextlib.suppress(BrokenPipeError):
        opened.close()
    written = await asyncio.gather(*puts[1:])

    assert all(isinstance(each, Written) for each in written)
    assert {"project-1", "project-2"} <= set(pointers(origin))


async def test_network_that_stays_away_is_the_infrastructures_fault(
    origin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_hook(origin, "pre-receive", "kill -9 $PPID")
    monkeypatch.setattr("forge_runtime.gitops.writer.TRIES_MAX", 1)

    with pytest.raises(GitOpsError) as raised:
        await writer(origin).put(update(1))

    assert (type(raised.value), raised.value.error_class) == (GitOpsError, "infra")
