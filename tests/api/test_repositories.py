"""Registering repositories, and what the audit log keeps of it."""

from pathlib import Path

import pytest
from tests.api.harness import open_api

from forge_api.db import query
from forge_api.service.audit import first_broken
from forge_api.service.platform import Platform


async def test_registration_is_201_then_200_and_can_be_read(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        first = await api.register("Acme/Shop", github_repository_id=7)
        again = await api.register("acme/shop", github_repository_id=7, enabled=False, max_concurrent_runs=3)

        found = await api.client.get("/v1/repositories/ACME/shop")

        assert (first.status_code, again.status_code) == (201, 200)
        assert first.json()["full_name"] == "acme/shop"
        assert first.json()["created_by"] == "user:local"
        assert found.json() == again.json()
        assert (found.json()["enabled"], found.json()["max_concurrent_runs"]) == (False, 3)


async def test_unknown_repository_is_404(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        assert (await api.client.get("/v1/repositories/acme/none")).status_code == 404


async def test_github_id_of_another_repository_is_409(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        await api.register("acme/shop", github_repository_id=7)

        response = await api.register("acme/other", github_repository_id=7)

        assert response.status_code == 409
        assert "acme/shop" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    "url",
    [
        "https://user:secret@github.com/acme/shop.git",
        "https://token@github.com/acme/shop.git",
        "ssh://git:secret@github.com/acme/shop.git",
        "ext::sh -c id",
        "-u./payload",
        "ftp://github.com/acme/shop",
        "http://github.com/acme/shop",
        "file:///srv/shop",
        "ssh://-oProxyCommand=id/shop",
        "https://github.com",
        "https:///acme/shop",
        "https://[broken/acme",
    ],
)
async def test_clone_url_with_secrets_or_another_transport_is_422(tmp_path: Path, url: str) -> None:
    async with open_api(tmp_path) as api:
        response = await api.register(clone_url=url)

        assert response.status_code == 422
        assert response.json()["error"]["details"]["errors"][0]["path"] == "clone_url"
        assert "secret" not in response.text


@pytest.mark.parametrize("url", ["git@github.com:acme/shop.git", "ssh://git@github.com/acme/shop"])
async def test_usual_clone_urls_are_taken(tmp_path: Path, url: str) -> None:
    async with open_api(tmp_path) as api:
        assert (await api.register(clone_url=url)).status_code == 201


async def test_a_directory_of_this_machine_belongs_to_the_owner_local(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        assert (await api.register("local/shop", clone_url="file:///srv/shop")).status_code == 201


async def test_every_write_is_in_the_audit_chain(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        run_id = await api.new_run(headers={"X-Request-ID": "r-1"})
        await api.client.delete(f"/v1/runs/{run_id}")

        async with api.platform.database.read() as session:
            events = await query.audit_chain(session)

        assert [(event.action, event.resource_id) for event in events] == [
            ("repository.put", "acme/shop"),
            ("run.create", run_id),
            ("run.cancel", run_id),
        ]
        assert {event.actor for event in events} == {"user:local"}
        assert events[1].request_id == "r-1"
        assert first_broken(events) is None


@pytest.mark.parametrize("damage", ["changed", "taken out"])
async def test_audit_chain_shows_what_was_done_to_it(tmp_path: Path, damage: str) -> None:
    async with open_api(tmp_path) as api:
        run_id = await api.new_run()
        await api.client.delete(f"/v1/runs/{run_id}")

        await _damage(api.platform, damage)

        async with api.platform.database.read() as session:
            assert first_broken(await query.audit_chain(session)) in (2, 3)


async def _damage(platform: Platform, damage: str) -> None:
    async with platform.database.write() as session:
        middle = (await query.audit_chain(session))[1]
        if damage == "changed":
            middle.actor = "user:somebody"
        else:
            await session.delete(middle)
