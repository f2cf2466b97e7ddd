"""The client with a registry that misbehaves as networks and servers do: what can be had is had, and nothing twice."""

import asyncio
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from tests.judge import cases
from tests.registry_server import serving
from tests.runtime.oci.clients import CHUNK_BYTES, PASSWORD, opened

from forge_api.registry.access import Access
from forge_api.registry.app import Registry, create_registry
from forge_api.registry.faults import Answers, Cuts, Drops, Fault, Lies, Loses, Stalls
from forge_api.registry.store import Store
from forge_runtime.oci.image import Artifact, blob_of, json_blob
from forge_runtime.oci.registry import DigestMismatch, RegistryAway, RegistryRefused

LARGE = blob_of("application/octet-stream", os.urandom(3 * CHUNK_BYTES + 10))
SMALL = blob_of("text/plain", b"hello")
ARTIFACT = Artifact(
    artifact_type="application/vnd.example.v1",
    config=json_blob("application/vnd.example.config.v1+json", {"a": 1}),
    layers=(SMALL, LARGE),
)


@contextmanager
def faulty(folder: Path, *faults: Fault) -> Iterator[str]:
    with serving(create_registry(folder / "registry", PASSWORD, faults=faults)) as host:
        yield host


async def pushed(host: str) -> None:
    """What the tests of pulling pull."""
    async with opened(host) as other:
        await other.client.push(other.reference(), ARTIFACT)


@pytest.mark.parametrize("what", [Drops(), Loses(), Answers(status=503)], ids=["drops", "loses", "503"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("HEAD", "/manifests/"),
        ("HEAD", "/blobs/"),
        ("POST", "/uploads/"),
        ("PATCH", "/uploads/"),
        ("PUT", "/uploads/"),
        ("PUT", "/manifests/"),
    ],
)
async def test_a_push_outlives_one_failure_of_any_of_its_questions(
    tmp_path: Path, what: Drops | Loses | Answers, method: str, path: str
) -> None:
    fault = Fault(what=what, method=method, path=path)

    with faulty(tmp_path, fault) as host:
        async with opened(host) as it:
            descriptor = await it.client.push(it.reference(), ARTIFACT)

            assert fault.times == 0, "it happened"
            assert await it.client.get_manifest(it.reference().at(descriptor.digest)) == ARTIFACT.manifest()
            assert await it.client.get_blob(it.reference(), LARGE.descriptor) == LARGE.content


async def test_a_registry_that_is_busy_is_asked_again_when_it_says(tmp_path: Path) -> None:
    busy = Answers(status=429, headers={"Retry-After": "17"})

    with faulty(tmp_path, Fault(what=busy, method="PUT", path="/manifests/", times=2)) as host:
        async with opened(host) as it:
            await it.client.push(it.reference(), ARTIFACT)

            assert [delay_s for delay_s in it.waits if delay_s >= 17] == [17.0, 17.0]


async def test_a_registry_that_stays_away_is_given_up_as_away(tmp_path: Path) -> None:
    with faulty(tmp_path, Fault(what=Answers(status=503, body=b"maintenance"), times=None)) as host:
        async with opened(host) as it:
            with pytest.raises(RegistryAway, match=r"acme/shop:v1: HEAD .* 503 .*5 tries"):
                await it.client.push(it.reference(), ARTIFACT)


@pytest.mark.parametrize("what", [Drops(), Loses()], ids=["drops", "loses"])
async def test_an_upload_goes_on_from_what_the_registry_has(tmp_path: Path, what: Drops | Loses) -> None:
    second = Fault(what=what, method="PATCH", path="/uploads/")
    first = Fault(what=Lies(headers={"X-Nothing": "1"}), method="PATCH", path="/uploads/")

    with faulty(tmp_path, first, second) as host:
        async with opened(host) as it:
            await it.client.put_blob(it.reference(), LARGE)

            assert it.count("POST") == 1, "one session"
            spans = [one.headers["content-range"] for one in it.requests if one.method == "PATCH"]
            repeated = ["1000-1999"] if isinstance(what, Drops) else []
            assert spans == ["0-999", "1000-1999", *repeated, "2000-2999", "3000-3009"]


async def test_an_answer_that_was_lost_is_not_a_blob_that_was_lost(tmp_path: Path) -> None:
    with faulty(tmp_path, Fault(what=Loses(), method="PUT", path="/uploads/")) as host:
        async with opened(host) as it:
            await it.client.put_blob(it.reference(), SMALL)

            assert it.count("PUT") == 1


async def test_a_session_that_is_gone_is_begun_anew(tmp_path: Path) -> None:
    gone = Answers(status=404, body=b'{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}')

    with faulty(tmp_path, Fault(what=gone, method="PATCH", path="/uploads/")) as host:
        async with opened(host) as it:
            await it.client.put_blob(it.reference(), LARGE)

            assert await it.client.get_blob(it.reference(), LARGE.descriptor) == LARGE.content


@pytest.mark.parametrize("status", [400, 404, 405, 416])
async def test_a_registry_that_takes_no_chunks_gets_all_of_it_at_once(tmp_path: Path, status: int) -> None:
    with faulty(tmp_path, Fault(what=Answers(status=status), method="PATCH", path="/uploads/", times=None)) as host:
        async with opened(host) as it:
            await it.client.put_blob(it.reference(), LARGE)

            assert it.count("PATCH") == 1
            assert await it.client.get_blob(it.reference(), LARGE.descriptor) == LARGE.content


@pytest.mark.parametrize(("status", "tries"), [(404, 5), (416, 5), (403, 1), (413, 1), (400, 1)])
async def test_a_registry_that_takes_nothing_is_not_asked_for_ever(tmp_path: Path, status: int, tries: int) -> None:
    refusing = Answers(status=status, body=b'{"errors":[{"code":"DENIED"}]}')

    with faulty(tmp_path, Fault(what=refusing, method="PUT", path="/uploads/", times=None)) as host:
        async with opened(host) as it:
            with pytest.raises(RegistryRefused) as refused:
                await it.client.put_blob(it.reference(), SMALL)

            assert (refused.value.status, refused.value.codes) == (status, ("DENIED",))
            assert it.count("PUT") == tries


async def test_what_comes_in_half_is_asked_for_again(tmp_path: Path) -> None:
    with faulty(tmp_path, Fault(what=Cuts(), method="GET", path="/(manifests|blobs)/", times=2)) as host:
        await pushed(host)
        async with opened(host) as it:
            assert await it.client.get_manifest(it.reference()) == ARTIFACT.manifest()
            assert await it.client.get_blob(it.reference(), SMALL.descriptor) == b"hello"


async def test_a_download_that_always_breaks_is_away_and_leaves_no_file(tmp_path: Path) -> None:
    with faulty(tmp_path, Fault(what=Cuts(), method="GET", path="/blobs/", times=None)) as host:
        await pushed(host)
        async with opened(host) as it:
            with pytest.raises(RegistryAway):
                await it.client.download_blob(it.reference(), LARGE.descriptor, tmp_path / "back")

    assert not (tmp_path / "back").exists()


async def test_other_bytes_than_those_of_a_digest_are_refused(tmp_path: Path) -> None:
    with faulty(tmp_path, Fault(what=Lies(), method="GET", times=None)) as host:
        await pushed(host)
        async with opened(host) as it:
            with pytest.raises(DigestMismatch, match="other bytes"):
                await it.client.get_blob(it.reference(), LARGE.descriptor)
            with pytest.raises(DigestMismatch, match="other bytes"):
                await it.client.download_blob(it.reference(), LARGE.descriptor, tmp_path / "back")
            with pytest.raises(DigestMismatch, match="other bytes"):
                await it.client.get_manifest(it.reference())
            with pytest.raises(DigestMismatch, match="other bytes"):
                await it.client.tag(it.reference(), "v2")

    assert not (tmp_path / "back").exists()


async def test_a_pinned_manifest_is_compared_with_the_pin_whatever_the_registry_says(tmp_path: Path) -> None:
    silent = Lies(headers={"Docker-Content-Digest": ""})
    faults = [Fault(what=Answers(status=200, body=b"{}", headers={"Content-Type": "a/b"}), method="GET", times=None)]

    with faulty(tmp_path, *faults, Fault(what=silent, times=None)) as host:
        await pushed(host)
        async with opened(host) as it:
            with pytest.raises(DigestMismatch, match="other bytes"):
                await it.client.get_manifest(it.reference().at(ARTIFACT.descriptor().digest))


async def test_a_registry_that_names_no_digests_is_asked_for_the_content(tmp_path: Path) -> None:
    with faulty(tmp_path, Fault(what=Lies(headers={"Docker-Content-Digest": ""}), times=None)) as host:
        async with opened(host) as it:
            assert await it.client.push(it.reference(), ARTIFACT) == await it.client.resolve(it.reference())


@pytest.mark.parametrize(("method", "path"), [("PUT", "/manifests/"), ("PUT", "/uploads/"), ("HEAD", "/blobs/")])
async def test_a_registry_that_took_something_for_something_else_is_told_of(
    tmp_path: Path, method: str, path: str
) -> None:
    lie = Lies(headers={"Docker-Content-Digest": "sha256:" + "0" * 64})

    lying = create_registry(
        tmp_path / "registry", PASSWORD, faults=[Fault(what=lie, method=method, path=path, times=None)]
    )
    if method == "HEAD":  # there must be something to be asked for
        with faulty(tmp_path) as host:
            await pushed(host)
    with serving(lying) as host:
        async with opened(host) as it:
            with pytest.raises(DigestMismatch, match="sha256:0000"):
                await it.client.push(it.reference("v2"), ARTIFACT)


async def test_a_pin_that_the_registry_contradicts_is_told_of(tmp_path: Path) -> None:
    lie = Lies(headers={"Docker-Content-Digest": "sha256:" + "0" * 64})

    with faulty(tmp_path, Fault(what=lie, method="HEAD", path="/manifests/", times=None)) as host:
        await pushed(host)
        async with opened(host) as it:
            with pytest.raises(DigestMismatch, match="says that this is sha256:0000"):
                await it.client.resolve(it.reference().at(ARTIFACT.descriptor().digest))


async def test_blobs_are_fetched_from_where_the_registry_sends_us_without_our_password(tmp_path: Path) -> None:
    seen: list[str | None] = []

    async def storage(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        seen.append(request.headers.get("authorization"))
        content = LARGE.content if isinstance(LARGE.content, bytes) else b""
        await Response(content)(scope, receive, send)

    with serving(storage) as elsewhere:
        away = Answers(status=307, headers={"Location": f"http://{elsewhere}/signed?x=1"})
        with faulty(tmp_path, Fault(what=away, method="GET", path="/blobs/sha256", times=None)) as host:
            async with opened(host) as it:
                await it.client.push(it.reference(), ARTIFACT)

                assert await it.client.get_blob(it.reference(), LARGE.descriptor) == LARGE.content
                await it.client.download_blob(it.reference(), LARGE.descriptor, tmp_path / "back")

    assert (tmp_path / "back").read_bytes() == LARGE.content
    assert seen == [None, None]


async def test_a_token_that_expired_is_replaced_in_the_middle_of_a_push(tmp_path: Path) -> None:
    access = Access(PASSWORD, "bearer")
    registry = Registry(Store(tmp_path / "registry"), access, deletes=False)

    async def restarting(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] in ("PATCH", "PUT"):
            access.expire()
        await registry(scope, receive, send)

    with serving(restarting) as host:
        async with opened(host) as it:
            with pytest.raises(RegistryRefused) as refused:
                await it.client.put_blob(it.reference(), SMALL)
            assert refused.value.status == 401
            assert it.count("PUT") == 2, "a registry that takes no token is not asked for ever"

    expired = [False]

    async def restarted(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "PUT" and not expired[0]:
            expired[0] = True
            access.expire()
        await registry(scope, receive, send)

    with serving(restarted) as host:
        async with opened(host) as it:
            await it.client.push(it.reference(), ARTIFACT)

            assert await it.client.get_manifest(it.reference()) == ARTIFACT.manifest()


async def test_what_a_registry_warns_of_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    warning = Lies(headers={"Warning": '299 - "this tag goes away"'})

    with faulty(tmp_path, Fault(what=warning, method="PUT", path="/manifests/")) as host:
        async with opened(host) as it:
            with caplog.at_level(logging.WARNING):
                await it.client.push(it.reference(), ARTIFACT)

    (record,) = [record for record in caplog.records if record.message == "the registry warns"]
    assert record.warning == '299 - "this tag goes away"'  # type: ignore[attr-defined]


async def test_a_list_of_referrers_that_does_not_name_ours_is_kept_by_us(tmp_path: Path) -> None:
    quiet = Lies(headers={"OCI-Subject": ""})
    unknown = Answers(status=404)
    faults = [
        Fault(what=quiet, method="PUT", path="/manifests/", times=None),
        Fault(what=unknown, method="GET", path="/referrers/", times=None),
    ]
    with faulty(tmp_path, *faults) as host:
        async with opened(host) as it:
            subject = await it.client.push(it.reference(), ARTIFACT)
            for text in (b"one", b"two", b"one"):
                word = Artifact(artifact_type="a/b", layers=(blob_of("text/plain", text),), subject=subject)
                await it.client.push(it.reference(None), word)

            assert len(await it.client.referrers(it.reference().at(subject.digest))) == 2
            index = it.reference("sha256-" + subject.digest.removeprefix("sha256:"))
            assert await it.client.resolve(index) is not None
            with pytest.raises(RegistryRefused, match="not one image"):
                await it.client.get_manifest(index)


async def test_a_push_that_is_cancelled_ends_at_once_and_another_finishes_it(tmp_path: Path) -> None:
    came, may_go_on = threading.Event(), threading.Event()

    with faulty(tmp_path, Fault(what=Stalls(came, may_go_on), method="PUT", path="/uploads/")) as host:
        async with opened(host) as it:
            pushing = asyncio.create_task(it.client.push(it.reference(), ARTIFACT))
            assert await asyncio.to_thread(came.wait, 20)

            pushing.cancel()

            with pytest.raises(asyncio.CancelledError):
                await pushing
            assert await it.client.resolve(it.reference()) is None
            may_go_on.set()
            await it.client.push(it.reference(), ARTIFACT)
            assert await it.client.get_manifest(it.reference()) == ARTIFACT.manifest()


faults_drawn = st.lists(
    st.builds(
        Fault,
        what=st.sampled_from(
            [
                Answers(status=429),
                Answers(status=503),
                Answers(status=404, body=b'{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}'),
                Drops(),
                Loses(),
                Cuts(),
                Lies(),
                Lies(headers={"Docker-Content-Digest": "sha256:" + "0" * 64}),
                Lies(headers={"Location": ""}),
                Lies(headers={"Range": ""}),
            ]
        ),
        method=st.sampled_from(["HEAD", "GET", "POST", "PATCH", "PUT", "[A-Z]+"]),
        path=st.sampled_from(["", "/manifests/", "/blobs/", "/uploads/", "/referrers/"]),
        times=st.integers(1, 3),
    ),
    max_size=5,
)


@pytest.mark.timeout(cases(120, full=900))
@settings(max_examples=cases(8, full=200), deadline=None)
@given(faults=faults_drawn)
async def test_whatever_goes_wrong_a_push_is_whole_or_fails_by_name_and_the_next_makes_it_whole(
    tmp_path_factory: pytest.TempPathFactory, faults: list[Fault]
) -> None:
    folder = tmp_path_factory.mktemp("faults")
    word = Artifact(artifact_type="a/b", layers=(SMALL,), subject=ARTIFACT.descriptor())
    with faulty(folder, *faults) as host:
        async with opened(host) as it:
            with suppress(RegistryAway, RegistryRefused):
                await it.client.push(it.reference(), ARTIFACT)
                await it.client.push(it.reference(None), word)
            for fault in faults:
                fault.times = 0  # all is well again

            found = await it.client.get_manifest(it.reference())
            assert found in (None, ARTIFACT.manifest()), "never a part of it"
            await it.client.push(it.reference(), ARTIFACT)
            await it.client.push(it.reference(None), word)

            for blob in ARTIFACT.blobs:
                assert await it.client.get_blob(it.reference(), blob.descriptor) == blob.content
            referrers = await it.client.referrers(it.reference().at(ARTIFACT.descriptor().digest))
            assert [one.digest for one in referrers] == [word.descriptor().digest]
