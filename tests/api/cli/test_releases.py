"""`forge releases`, `release show`, `deploy` and `approve` against an API that is served."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.api import harness
from tests.api.harness import REPOSITORY, SHA, TOKEN, Clock, token_of
from tests.api.release_story import TAG, body, sha
from tests.registry_server import serving

from forge_api.app import create_app
from forge_api.cli import releases
from forge_api.cli.client import ApiClient, ApiRefused
from forge_api.db.session import Database
from forge_runtime.blob import DirectoryBlob
from forge_runtime.bus.memory import MemoryBus
from forge_runtime.engine.memory import MemoryEngine

WEB = f"{REPOSITORY}/web"


@dataclass(frozen=True)
class Served:
    """The address of an API, and the folder with its tokens."""

    url: str
    folder: Path

    def client(self, who: str | None = None) -> ApiClient:
        return ApiClient(self.url, self.folder / ("api.token" if who is None else f"tokens/{who}"))

    def ask(self, who: str | None, method: str, path: str, document: dict[str, Any]) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {TOKEN if who is None else token_of(who)}"}
        response = httpx2.request(method, self.url + path, json=document, headers=headers, trust_env=False)
        assert response.is_success, response.text
        found: dict[str, Any] = response.json()
        return found

    def release(self, **fields: Any) -> dict[str, Any]:
        return self.ask("worker-release", "POST", "/v1/releases", body(**fields))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    ports = harness.ports(MemoryBus(), MemoryEngine(), DirectoryBlob(tmp_path / "objects"), Clock())
    settings = harness.settings(tmp_path)
    asyncio.run(_migrate(settings.database_url))
    with serving(create_app(settings, ports)) as host:
        found = Served(f"http://{host}", tmp_path)
        found.ask(None, "PUT", f"/v1/repositories/{REPOSITORY}", {"clone_url": f"https://github.com/{REPOSITORY}"})
        yield found


async def _migrate(url: str) -> None:
    database = Database(url)
    await database.migrate()
    await database.close()


def test_releases_are_listed_newest_first(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    served.release(commit_sha=sha(1))
    served.release(commit_sha=sha(2), trigger=TAG)

    assert releases.list_releases(served.client(), WEB) == 0

    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [["2", sha(2)[:10]], ["1", sha(1)[:10]]]
    assert (lines[0].split()[-1], lines[1].split()[-1]) == ("v1.0.0", "main-1")


@pytest.mark.parametrize("reference", ["1", "v1.0.0", SHA[:7], "web/v1.0.0"])
def test_a_release_is_shown_by_any_of_its_names(
    served: Served, capsys: pytest.CaptureFixture[str], reference: str
) -> None:
    served.release(trigger=TAG)

    assert releases.show_release(served.client(), f"{WEB}/{reference}") == 0

    shown = capsys.readouterr().out
    assert f"commit    {SHA}\n" in shown
    assert "artifact  site (archive) https://files.test/site.tar.gz\n" in shown


@pytest.mark.parametrize("name", ["web", "acme/shop/web", "acme//web/1"])
def test_what_names_no_release_says_how_one_is_named(served: Served, name: str) -> None:
    with pytest.raises(releases.BadReference, match="OWNER/REPOSITORY/PROJECT/REFERENCE"):
        releases.show_release(served.client(), name)


def test_a_deployment_is_waited_for(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    made = served.release()
    name = f"{WEB}/1"
    assert releases.deploy(served.client(), name, "dev", approval=None, wait=False) == 0
    [pending] = served.ask(None, "GET", f"/v1/deployments/dev/{WEB}/history", {})["deployments"]
    done = {"status": "active", "gitops_commit_sha": "c" * 40}
    served.ask("worker-release", "PUT", f"/v1/deployments/{pending['id']}/status", done)

    code = releases.deploy(served.client(), name, "dev", approval=None, wait=True)

    assert code == 0
    assert (pending["release_id"], pending["status"]) == (made["id"], "pending")
    assert f"active, pointer commit {'c' * 40}" in capsys.readouterr().out


def test_a_deployment_that_fails_says_why(
    served: Served, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    served.release()
    error = {"code": "GITOPS_PUSH_FAILED", "message": "the remote refused", "component": "w", "class": "policy"}

    def fail(_seconds: float) -> None:
        [pending] = served.ask(None, "GET", f"/v1/deployments/dev/{WEB}/history", {})["deployments"]
        failed = {"status": "failed", "error": error}
        served.ask("worker-release", "PUT", f"/v1/deployments/{pending['id']}/status", failed)

    monkeypatch.setattr(releases.time, "sleep", fail)  # while it waits

    assert releases.deploy(served.client(), f"{WEB}/1", "dev", approval=None, wait=True) == 1
    assert "the remote refused (GITOPS_PUSH_FAILED)" in capsys.readouterr().err


def test_production_is_deployed_with_somebody_elses_approval(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    served.release(trigger=TAG)
    name = f"{WEB}/v1.0.0"
    with pytest.raises(ApiRefused, match="requires an approval"):
        releases.deploy(served.client(), name, "production", approval=None, wait=False)

    approved = releases.approve(served.client("approver.ada"), name, "production", "looked at it")
    code = releases.deploy(served.client(), name, "production", approval=None, wait=False)

    assert (approved, code) == (0, 0)
    assert "by user:ada" in capsys.readouterr().out
