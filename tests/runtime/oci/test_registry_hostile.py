"""The client with a registry that means harm: it learns nothing, sends us nowhere, and holds us up for no longer than
a limit says."""

import base64
import hashlib
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from traceback import format_exception

import pytest
import trustme
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from tests.registry_server import serving
from tests.runtime.oci.clients import PASSWORD, opened

from forge_api.registry.app import create_registry
from forge_runtime.http import Http
from forge_runtime.oci.credentials import Credential, GivenCredentials
from forge_runtime.oci.image import INDEX_TYPE, MANIFEST_TYPE, Artifact, Descriptor, blob_of
from forge_runtime.oci.mirrors import Mirrors, parse_mirrors
from forge_runtime.oci.reference import Reference, parse_reference
from forge_runtime.oci.registry import BLOB_BYTES_MAX, DigestMismatch, RegistryAway, RegistryClient, RegistryRefused

SMALL = blob_of("text/plain", b"hello")
ARTIFACT = Artifact(artifact_type="application/vnd.example.v1", layers=(SMALL,))
PIN = "sha256:" + "a" * 64

Answer = Callable[[Request], Response]


def answering(answer: Answer) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        await request.body()
        await answer(request)(scope, receive, send)

    return app


@contextmanager
def hostile(answer: Answer) -> Iterator[str]:
    with serving(answering(answer)) as host:
        yield host


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "http://registry.example/x",
        "http://169.254.169.254/latest/meta-data",
        "https://",
        "http://[::1",
        "",
        None,
        "javascript:alert(1)",
    ],
)
async def test_an_upload_goes_on_at_no_address_but_a_safe_one(location: str | None) -> None:
    def answer(request: Request) -> Response:
        headers = {} if location is None else {"Location": location}
        return Response(status_code=202 if request.method == "POST" else 404, headers=headers)

    with hostile(answer) as host:
        async with opened(host) as it:
            with pytest.raises(RegistryRefused):
                await it.client.put_blob(it.reference(), SMALL)

            assert {request.url.netloc.decode() for request in it.requests} == {host}
            assert it.count("PUT") == 0


async def test_an_upload_goes_on_elsewhere_without_our_password(tmp_path: Path) -> None:
    seen: list[tuple[str, str | None]] = []

    def storage(request: Request) -> Response:
        seen.append((request.method, request.headers.get("authorization")))
        return Response(status_code=201)

    with hostile(storage) as elsewhere:
        ours = create_registry(tmp_path, PASSWORD)

        async def sending_away(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["method"] == "POST" and Request(scope).headers.get("authorization"):
                response = Response(status_code=202, headers={"Location": f"http://{elsewhere}/upload?state=1"})
                await response(scope, receive, send)
            else:
                await ours(scope, receive, send)

        with serving(sending_away) as host:
            async with opened(host) as it:
                await it.client.put_blob(it.reference(), SMALL)

    assert seen == [("PUT", None)]


async def test_a_server_elsewhere_that_asks_who_we_are_is_not_told(tmp_path: Path) -> None:
    seen: list[str | None] = []

    def storage(request: Request) -> Response:
        seen.append(request.headers.get("authorization"))
        return Response(status_code=401, headers={"WWW-Authenticate": 'Basic realm="storage"'})

    with hostile(storage) as elsewhere:

        def answer(request: Request) -> Response:
            if not request.headers.get("authorization"):
                return Response(status_code=401, headers={"WWW-Authenticate": 'Basic realm="registry"'})
            return Response(status_code=307, headers={"Location": f"http://{elsewhere}/x"})

        with hostile(answer) as host:
            async with opened(host) as it:
                with pytest.raises(RegistryRefused) as refused:
                    await it.client.get_blob(it.reference(), SMALL.descriptor)

    assert refused.value.status == 401
    assert seen == [None]


@pytest.mark.parametrize(
    "location",
    ["file:///etc/passwd", "gopher://127.0.0.1/", "http://registry.example/", "http://user:pass@127.0.0.1/", ":"],
)
async def test_a_redirect_leads_to_no_file_and_no_plain_http_elsewhere(tmp_path: Path, location: str) -> None:
    with hostile(lambda _: Response(status_code=307, headers={"Location": location})) as host:
        async with opened(host) as it:
            with pytest.raises(RegistryRefused):
                await it.client.get_blob(it.reference(), SMALL.descriptor)
            with pytest.raises(RegistryRefused):
                await it.client.download_blob(it.reference(), SMALL.descriptor, tmp_path / "back")

            assert {request.url.netloc.decode() for request in it.requests} == {host}
    assert not (tmp_path / "back").exists()


async def test_redirects_in_a_circle_end() -> None:
    with hostile(lambda request: Response(status_code=307, headers={"Location": str(request.url)})) as host:
        async with opened(host) as it:
            with pytest.raises(RegistryRefused, match="redirects"):
                await it.client.get_blob(it.reference(), SMALL.descriptor)

            assert len(it.requests) < 10


async def test_an_answer_larger_than_what_was_asked_for_is_not_taken(tmp_path: Path) -> None:
    headers = {"Content-Type": MANIFEST_TYPE}
    with hostile(lambda _: Response(b"x" * 5_000_000, headers=headers)) as host:
        async with opened(host) as it:
            with pytest.raises(RegistryRefused, match="longer than"):
                await it.client.get_manifest(it.reference())
            with pytest.raises(RegistryRefused, match="longer than 5 bytes"):
                await it.client.get_blob(it.reference(), SMALL.descriptor)
            with pytest.raises(RegistryRefused, match="longer than 5 bytes"):
                await it.client.download_blob(it.reference(), SMALL.descriptor, tmp_path / "back")
    assert not (tmp_path / "back").exists()


async def test_a_blob_that_is_too_large_to_hold_is_not_asked_for() -> None:
    large = Descriptor(media_type="a/b", digest=PIN, size=BLOB_BYTES_MAX + 1)

    with hostile(lambda _: Response()) as host:
        async with opened(host) as it:
            with pytest.raises(RegistryRefused, match="too many to hold"):
                await it.client.get_blob(it.reference(), large)

            assert it.requests == []


@pytest.mark.parametrize("digest", ["md5:d41d8cd98f00b204e9800998ecf8427e", "sha256:short", "sha256:../../x"])
async def test_a_digest_that_nobody_can_verify_is_not_asked_for(tmp_path: Path, digest: str) -> None:
    with hostile(lambda _: Response(b"")) as host:
        async with opened(host) as it:
            for asking in (
                it.client.get_blob(it.reference(), Descriptor(media_type="a/b", digest=digest, size=0)),
                it.client.download_blob(
                    it.reference(), Descriptor(media_type="a/b", digest=digest, size=0), tmp_path / "back"
                ),
            ):
                with pytest.raises(DigestMismatch, match="no digest that can be verified"):
                    await asking


async def test_a_digest_of_sha512_is_verified(tmp_path: Path) -> None:
    right = Descriptor(media_type="a/b", digest="sha512:" + hashlib.sha512(b"hello").hexdigest(), size=5)
    wrong = Descriptor(media_type="a/b", digest="sha512:" + "0" * 128, size=5)
    with hostile(lambda _: Response(b"hello")) as host:
        async with opened(host) as it:
            assert await it.client.get_blob(it.reference(), right) == b"hello"
            await it.client.download_blob(it.reference(), right, tmp_path / "back")
            with pytest.raises(DigestMismatch):
                await it.client.download_blob(it.reference(), wrong, tmp_path / "back")


async def test_a_list_of_referrers_without_end_is_given_up() -> None:
    def answer(request: Request) -> Response:
        page = int(request.query_params.get("page", 0)) + 1
        link = f'<{request.url.path}?page={page}>; rel="next"'
        index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": []}
        return JSONResponse(index, headers={"Link": link}, media_type=INDEX_TYPE)

    with hostile(answer) as host:
        async with opened(host) as it:
            with pytest.raises(RegistryRefused, match="longer than 50 pages"):
                await it.client.referrers(it.reference().at(PIN))

            assert len(it.requests) == 50


async def test_a_list_of_referrers_with_too_many_entries_is_given_up() -> None:
    entry = {"mediaType": MANIFEST_TYPE, "digest": PIN, "size": 1}
    index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [entry] * 10_001}
    with hostile(lambda _: JSONResponse(index, media_type=INDEX_TYPE)) as host:
        async with opened(host) as it:
            with pytest.raises(RegistryRefused, match="10000 entries"):
                await it.client.referrers(it.reference().at(PIN))


@pytest.mark.parametrize(
    ("next_page", "reason"),
    [("http://127.0.0.1:1/more", "at another server"), ("http://[x/more", "address that is none")],
)
async def test_a_list_of_referrers_goes_on_at_the_same_server_alone(next_page: str, reason: str) -> None:
    index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": []}
    link = f'<{next_page}>; rel="next"'
    with hostile(lambda _: JSONResponse(index, headers={"Link": link}, media_type=INDEX_TYPE)) as host:
        async with opened(host) as it:
            with pytest.raises(RegistryRefused, match=reason):
                await it.client.referrers(it.reference().at(PIN))


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"[" * 100_000, b'{"schemaVersion":2,"manifests":[{}]}'])
async def test_a_list_of_referrers_that_is_none_is_refused(body: bytes) -> None:
    with hostile(lambda _: Response(body, media_type=INDEX_TYPE)) as host:
        async with opened(host) as it:
            with pytest.raises(RegistryRefused, match="not an image index"):
                await it.client.referrers(it.reference().at(PIN))


@pytest.mark.parametrize("body", [b"", b"[]", b"[" * 100_000, b'{"schemaVersion":2}'])
async def test_a_manifest_that_is_none_is_refused(body: bytes) -> None:
    with hostile(lambda _: Response(body, headers={"Content-Type": MANIFEST_TYPE})) as host:
        async with opened(host) as it:
            with pytest.raises(RegistryRefused, match="not an image manifest"):
                await it.client.get_manifest(it.reference())


@pytest.mark.parametrize("kind", ["", "x", "a/b\tc", "a" * 300 + "/b"])
async def test_a_manifest_of_no_type_is_refused(kind: str) -> None:
    with hostile(lambda _: Response(b"{}", headers={"Content-Type": kind})) as host:
        async with opened(host) as it:
            with pytest.raises(RegistryRefused):
                await it.client.get_manifest(it.reference())


@pytest.mark.parametrize("span", ["0-999999999999999999999999", "0-x", "5-9", "0-5000000", ""])
async def test_a_session_that_says_nonsense_of_how_far_it_came_is_given_up(span: str) -> None:
    def answer(request: Request) -> Response:
        headers = {"Location": "/v2/acme/shop/blobs/uploads/1", "Range": span}
        if request.method == "PATCH":
            return Response(status_code=503)
        return Response(status_code={"POST": 202, "GET": 204}.get(request.method, 404), headers=headers)

    with hostile(answer) as host:
        async with opened(host) as it:
            with pytest.raises(RegistryRefused):
                await it.client.put_blob(it.reference(), blob_of("a/b", bytes(5000)))

            assert it.count("PATCH") == 1, "then all of it at once"
            assert it.count("PUT") == 4


async def test_a_registry_that_asks_for_huge_chunks_gets_the_blob_in_one() -> None:
    taken: list[str] = []

    def answer(request: Request) -> Response:
        taken.append(request.method)
        headers = {"Location": "/v2/acme/shop/blobs/uploads/1", "OCI-Chunk-Min-Length": "9" * 30}
        return Response(status_code={"POST": 202, "PUT": 201}.get(request.method, 404), headers=headers)

    with hostile(answer) as host:
        async with opened(host) as it:
            await it.client.put_blob(it.reference(), blob_of("a/b", bytes(5000)))

    assert taken == ["HEAD", "POST", "PUT"]


async def test_a_registry_that_always_asks_who_we_are_is_told_once() -> None:
    def answer(_: Request) -> Response:
        return Response(b"no", status_code=401, headers={"WWW-Authenticate": 'Basic realm="registry"'})

    with hostile(answer) as host:
        async with opened(host) as it:
            with pytest.raises(RegistryRefused) as refused:
                await it.client.resolve(it.reference())

            assert refused.value.status == 401
            assert len(it.requests) == 2


@pytest.mark.parametrize("status", [400, 403, 500])
async def test_secrets_that_a_registry_sends_back_are_in_no_message(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    encoded = base64.b64encode(f"forge:{PASSWORD}".encode()).decode()

    def answer(request: Request) -> Response:
        shown = request.headers.get("authorization")
        if shown is None:
            return Response(status_code=401, headers={"WWW-Authenticate": 'Basic realm="registry"'})
        return Response(f"you said {shown} and {PASSWORD}", status_code=status, headers={"Warning": f"299 - {shown}"})

    with hostile(answer) as host:
        async with opened(host) as it:
            with pytest.raises((RegistryRefused, RegistryAway)) as failed:
                await it.client.resolve(it.reference())

    everything = "".join(format_exception(failed.value)) + repr(failed.value.__context__) + caplog.text
    assert PASSWORD not in everything
    assert encoded not in everything


async def test_a_token_that_a_registry_sends_back_is_in_no_message() -> None:
    def answer(request: Request) -> Response:
        if request.url.path == "/token":
            return JSONResponse({"token": "t0k3n-of-the-server"})
        shown = request.headers.get("authorization")
        if shown is None:
            challenge = f'Bearer realm="{request.base_url}token",service="s"'
            return Response(status_code=401, headers={"WWW-Authenticate": challenge})
        return Response(f"you said {shown}", status_code=403)

    with hostile(answer) as host:
        async with opened(host) as it:
            with pytest.raises(RegistryRefused) as failed:
                await it.client.resolve(it.reference())

    assert "t0k3n" not in str(failed.value)


async def test_a_registry_elsewhere_is_asked_with_tls_and_its_certificate_is_checked(tmp_path: Path) -> None:
    """`registry.example` is this machine under another name: what stands in for it has a certificate."""
    authority = trustme.CA()
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    reference = parse_reference("registry.example/acme/shop:v1")

    with serving(create_registry(tmp_path, PASSWORD), context) as host:
        credentials = GivenCredentials({host: Credential(user="forge", password=PASSWORD)})
        mirrors = parse_mirrors(f"registry.example=https://{host}")
        async with Http.open(verify=trusting) as http:
            client = RegistryClient(http, credentials, mirrors=mirrors)
            descriptor = await client.push(reference, ARTIFACT)

            assert await client.resolve(reference) == descriptor
        async with Http.open() as http:
            failing = RegistryClient(replace(http, wait=nothing), credentials, mirrors=mirrors)
            with pytest.raises(RegistryAway, match="CERTIFICATE"):
                await failing.resolve(reference)


async def nothing(_: float) -> None:
    """No wait."""


async def test_every_registry_is_the_one_on_this_machine_if_that_is_wanted(tmp_path: Path) -> None:
    with serving(create_registry(tmp_path, PASSWORD)) as host:
        async with opened(host, mirrors=Mirrors({"*": f"http://{host}"})) as it:
            elsewhere = Reference(registry="registry.example", repository="acme/shop", tag="v1")

            await it.client.push(elsewhere, ARTIFACT)

            assert await it.client.resolve(it.reference()) == ARTIFACT.descriptor()
            assert {request.url.netloc.decode() for request in it.requests} == {host}
