"""Requests about releases, as release workers and people make them."""

from typing import Any

import httpx2
from tests.api.harness import REPOSITORY, SHA, Api

PUSH = {"trigger_type": "branch_push", "branch": "main", "triggered_by": "github:ada"}
TAG = {"trigger_type": "tag", "tag": "web/v1.0.0"}
DIGEST = "sha256:" + "d" * 64


def artifact(name: str = "site", status: str = "published", **fields: Any) -> dict[str, Any]:
    return {
        "name": name,
        "type": "archive",
        "tracking_oci_uri": f"registry.test/{REPOSITORY}/web/{name}:sha-{SHA}",
        "tracking_oci_digest": DIGEST,
        "primary_published_uri": f"https://files.test/{name}.tar.gz",
        "published": [{"publisher": "docs", "status": status, "uri": f"https://files.test/{name}.tar.gz"}],
    } | fields


def body(**fields: Any) -> dict[str, Any]:
    return {
        "repository": REPOSITORY,
        "project": "web",
        "commit_sha": SHA,
        "oci_uri": f"registry.test/{REPOSITORY}/web:{SHA}",
        "oci_digest": DIGEST,
        "trigger": PUSH,
        "artifacts": [artifact()],
    } | fields


def sha(number: int) -> str:
    """A commit of its own for each number, as commits look: no two begin alike."""
    return f"{number * 2654435761 % 2**32:08x}" + "0" * 32


async def release(api: Api, **fields: Any) -> httpx2.Response:
    async with api.by("worker-release") as worker:
        return await worker.post("/v1/releases", json=body(**fields))


async def released(api: Api, **fields: Any) -> dict[str, Any]:
    """A release that was made now; the repository is registered before."""
    await api.register()
    response = await release(api, **fields)
    assert response.status_code == 201, response.text
    document: dict[str, Any] = response.json()
    return document


async def deploy(api: Api, release_id: str, environment: str, who: str | None = None, **fields: Any) -> httpx2.Response:
    """By the operator unless somebody else is named."""
    request = {"release_id": release_id, "environment": environment} | fields
    if who is None:
        return await api.client.post("/v1/deployments", json=request)
    async with api.by(who) as client:
        return await client.post("/v1/deployments", json=request)


async def approve(api: Api, release_id: str, environment: str = "production", who: str = "approver.ada") -> str:
    async with api.by(who) as client:
        request = {"release_id": release_id, "environment": environment, "justification": "looked at it"}
        response = await client.post("/v1/approvals", json=request)
    assert response.status_code in (200, 201), response.text
    approval_id: str = response.json()["approval_id"]
    return approval_id


def reason(response: httpx2.Response) -> str | None:
    found: str | None = response.json()["error"]["details"].get("reason")
    return found
