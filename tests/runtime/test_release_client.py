"""The client of releases and deployments, against the API itself."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import msgspec
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send
from tests.api.harness import ENVIRONMENTS, REPOSITORY, SHA, Api, open_api

from forge_runtime.http import Http
from forge_runtime.job import ReleaseTrigger
from forge_runtime.release_client import (
    HttpReleaseClient,
    NewRelease,
    Published,
    ReleaseApiAway,
    ReleasedArtifact,
    ReleaseRefused,
)

URL = "http://localhost"
DIGEST = "sha256:" + "d" * 64
SITE = ReleasedArtifact(
    name="site",
    type="archive",
    tracking_oci_uri="registry.test/acme/shop/web/site:sha-1",
    tracking_oci_digest=DIGEST,
    primary_published_uri="https://files.test/site.tar.gz",
    published=(
        Published(publisher="docs", status="published", uri="https://files.test/site.tar.gz", metadata={"key": "k"}),
    ),
)
RELEASE = NewRelease(
    repository=REPOSITORY,
    project="web",
    commit_sha=SHA,
    oci_uri=f"registry.test/acme/shop/web:{SHA}",
    oci_digest=DIGEST,
    trigger=ReleaseTrigger(trigger_type="branch_push", branch="main", triggered_by="github:ada"),
    artifacts=(SITE,),
)
PARTIAL = msgspec.structs.replace(
    RELEASE,
    artifacts=(msgspec.structs.replace(SITE, published=(Published(publisher="docs", status="failed"),)),),
)


@asynccontextmanager
async def opened(api: Api, tmp_path: Path, who: str = "worker-release") -> AsyncIterator[HttpReleaseClient]:
    async with Http.open(transport=httpx2.ASGITransport(app=api.app, raise_app_exceptions=False)) as http:
        yield HttpReleaseClient(http, URL, tmp_path / "tokens" / who)


@asynccontextmanager
async def answered(tmp_path: Path, answer: Callable[[Request], Response]) -> AsyncIterator[HttpReleaseClient]:
    """A client of a server that is not what it should be."""
    (tmp_path / "token").write_text("t" * 43)

    async def at_once(_seconds: float) -> None:
        return None

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(Request(scope))(scope, receive, send)

    async with Http.open(transport=httpx2.ASGITransport(app=app)) as http:
        patient = Http(client=http.client, wait=at_once)
        yield HttpReleaseClient(patient, URL, tmp_path / "token")


async def test_a_commit_without_a_release_has_none(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api, opened(api, tmp_path) as client:
        assert await client.find(REPOSITORY, "web", SHA) is None


async def test_what_was_registered_is_found_as_it_was(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api, opened(api, tmp_path) as client:
        await api.register()
        made = await client.register(RELEASE)
        again = await client.register(msgspec.structs.replace(RELEASE, oci_digest="sha256:" + "e" * 64))

        found = await client.find(REPOSITORY, "web", SHA)

    assert (made.created, made.release_number, made.aliases) == (True, 1, ("main-1", "1"))
    assert (made.partial, made.auto_deploy, made.oci_digest) == (False, ("dev",), DIGEST)
    assert again == msgspec.structs.replace(made, created=False)
    assert found is not None
    assert (found.id, found.release_number, found.partial) == (made.id, 1, False)
    assert found.artifact("site") == SITE
    assert found.artifact("docs") is None


async def test_an_artifact_worker_may_look_and_not_register(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api, opened(api, tmp_path, "worker-artifact") as client:
        await api.register()
        assert await client.find(REPOSITORY, "web", SHA) is None

        with pytest.raises(ReleaseRefused, match="release:create"):
            await client.register(RELEASE)


async def test_a_partial_release_deploys_nowhere_until_it_is_complete(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api, opened(api, tmp_path) as client:
        await api.register()
        partial = await client.register(PARTIAL)
        with pytest.raises(ReleaseRefused) as refused:
            await client.request_deployment(partial.id, "dev")

        complete = await client.register(RELEASE)

    assert (partial.partial, partial.auto_deploy, refused.value.code) == (True, (), "PUBLISH_PARTIAL")
    assert (complete.partial, complete.auto_deploy, complete.created) == (False, ("dev",), False)


async def test_a_deployment_is_requested_once_and_not_at_all_once_it_is_active(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api, opened(api, tmp_path) as client:
        await api.register()
        made = await client.register(RELEASE)
        first = await client.request_deployment(made.id, "dev")
        again = await client.request_deployment(made.id, "dev")
        assert first is not None
        done = {"status": "active", "gitops_commit_sha": SHA}
        await api.client.put(f"/v1/deployments/{first.id}/status", json=done)

        assert await client.request_deployment(made.id, "dev") is None
    assert (again, first.environment) == (first, "dev")


async def test_refusals_have_the_platforms_codes(tmp_path: Path) -> None:
    strict = dict(ENVIRONMENTS)
    strict["dev"] = msgspec.structs.replace(ENVIRONMENTS["dev"], allowed_branches=("release/*",))
    tag = ReleaseTrigger(trigger_type="tag", tag="web/v1.0.0")
    async with open_api(tmp_path, environments=strict) as api, opened(api, tmp_path) as client:
        with pytest.raises(ReleaseRefused) as unregistered:
            await client.register(RELEASE)
        await api.register()
        made = await client.register(msgspec.structs.replace(RELEASE, aliases=("blue",)))
        with pytest.raises(ReleaseRefused) as policy:
            await client.request_deployment(made.id, "dev")
        with pytest.raises(ReleaseRefused) as elsewhere:
            await client.request_deployment(made.id, "production")
        with pytest.raises(ReleaseRefused) as taken:
            await client.register(msgspec.structs.replace(RELEASE, commit_sha="b" * 40, trigger=tag, aliases=("blue",)))

    assert made.auto_deploy == ()
    codes = [refused.value.code for refused in (unregistered, policy, elsewhere, taken)]
    assert codes == ["POLICY_DENIED", "POLICY_DENIED", "POLICY_DENIED", "RELEASE_CONFLICT"]
    assert "not registered" in str(unregistered.value)
    assert "release/*" in str(policy.value)


async def test_an_api_that_does_not_answer_is_away(tmp_path: Path) -> None:
    async with answered(tmp_path, lambda _request: Response(status_code=503)) as client:
        with pytest.raises(ReleaseApiAway):
            await client.find(REPOSITORY, "web", SHA)


@pytest.mark.parametrize(
    ("status", "text"), [(404, "<html>no such page</html>"), (200, "{}"), (200, "[]"), (401, "go away"), (400, "{}")]
)
async def test_an_answer_that_is_none_of_the_api_is_refused(tmp_path: Path, status: int, text: str) -> None:
    async with answered(tmp_path, lambda _request: Response(text, status)) as client:
        with pytest.raises(ReleaseRefused) as refused:
            await client.find(REPOSITORY, "web", SHA)

    assert refused.value.code == "INTERNAL"


async def test_the_release_of_another_commit_is_not_taken_for_the_one_asked_for(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api, opened(api, tmp_path) as client:
        await api.register()
        await client.register(RELEASE)
        found = (await api.client.get(f"/v1/releases/{REPOSITORY}/web/{SHA}")).json()

    async with answered(tmp_path, lambda _request: JSONResponse(found)) as client:
        assert await client.find(REPOSITORY, "web", SHA) is not None
        with pytest.raises(ReleaseRefused, match=SHA):
            await client.find(REPOSITORY, "web", "b" * 40)


async def test_the_token_goes_to_the_api_and_nowhere_else(tmp_path: Path) -> None:
    seen: dict[str, str | None] = {}

    def answer(request: Request) -> Response:
        seen[request.url.hostname or ""] = request.headers.get("authorization")
        if request.url.hostname == "localhost":
            return Response(status_code=307, headers={"Location": "http://127.0.0.1/elsewhere"})
        return Response(status_code=403)

    async with answered(tmp_path, answer) as client:
        with pytest.raises(ReleaseRefused):
            await client.find(REPOSITORY, "web", SHA)
        asked_elsewhere = seen.pop("127.0.0.1")
        with pytest.raises(ReleaseRefused, match="another server"):
            await client.register(RELEASE)

    assert asked_elsewhere is None
    assert seen == {"localhost": "Bearer " + "t" * 43}


@pytest.mark.parametrize("content", [None, b"", b"\xff", b"a\nb"])
async def test_a_token_that_is_none_is_told_and_not_shown(tmp_path: Path, content: bytes | None) -> None:
    async with answered(tmp_path, lambda _request: Response()) as client:
        (tmp_path / "token").unlink()
        if content is not None:
            (tmp_path / "token").write_bytes(content)
        with pytest.raises(ReleaseRefused, match="token"):
            await client.find(REPOSITORY, "web", SHA)


async def test_a_renewed_token_is_read_from_its_file(tmp_path: Path) -> None:
    sent = []

    def answer(request: Request) -> Response:
        sent.append(request.headers["authorization"])
        return JSONResponse({"error": {"code": "not_found", "message": "none", "details": {}}}, 404)

    async with answered(tmp_path, answer) as client:
        await client.find(REPOSITORY, "web", SHA)
        (tmp_path / "token").write_text("u" * 43)
        await client.find(REPOSITORY, "web", SHA)

    assert sent == ["Bearer " + "t" * 43, "Bearer " + "u" * 43]
