"""Roles and environments: who may do what, and what the files say that configure it."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.api.harness import OTHERS, TOKEN, open_api, token_of

from forge_api.auth.permission import Permission, Role, may, may_approve, may_deploy
from forge_api.auth.token import Principal, read_tokens
from forge_api.environment import STANDARD, EnvironmentsInvalid, Origin, automatic, read_environments, refusal
from forge_api.settings import SettingsInvalid, read_settings

READS = {Permission.RUN_READ, Permission.RELEASE_READ, Permission.DEPLOYMENT_READ, Permission.APPROVAL_READ}
EXPECTED = {
    Role.OPERATOR: set(Permission),
    Role.DEVELOPER: READS | {Permission.RUN_CREATE, Permission.RUN_CANCEL},
    Role.APPROVER: READS | {Permission.RUN_CREATE, Permission.RUN_CANCEL},
    Role.WORKER: {Permission.EXECUTION_WRITE},
    Role.WORKER_ARTIFACT: {Permission.EXECUTION_WRITE, Permission.RELEASE_READ},
    Role.WORKER_RELEASE: {
        Permission.EXECUTION_WRITE,
        Permission.RELEASE_READ,
        Permission.RELEASE_CREATE,
        Permission.DEPLOYMENT_WRITE,
    },
}


@pytest.mark.parametrize("role", Role)
def test_a_role_has_its_permissions_and_no_other(role: Role) -> None:
    assert {permission for permission in Permission if may(role, permission)} == EXPECTED[role]


def test_only_operators_are_told_of_an_environment_that_there_is_not() -> None:
    assert {role for role in Role if may_deploy("user:x", role, "moon", STANDARD)} == {Role.OPERATOR}
    assert {role for role in Role if may_approve("user:x", role, "moon", STANDARD)} == {Role.OPERATOR}


@pytest.mark.parametrize(
    ("who", "allowed"),
    [
        ("worker", set()),
        ("worker-artifact", set()),
        ("worker-release", set()),
        ("developer.dev", {"/v1/runs"}),
        ("approver.ada", {"/v1/runs"}),
    ],
)
async def test_addresses_ask_for_their_permission(tmp_path: Path, who: str, allowed: set[str]) -> None:
    reads = ("/v1/runs", "/v1/audit", "/v1/repositories/acme/shop")
    async with open_api(tmp_path) as api, api.by(who) as client:
        await api.register()
        found = {path: (await client.get(path)).status_code for path in reads}
        created = await client.post("/v1/runs", json={"repository": "acme/shop", "commit_sha": "a" * 40})

    assert {path for path, status in found.items() if status == 200} == allowed
    assert set(found.values()) <= {200, 403}
    assert created.status_code == (201 if allowed else 403)


async def test_an_audit_page_has_what_was_asked_for(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        run_id = await api.new_run()
        later = (await api.run(run_id))["created_at"]
        api.clock.forward(60)
        await api.client.delete(f"/v1/runs/{run_id}")

        every = (await api.client.get("/v1/audit")).json()
        of_run = (await api.client.get(f"/v1/audit?resource_type=run&resource_id={run_id}&limit=1")).json()
        since = (await api.client.get("/v1/audit", params={"since": later, "actor": "user:local"})).json()
        before = (await api.client.get("/v1/audit", params={"until": later})).json()
        vague = await api.client.get("/v1/audit?since=2026-01-01T00:00:00")

    assert [event["action"] for event in every["events"]] == ["run.cancel", "run.create", "repository.put"]
    assert (of_run["total"], [event["action"] for event in of_run["events"]]) == (2, ["run.cancel"])
    assert "run.cancel" in [event["action"] for event in since["events"]]
    assert [event["action"] for event in before["events"]][-1:] == ["repository.put"]
    assert "run.cancel" not in [event["action"] for event in before["events"]]
    assert vague.status_code == 422


def tokens(folder: Path, **files: str) -> Path:
    directory = folder / "tokens"
    directory.mkdir()
    for name, text in {"api.token": TOKEN}.items():
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(text)
    for name, text in files.items():
        (directory / name).touch(mode=0o600)
        (directory / name).write_text(text)
    return directory


def test_a_token_stands_for_whom_its_file_is_named(tmp_path: Path) -> None:
    directory = tokens(tmp_path, **{who: token_of(who) for who in OTHERS})

    known = read_tokens(tmp_path / "api.token", directory)

    assert known.principal(f"Bearer {token_of('worker-release')}") == Principal(
        "sa:local/worker-release", Role.WORKER_RELEASE
    )
    assert known.principal(f"Bearer {token_of('approver.ada')}") == Principal("user:ada", Role.APPROVER)
    assert known.principal(f"Bearer {TOKEN}") == Principal("user:local", Role.OPERATOR)
    assert known.principal(f"Bearer {token_of('nobody')}") is None


@pytest.mark.parametrize(
    "name", ["root", "approver", "worker.ada", "approver.", "approver.a b", "operator", "worker-release~", ".hidden"]
)
def test_a_file_that_is_named_for_nobody_is_refused(tmp_path: Path, name: str) -> None:
    directory = tokens(tmp_path, **{name: "x" * 43})

    with pytest.raises(SettingsInvalid, match="named"):
        read_tokens(tmp_path / "api.token", directory)


def test_two_callers_do_not_share_a_token(tmp_path: Path) -> None:
    directory = tokens(tmp_path, worker=TOKEN)

    with pytest.raises(SettingsInvalid, match="user:local"):
        read_tokens(tmp_path / "api.token", directory)


def test_environments_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "environments.json"
    one = {"name": "edge", "allowed_triggers": ["tag"], "requires_approval": True, "approvers": ["user:ada"]}
    path.write_text(json.dumps([one]))

    found = read_settings({"FORGE_DATA_DIR": str(tmp_path), "FORGE_ENVIRONMENTS_FILE": str(path)}).environments

    assert list(found) == ["edge"]
    assert (found["edge"].four_eyes, found["edge"].allowed_branches, found["edge"].auto_deploy) == (True, ("*",), False)
    assert may_approve("user:ada", Role.APPROVER, "edge", found)
    assert not may_approve("user:bob", Role.APPROVER, "edge", found)


@pytest.mark.parametrize(
    "content",
    [
        "not json",
        {"name": "dev"},
        [{"name": "dev"}],
        [{"name": "Dev", "allowed_triggers": []}],
        [{"name": "dev", "allowed_triggers": ["cron"]}],
        [{"name": "dev", "allowed_triggers": [], "surprise": 1}],
        [{"name": "dev", "allowed_triggers": []}, {"name": "dev", "allowed_triggers": []}],
        [{"name": "dev", "allowed_triggers": ["tag"], "auto_deploy": True, "requires_approval": True}],
    ],
)
def test_a_file_that_configures_no_environments_is_refused(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "environments.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))

    with pytest.raises(EnvironmentsInvalid, match=str(path)):
        read_environments(path)
    with pytest.raises(SettingsInvalid, match="FORGE_ENVIRONMENTS_FILE"):
        read_settings({"FORGE_DATA_DIR": str(tmp_path), "FORGE_ENVIRONMENTS_FILE": str(path)})


def test_one_fitting_origin_is_enough_and_all_that_do_not_fit_are_told() -> None:
    staging = STANDARD["staging"]
    branch = Origin("branch_push", "topic")

    assert refusal(staging, [branch, Origin("tag")]) is None
    assert refusal(staging, [branch]) == (
        "staging does not take this release: it takes the branches main, release/*, not topic"
    )
    assert automatic(STANDARD, [branch]) == ("dev",)
