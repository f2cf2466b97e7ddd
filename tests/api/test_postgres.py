"""What PostgreSQL does differently: real concurrency, types of its own, text that it cannot hold."""

import asyncio
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from tests.api.conftest import Databases
from tests.api.harness import REPOSITORY, SHA, open_api
from tests.api.release_story import TAG, approve, body, deploy, release, released, sha
from tests.api.test_database import schema
from tests.api.test_release_events import begun, registered, tell
from tests.postgres_server import PostgresServer

from forge_api.db import query, release_query
from forge_api.db.release_query import ProjectKey
from forge_api.db.release_tables import Deployment, DeploymentStatus
from forge_api.db.schema import Base
from forge_api.db.session import Database, upgrade
from forge_api.service.audit import first_broken

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
both_databases = pytest.mark.usefixtures("each_database")


def test_migrations_make_the_tables_that_the_code_declares(postgres: PostgresServer) -> None:
    declared, migrated = create_engine(postgres.database()), create_engine(postgres.database())

    with declared.begin() as expected, migrated.begin() as found:
        Base.metadata.create_all(expected)
        upgrade(found)

        assert schema(found) == schema(expected)
    declared.dispose()
    migrated.dispose()


async def test_apis_that_start_together_migrate_once(postgres: PostgresServer) -> None:
    url = await asyncio.to_thread(postgres.database)
    apis = [Database(url) for _ in range(4)]

    await asyncio.gather(*(api.migrate() for api in apis))

    await asyncio.gather(*(api.ping() for api in apis))
    async with apis[0].read() as session:
        versions = (await session.execute(text("SELECT version_num FROM alembic_version"))).scalars().all()
    await asyncio.gather(*(api.close() for api in apis))
    assert len(versions) == 1


@both_databases
async def test_the_audit_chain_holds_whoever_writes_at_once(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        await api.register()
        writes = [release(api, commit_sha=sha(number), project=f"p{number % 3}") for number in range(20)]
        others = [api.register(f"acme/r{number}") for number in range(10)]

        found = await asyncio.gather(*writes, *others)
        async with api.platform.database.read() as session:
            chain = await query.audit_chain(session)

    assert {response.status_code for response in found} == {201}
    assert len(chain) == 31
    assert first_broken(chain) is None


@both_databases
async def test_numbers_have_no_gaps_where_some_requests_fail_and_others_repeat(tmp_path: Path) -> None:
    """Twenty commits, each asked for twice, and every fifth refused for a name that is another's."""
    async with open_api(tmp_path) as api:
        await released(api, commit_sha=sha(1000), aliases=["taken"])
        asked = [
            release(api, commit_sha=sha(number), aliases=["taken"] if number % 5 == 0 else [])
            for number in range(20)
            for _ in range(2)
        ]

        found = await asyncio.gather(*asked)
        page = (await api.client.get(f"/v1/releases/{REPOSITORY}/web?limit=100")).json()

    assert sorted(response.status_code for response in found) == [200] * 16 + [201] * 16 + [409] * 8
    assert sorted(each["release_number"] for each in page["releases"]) == list(range(1, 18))


@both_databases
async def test_of_deployments_that_become_active_at_once_one_stays(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        await api.register()
        made = await asyncio.gather(*(release(api, commit_sha=sha(number)) for number in range(10)))
        asked = await asyncio.gather(*(deploy(api, response.json()["id"], "dev") for response in made))
        async with api.by("worker-release") as worker:
            active = {"status": "active", "gitops_commit_sha": SHA}
            puts = [worker.put(f"/v1/deployments/{each.json()['id']}/status", json=active) for each in asked]
            found = await asyncio.gather(*puts)
        history = (await api.client.get(f"/v1/deployments/dev/{REPOSITORY}/web/history")).json()

    assert {response.status_code for response in found} == {200}
    statuses = [each["status"] for each in history["deployments"]]
    assert sorted(statuses) == ["active"] + ["superseded"] * 9


@both_databases
async def test_who_approves_many_times_at_once_approved_once(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        made = await released(api, trigger=TAG)

        found = await asyncio.gather(*(approve(api, made["id"]) for _ in range(8)))

    assert len(set(found)) == 1


@both_databases
async def test_one_key_used_many_times_at_once_is_one_request(tmp_path: Path) -> None:
    headers = {"Idempotency-Key": "k"}
    async with open_api(tmp_path) as api:
        made = await released(api, trigger=TAG)
        request = {"release_id": made["id"], "environment": "production", "justification": "looked at it"}
        run = {"repository": REPOSITORY, "commit_sha": SHA, "branch": "main"}
        async with api.by("approver.ada") as ada, api.by("worker-release") as worker:
            approved = [ada.post("/v1/approvals", json=request, headers=headers) for _ in range(6)]
            begun = [api.client.post("/v1/runs", json=run, headers=headers) for _ in range(6)]
            mixed = [
                worker.post("/v1/releases", json=body(project=f"p{number}"), headers=headers) for number in range(6)
            ]
            found = [(await asyncio.gather(*each)) for each in (approved, begun, mixed)]

    codes = [sorted(response.status_code for response in each) for each in found]
    assert codes == [[200] * 5 + [201], [200] * 5 + [201], [201] + [422] * 5]


@both_databases
async def test_a_repository_that_is_registered_many_times_at_once_is_registered_once(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        found = await asyncio.gather(*(api.register() for _ in range(8)))
        others = await asyncio.gather(*(api.register(f"acme/r{number}", github_repository_id=7) for number in range(8)))

    assert sorted(response.status_code for response in found) == [200] * 7 + [201]
    assert sorted(response.status_code for response in others) == [201] + [409] * 7


async def test_the_end_of_a_run_leaves_what_became_active_meanwhile(
    tmp_path: Path, databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at what is pending and the lock of its project, the deployment becomes active."""
    unsubmitted = release_query.unsubmitted
    async with open_api(tmp_path, database_url=await asyncio.to_thread(databases.take)) as api:
        story = await begun(api)
        story.tested()
        release_of_run, requested = await registered(api, story)
        story.released(release_of_run, requested)
        await tell(api, story)

        async def and_then(session: AsyncSession, release_ids: Collection[str]) -> Sequence[Deployment]:
            found = await unsubmitted(session, release_ids)
            async with api.by("worker-release") as worker:
                done = {"status": "active", "gitops_commit_sha": SHA}
                put = await worker.put(f"/v1/deployments/{requested.id}/status", json=done)
            assert put.status_code == 200
            return found

        monkeypatch.setattr(release_query, "unsubmitted", and_then)
        async with api.by("worker") as worker:
            ended = await worker.put(f"/v1/runs/{story.run_id}/status", json={"status": "failed"})
        active = await api.client.get(f"/v1/deployments/dev/{REPOSITORY}/web")

    assert ended.status_code == 200
    assert (active.status_code, active.json()["status"]) == (200, "active")


@both_databases
@pytest.mark.parametrize("status", [DeploymentStatus.ACTIVE, DeploymentStatus.PENDING])
async def test_the_database_itself_keeps_a_second_one_out(tmp_path: Path, status: DeploymentStatus) -> None:
    """Two active ones of a project, or two open ones of a release: nothing that the code forgets makes them."""
    async with open_api(tmp_path) as api:
        made = await released(api)
        async with api.platform.database.write() as session:
            session.add(_deployment(made["id"], 1, status))

        with pytest.raises(IntegrityError):
            async with api.platform.database.write() as session:
                session.add(_deployment(made["id"], 2, status))
        async with api.platform.database.write() as session:
            session.add_all(_deployment(made["id"], number, DeploymentStatus.SUPERSEDED) for number in (3, 4))


@both_databases
async def test_a_counter_is_locked_until_the_transaction_ends(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        await api.register()
        key = ProjectKey(REPOSITORY, "web")
        seen: list[int] = []

        async def take() -> None:
            async with api.platform.database.write() as session:
                counter = await release_query.counter(session, key)
                await asyncio.sleep(0)
                counter.last += 1
                seen.append(counter.last)

        await asyncio.gather(*(take() for _ in range(10)))

    assert seen == list(range(1, 11))


@both_databases
@pytest.mark.parametrize(
    ("text", "kept"), [("a\0b", "a\ufffdb"), ("\\u0000", "\\u0000"), ("\\\0", "\\\ufffd"), ("\U0001f4a5", "\U0001f4a5")]
)
async def test_documents_hold_whatever_a_build_prints(tmp_path: Path, text: str, kept: str) -> None:
    async with open_api(tmp_path) as api:
        run_id = await api.new_run()
        async with api.platform.database.write() as session:
            run = await query.run(session, run_id)
            assert run is not None
            run.error = {"code": "STEP_FAILED", "message": text, text: [text]}

        error = (await api.run(run_id))["error"]

    assert error == {"code": "STEP_FAILED", "message": kept, kept: [kept]}


async def test_a_server_that_is_gone_is_a_503_and_back_it_is_used_again(
    tmp_path: Path, postgres: PostgresServer, databases: Databases
) -> None:
    url = await asyncio.to_thread(databases.take)
    async with open_api(tmp_path, database_url=url) as api:
        await api.register()
        await asyncio.to_thread(postgres.kill_clients)

        codes = [(await api.client.get(f"/v1/repositories/{REPOSITORY}")).status_code for _ in range(3)]

    assert set(codes) <= {200, 503}
    assert codes[-1] == 200


def _deployment(release_id: str, number: int, status: DeploymentStatus) -> Deployment:
    return Deployment(
        id=f"018f0000-0000-7000-8000-{number:012d}",
        release_id=release_id,
        repository=REPOSITORY,
        project="web",
        environment="dev",
        status=status,
        requested_at=AT,
        deployed_by="user:local",
    )
