"""The registry on disk by its answers: who may ask, what it refuses, and that nothing leaves its directory."""

import asyncio
import base64
import hashlib
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.registry_server import serving

from forge_api.registry.app import WRITE_BYTES, create_registry
from forge_api.registry.store import UPLOAD_S_MAX, Store
from forge_runtime.oci.image import MANIFEST_BYTES_MAX, MANIFEST_TYPE, Artifact, blob_of

TOKEN = "a-token-of-forty-characters-for-the-tests"
HELLO = "sha256:" + hashlib.sha256(b"hello").hexdigest()


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def client_of(directory: Path, token: str | None = None, **more: object) -> httpx2.AsyncClient:
    app = create_registry(directory, token, **more)  # type: ignore[arg-type]
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1")


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(tmp_path / "registry") as client:
        yield client


async def upload(client: httpx2.AsyncClient, content: bytes, name: str = "acme/shop") -> str:
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    reply = await client.post(f"/v2/{name}/blobs/uploads/?digest={digest}", content=content)
    assert reply.status_code == 201, reply.text
    return digest


async def put(client: httpx2.AsyncClient, artifact: Artifact, name: str, tag: str) -> httpx2.Response:
    return await client.put(
        f"/v2/{name}/manifests/{tag}", content=artifact.encoded(), headers={"Content-Type": MANIFEST_TYPE}
    )


def codes(reply: httpx2.Response) -> list[str]:
    return [error["code"] for error in reply.json()["errors"]]


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


# Who may ask


@pytest.mark.parametrize(
    ("shown", "status"),
    [
        (None, 401),
        (basic("forge", TOKEN), 200),
        (f"Bearer {TOKEN}", 200),
        (f"bearer {TOKEN}", 200),
        (basic("forge", TOKEN[:-1]), 401),
        (basic("forge", ""), 401),
        (basic("other", TOKEN), 401),
        ("Basic !", 401),
        ("Basic", 401),
        (f"Digest {TOKEN}", 401),
        (TOKEN, 401),
        ("Bearer ", 401),
    ],
)
async def test_the_token_opens_and_nothing_else_does(tmp_path: Path, shown: str | None, status: int) -> None:
    async with client_of(tmp_path, TOKEN) as client:
        reply = await client.get("/v2/", headers={"Authorization": shown} if shown else {})

    assert reply.status_code == status
    assert TOKEN not in reply.text
    if status == 401:
        assert reply.headers["WWW-Authenticate"] == 'Basic realm="forge"'
        assert codes(reply) == ["UNAUTHORIZED"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2/acme/shop/manifests/v1"),
        ("PUT", "/v2/acme/shop/manifests/v1"),
        ("GET", f"/v2/acme/shop/blobs/{HELLO}"),
        ("POST", "/v2/acme/shop/blobs/uploads/"),
        ("GET", "/v2/acme/shop/tags/list"),
        ("GET", f"/v2/acme/shop/referrers/{HELLO}"),
        ("GET", "/somewhere/else"),
    ],
)
async def test_nothing_is_told_to_whom_the_token_is_unknown(tmp_path: Path, method: str, path: str) -> None:
    async with client_of(tmp_path, TOKEN) as client:
        assert (await client.request(method, path)).status_code == 401


async def test_a_token_of_the_token_server_is_for_its_scope_alone(tmp_path: Path) -> None:
    async with client_of(tmp_path, TOKEN, mode="bearer") as client:
        await client.post("/v2/acme/shop/blobs/uploads/", headers={"Authorization": basic("forge", TOKEN)})
        query = {"service": "forge-registry", "scope": "repository:acme/shop:pull"}
        assert (await client.get("/token", params=query)).status_code == 401
        given = await client.get("/token", params=query, headers={"Authorization": basic("forge", TOKEN)})
        shown = {"Authorization": f"Bearer {given.json()['token']}"}

        answers = {
            "its own": await client.get("/v2/acme/shop/tags/list", headers=shown),
            "to push": await client.post("/v2/acme/shop/blobs/uploads/", headers=shown),
            "another": await client.get("/v2/acme/other/tags/list", headers=shown),
        }

    assert {name: reply.status_code for name, reply in answers.items()} == {
        "its own": 404,
        "to push": 401,
        "another": 401,
    }
    assert answers["to push"].headers["WWW-Authenticate"] == (
        'Bearer realm="http://127.0.0.1/token",service="forge-registry",scope="repository:acme/shop:pull,push"'
    )


# What it refuses


@pytest.mark.parametrize(
    "name",
    [
        "..",
        "acme/..",
        "../acme",
        "acme//shop",
        "Acme/shop",
        "acme/_tags",
        "_uploads",
        ".",
        "a" * 256,
        "acme/shop\n",
        "a b",
    ],
)
async def test_a_name_that_is_none_makes_no_file(tmp_path: Path, name: str) -> None:
    async with client_of(tmp_path / "registry") as client:
        quoted = "".join(f"%{byte:02x}" for byte in name.encode())
        replies = [
            await client.post(f"/v2/{quoted}/blobs/uploads/?digest={HELLO}", content=b"hello"),
            await client.put(f"/v2/{quoted}/manifests/v1", content=b"{}"),
            await client.get(f"/v2/{quoted}/tags/list"),
            await client.post(f"/v2/acme/shop/blobs/uploads/?mount={HELLO}&from={quoted}"),
        ]

    assert all(400 <= reply.status_code < 500 for reply in replies), replies
    assert files_below(tmp_path) == []


@pytest.mark.parametrize(
    "digest", ["sha256:..", "sha256:" + "A" * 64, "md5:d41d8cd98f00b204e9800998ecf8427e", "sha256:" + "a" * 63, "x", ""]
)
async def test_a_digest_that_is_none_makes_no_file(registry: httpx2.AsyncClient, tmp_path: Path, digest: str) -> None:
    begun = await registry.post("/v2/acme/shop/blobs/uploads/")
    replies = [
        await registry.put(begun.headers["Location"] + f"?digest={digest}", content=b"hello"),
        await registry.get(f"/v2/acme/shop/blobs/{digest or 'x'}"),
        await registry.get(f"/v2/acme/shop/referrers/{digest or 'x'}"),
    ]

    assert [reply.status_code for reply in replies] == [400, 400, 400]
    assert files_below(tmp_path / "registry" / "blobs") == []


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"]),
    parts=st.lists(
        st.sampled_from(
            ["v2", "acme", "..", ".", "", "blobs", "uploads", "manifests", "tags", "list", "referrers", HELLO]
        )
        | st.text(max_size=8),
        max_size=7,
    ),
    query=st.dictionaries(st.sampled_from(["digest", "mount", "from", "n", "last"]), st.text(max_size=8), max_size=3),
    body=st.binary(max_size=20),
)
def test_no_request_is_too_odd_for_an_answer(
    tmp_path: Path, method: str, parts: list[str], query: dict[str, str], body: bytes
) -> None:
    async def scenario() -> int:
        async with client_of(tmp_path / "registry") as client:
            path = "/".join("".join(f"%{byte:02x}" for byte in part.encode("utf-8", "replace")) for part in parts)
            return (await client.request(method, f"/v2/{path}", params=query, content=body)).status_code

    assert asyncio.run(scenario()) < 500
    assert {path.name for path in tmp_path.iterdir()} == {"registry"}


async def test_content_of_another_digest_is_refused_and_not_kept(registry: httpx2.AsyncClient, tmp_path: Path) -> None:
    reply = await registry.post(f"/v2/acme/shop/blobs/uploads/?digest={HELLO}", content=b"hellO")

    assert (reply.status_code, codes(reply)) == (400, ["DIGEST_INVALID"])
    assert (await registry.get(f"/v2/acme/shop/blobs/{HELLO}")).status_code == 404
    assert list((tmp_path / "registry" / "uploads").iterdir()) == []


async def test_a_chunk_that_is_not_the_next_is_refused_and_the_next_is_named(registry: httpx2.AsyncClient) -> None:
    session = (await registry.post("/v2/acme/shop/blobs/uploads/")).headers["Location"]
    await registry.patch(session, content=b"he", headers={"Content-Range": "0-1"})

    for span in ("0-1", "3-4", "2-1", "x"):
        reply = await registry.patch(session, content=b"ll", headers={"Content-Range": span})
        assert (reply.status_code, reply.headers.get("Range")) == (416, "0-1")
    assert (await registry.get(session)).headers["Range"] == "0-1"

    assert (await registry.put(f"{session}?digest={HELLO}", content=b"llo")).status_code == 201


async def test_an_upload_is_of_one_repository_and_a_blob_of_those_that_have_it(registry: httpx2.AsyncClient) -> None:
    session = (await registry.post("/v2/acme/shop/blobs/uploads/")).headers["Location"]
    await upload(registry, b"hello", "acme/secret")

    assert (await registry.get(session.replace("acme/shop", "acme/other"))).status_code == 404
    assert (await registry.get(f"/v2/acme/shop/blobs/{HELLO}")).status_code == 404
    assert (await registry.get(f"/v2/acme/secret/blobs/{HELLO}")).content == b"hello"


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        (b"{", MANIFEST_TYPE, "MANIFEST_INVALID"),
        (b"{}", "text/plain", "MANIFEST_INVALID"),
        (b"{}", "", "MANIFEST_INVALID"),
        (Artifact(artifact_type="a/b").encoded(), "application/vnd.oci.image.index.v1+json", "MANIFEST_INVALID"),
        (Artifact(artifact_type="a/b").encoded(), MANIFEST_TYPE, "MANIFEST_BLOB_UNKNOWN"),
        (b" " * (MANIFEST_BYTES_MAX + 1), MANIFEST_TYPE, "SIZE_INVALID"),
    ],
    ids=["broken", "text", "no type", "another type", "blobs missing", "too large"],
)
async def test_a_manifest_that_cannot_be_is_refused(
    registry: httpx2.AsyncClient, body: bytes, kind: str, code: str
) -> None:
    reply = await registry.put("/v2/acme/shop/manifests/v1", content=body, headers={"Content-Type": kind})

    assert codes(reply) == [code]
    assert (await registry.get("/v2/acme/shop/manifests/v1")).status_code == 404


async def test_a_manifest_under_a_digest_that_is_not_its_own_is_refused(registry: httpx2.AsyncClient) -> None:
    reply = await put(registry, Artifact(artifact_type="a/b"), "acme/shop", HELLO)

    assert (reply.status_code, codes(reply)) == (400, ["DIGEST_INVALID"])


async def test_tags_are_listed_in_pages(registry: httpx2.AsyncClient) -> None:
    await upload(registry, b"{}")
    for tag in ("v3", "a", "v1", "B", "v2"):
        assert (await put(registry, Artifact(artifact_type="a/b"), "acme/shop", tag)).status_code == 201

    found, pages, path = [], 0, "/v2/acme/shop/tags/list?n=2"
    while path:
        reply = await registry.get(path)
        found += reply.json()["tags"]
        path = reply.headers.get("Link", "").partition(">")[0].removeprefix("<")
        pages += 1

    assert (found, pages) == (["B", "a", "v1", "v2", "v3"], 3)
    assert (await registry.get("/v2/acme/shop/tags/list?n=0")).json()["tags"] == []
    assert (await registry.get("/v2/acme/nobody/tags/list")).status_code == 404


async def test_deleting_can_be_forbidden(tmp_path: Path) -> None:
    async with client_of(tmp_path, deletes=False) as client:
        await upload(client, b"hello")
        await upload(client, b"{}")
        await put(client, Artifact(artifact_type="a/b"), "acme/shop", "v1")

        refused = [
            await client.delete("/v2/acme/shop/manifests/v1"),
            await client.delete(f"/v2/acme/shop/blobs/{HELLO}"),
        ]

        assert [reply.status_code for reply in refused] == [405, 405]
        session = (await client.post("/v2/acme/shop/blobs/uploads/")).headers["Location"]
        assert (await client.delete(session)).status_code == 204, "an upload may be given up all the same"


async def test_what_refers_to_a_deleted_referrer_is_none(registry: httpx2.AsyncClient) -> None:
    await upload(registry, b"{}")
    subject = Artifact(artifact_type="a/b")
    word = Artifact(artifact_type="c/d", subject=subject.descriptor())
    reply = await put(registry, word, "acme/shop", "word")
    place = f"/v2/acme/shop/referrers/{subject.descriptor().digest}"
    assert reply.headers["OCI-Subject"] == subject.descriptor().digest
    assert len((await registry.get(place)).json()["manifests"]) == 1

    await registry.delete(f"/v2/acme/shop/manifests/{word.descriptor().digest}")

    assert (await registry.get(place)).json()["manifests"] == []
    assert (await registry.get("/v2/acme/shop/manifests/word")).status_code == 404


# What happens to files


async def test_what_had_come_when_a_connection_broke_is_kept(tmp_path: Path) -> None:
    content = os.urandom(2 * WRITE_BYTES + 5)
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    with serving(create_registry(tmp_path)) as host:
        async with httpx2.AsyncClient(base_url=f"http://{host}") as client:
            session = (await client.post("/v2/acme/shop/blobs/uploads/")).headers["Location"]
            address, _, port = host.partition(":")
            with socket.create_connection((address, int(port))) as connection:
                head = f"PATCH {session} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(content) + 1}\r\n\r\n"
                await asyncio.to_thread(connection.sendall, head.encode() + content)
                async with asyncio.timeout(20):
                    # The registry writes a piece when it has one; only its answers tell.
                    while int((await client.get(session)).headers["Range"][2:]) < WRITE_BYTES:  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
            came: list[int] = []
            for _ in range(2):  # the first waits until the broken connection has written, and may then be too early
                came.append(int((await client.get(session)).headers["Range"].removeprefix("0-")) + 1)
                span = {"Content-Range": f"{came[-1]}-{len(content) - 1}"}
                await client.patch(session, content=content[came[-1] :], headers=span)
            done = await client.put(f"{session}?digest={digest}")

    assert done.status_code == 201
    assert came[0] > WRITE_BYTES


async def test_many_may_push_the_same_at_once(tmp_path: Path) -> None:
    artifact = Artifact(artifact_type="a/b", layers=(blob_of("text/plain", b"hello"),))
    async with client_of(tmp_path) as client:

        async def push(number: int) -> int:
            await upload(client, b"hello")
            await upload(client, b"{}")
            return (await put(client, artifact, "acme/shop", f"v{number % 3}")).status_code

        assert set(await asyncio.gather(*map(push, range(20)))) == {201}

    store = Store(tmp_path)
    assert store.tags("acme/shop") == ["v0", "v1", "v2"]
    assert {path.name for path in (tmp_path / "uploads").iterdir()} == set()


async def test_an_upload_that_is_given_up_while_it_goes_on_leaves_nothing(
    registry: httpx2.AsyncClient, tmp_path: Path
) -> None:
    session = (await registry.post("/v2/acme/shop/blobs/uploads/")).headers["Location"]
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def content() -> AsyncIterator[bytes]:
        yield bytes(WRITE_BYTES)
        begun.set()
        await go_on.wait()
        yield bytes(WRITE_BYTES)

    async with asyncio.timeout(60):
        appending = asyncio.create_task(registry.patch(session, content=content()))
        await begun.wait()
        giving_up = asyncio.create_task(registry.delete(session))
        await asyncio.wait({giving_up}, timeout=0.2)  # it must not come first, and gets its chance to
        go_on.set()

        assert (await appending).status_code == 202
        assert (await giving_up).status_code == 204
    assert list((tmp_path / "registry" / "uploads").iterdir()) == []


def test_uploads_of_yesterday_are_forgotten(tmp_path: Path) -> None:
    store = Store(tmp_path)
    old, new = store.begin_upload("acme/shop"), store.begin_upload("acme/shop")
    for name in (old, f"{old}.of"):
        path = tmp_path / "uploads" / name
        moment = path.stat().st_mtime - UPLOAD_S_MAX - 10
        os.utime(path, (moment, moment))

    again = Store(tmp_path)

    assert again.upload("acme/shop", old) is None
    assert again.upload("acme/shop", new) is not None


async def test_a_write_that_fails_is_told_of_and_leaves_what_was_there(
    registry: httpx2.AsyncClient, tmp_path: Path
) -> None:
    one, other = Artifact(artifact_type="a/one"), Artifact(artifact_type="a/other")
    await upload(registry, b"{}")
    await put(registry, one, "acme/shop", "v1")
    uploads = tmp_path / "registry" / "uploads"
    uploads.rmdir()  # nothing can be written beside its place now, as on a full disk

    failed = await put(registry, other, "acme/shop", "v1")

    assert (failed.status_code, codes(failed)) == (503, ["UNAVAILABLE"])
    assert str(tmp_path) not in failed.text
    assert (await registry.get("/v2/acme/shop/manifests/v1")).content == one.encoded()
    uploads.mkdir()
    assert (await put(registry, other, "acme/shop", "v1")).status_code == 201
