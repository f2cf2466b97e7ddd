"""One contract for our client with each registry: our own in its two modes, Debian's, and go-containerregistry's.

What lies there afterwards is read back by programs that others wrote: skopeo, oras, and podman's check of signatures.
And our registry answers the distribution specification's own conformance program.
"""

import asyncio
import json
import os
import shutil
import subprocess
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from tests.conformance.oci.registries import docker_registry, go_containerregistry, program, version
from tests.go_tool import Unavailable
from tests.judge import Judged, cases, version_of
from tests.registry_server import serving

from forge_api.registry.app import create_registry
from forge_runtime.http import Http
from forge_runtime.oci.credentials import Credential, GivenCredentials
from forge_runtime.oci.image import (
    LAYER_TAR_GZIP_TYPE,
    Artifact,
    BadImage,
    Descriptor,
    Packed,
    blob_of,
    file_blob,
    json_blob,
    tar_gzip,
)
from forge_runtime.oci.reference import Reference
from forge_runtime.oci.registry import RegistryClient, RegistryRefused
from forge_runtime.oci.tracking import Document, Tracking, push_tracking, tracking_reference
from forge_runtime.supply.sign import KeySigner, sign_image, signature_reference

TOKEN = "a-token-of-forty-characters-for-the-tests"
CHUNK_BYTES = 100_000


class Asked(httpx2.AsyncHTTPTransport):
    """Notes what is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.methods: list[str] = []
        self.lines: list[str] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.methods.append(request.method)
        self.lines.append(f"{request.method} {request.url.path}")
        return await super().handle_async_request(request)


@dataclass(frozen=True)
class Registry:
    """A running registry. `password`: it asks for one."""

    kind: str
    host: str
    password: str | None = None

    @property
    def credentials(self) -> GivenCredentials:
        known = Credential(user="forge", password=self.password) if self.password else None
        return GivenCredentials({self.host: known} if known else {})


@dataclass(frozen=True)
class Absent:
    kind: str
    why: str


@dataclass(frozen=True)
class Contract:
    registry: Registry
    client: RegistryClient
    asked: Asked

    def reference(self, repository: str = "acme/shop/web", tag: str | None = "v1") -> Reference:
        return Reference(registry=self.registry.host, repository=repository, tag=tag)

    @asynccontextmanager
    async def another(
        self, transport: Asked, wait: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> AsyncIterator[RegistryClient]:
        async with Http.open(transport=transport) as http:
            yield RegistryClient(replace(http, wait=wait), self.registry.credentials, chunk_bytes=CHUNK_BYTES)


@pytest.fixture(params=["ours", "ours with tokens", "docker-registry", "go-containerregistry"], scope="module")
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry | Absent]:
    kind: str = request.param
    folder = tmp_path_factory.mktemp("registry")
    started: AbstractContextManager[str]
    match kind:
        case "ours":
            started = serving(create_registry(folder, TOKEN))
        case "ours with tokens":
            started = serving(create_registry(folder, TOKEN, mode="bearer"))
        case "docker-registry":
            started = docker_registry(folder)
        case _:
            started = go_containerregistry(folder)
    try:
        with started as host:
            yield Registry(kind, host, TOKEN if kind.startswith("ours") else None)
    except Unavailable as reason:
        yield Absent(kind, str(reason))


@pytest.fixture
def registry(found: Registry | Absent, judged: Judged) -> Registry:
    match found:
        case Absent(kind, why):
            judged.absent(kind, why)
        case Registry("docker-registry"):
            judged("docker-registry", version_of("docker-registry", "--version"), "tests of the client", 1)
        case Registry("go-containerregistry"):
            judged("go-containerregistry", version("registry"), "tests of the client", 1)
    return found


@pytest.fixture
async def contract(registry: Registry) -> AsyncIterator[Contract]:
    asked = Asked()
    async with Http.open(transport=asked) as http:
        yield Contract(registry, RegistryClient(http, registry.credentials, chunk_bytes=CHUNK_BYTES), asked)


Skopeo = Callable[..., str]


@pytest.fixture
def skopeo(tmp_path: Path, judged: Judged) -> Skopeo:
    if shutil.which("skopeo") is None:
        judged.absent("skopeo", "Debian's package is not installed")

    def run(*arguments: str) -> str:
        home = tmp_path / "skopeo"
        home.mkdir(exist_ok=True)
        return _run(["skopeo", "--insecure-policy", *arguments], home)

    judged("skopeo", version_of("skopeo", "--version"), "images copied", 1)
    return run


def artifact(text: str = "content") -> Artifact:
    return Artifact(
        artifact_type="application/vnd.example.thing.v1",
        config=json_blob("application/vnd.example.config.v1+json", {"text": text}),
        layers=(blob_of(LAYER_TAR_GZIP_TYPE, tar_gzip([Packed(name="a.txt", content=text.encode())])),),
        annotations={"org.opencontainers.image.title": "Ding äöü"},
    )


def referrer(subject: Descriptor, text: str) -> Artifact:
    # go-containerregistry takes the config's type for the artifact's: here they are the same.
    kind = f"application/vnd.example.{text.partition(' ')[0]}.v1"
    return Artifact(
        artifact_type=kind, config=blob_of(kind, b"{}"), layers=(blob_of("text/plain", text.encode()),), subject=subject
    )


async def test_what_is_pushed_is_pulled_as_it_was(contract: Contract) -> None:
    reference, pushed = contract.reference(), artifact()

    descriptor = await contract.client.push(reference, pushed)

    assert descriptor == pushed.descriptor()
    assert await contract.client.get_manifest(reference) == pushed.manifest()
    assert await contract.client.get_manifest(reference.at(descriptor.digest)) == pushed.manifest()
    assert await contract.client.resolve(reference) == descriptor
    for blob in pushed.blobs:
        assert await contract.client.get_blob(reference, blob.descriptor) == blob.content


async def test_a_push_that_is_repeated_asks_once_and_sends_nothing(contract: Contract) -> None:
    reference = contract.reference("acme/shop/again")
    await contract.client.push(reference, artifact())
    contract.asked.methods.clear()

    await contract.client.push(reference, artifact())

    assert contract.asked.methods == ["HEAD"]


async def test_blobs_that_are_there_are_not_sent_again(contract: Contract) -> None:
    await contract.client.push(contract.reference("acme/shop/blobs", "v1"), artifact())
    contract.asked.methods.clear()

    await contract.client.push(contract.reference("acme/shop/blobs", "v2"), artifact())

    assert "POST" not in contract.asked.methods
    assert "PATCH" not in contract.asked.methods


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 5 * CHUNK_BYTES + 7])
async def test_files_of_any_size_come_back_as_they_were(contract: Contract, tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "layer").write_bytes(content)
    layer = file_blob("application/octet-stream", tmp_path / "layer")

    await contract.client.put_blob(contract.reference(), layer)
    await contract.client.download_blob(contract.reference(), layer.descriptor, tmp_path / "back")

    assert (tmp_path / "back").read_bytes() == content
    assert ("PATCH" in contract.asked.methods) == (size > CHUNK_BYTES)


async def test_one_image_has_many_tags_and_a_tag_moves(contract: Contract) -> None:
    reference = contract.reference("acme/shop/tags")
    one = await contract.client.push(reference, artifact("one"))

    assert await contract.client.tag(reference, "42") == one
    assert await contract.client.tag(reference, "42") == one
    assert await contract.client.resolve(reference.tagged("42")) == one

    other = await contract.client.push(reference.tagged("42"), artifact("other"))
    assert await contract.client.resolve(reference.tagged("42")) == other
    assert await contract.client.resolve(reference) == one


async def test_what_is_not_there_is_none_or_refused(contract: Contract) -> None:
    await contract.client.push(contract.reference(), artifact())
    missing = contract.reference(tag="missing")

    assert await contract.client.resolve(missing) is None
    assert await contract.client.get_manifest(missing) is None
    assert await contract.client.get_manifest(contract.reference("acme/shop/nobody")) is None
    assert await contract.client.get_manifest(missing.at("sha256:" + "0" * 64)) is None
    with pytest.raises(RegistryRefused, match="nothing of this name"):
        await contract.client.tag(missing, "v2")
    with pytest.raises(RegistryRefused) as refused:
        await contract.client.get_blob(missing, blob_of("a/b", os.urandom(8)).descriptor)
    assert refused.value.status == 404


async def test_a_blob_of_another_repository_is_mounted_or_else_sent(contract: Contract) -> None:
    layer = blob_of("text/plain", os.urandom(100))
    source, target = contract.reference("acme/shop/source"), contract.reference("acme/shop/target")
    await contract.client.put_blob(source, layer)
    await contract.client.put_blob(target, layer, mount_from=source.repository)

    assert await contract.client.get_blob(target, layer.descriptor) == layer.content

    unknown = blob_of("text/plain", os.urandom(100))
    await contract.client.put_blob(target, unknown, mount_from="acme/shop/nobody")
    assert await contract.client.get_blob(target, unknown.descriptor) == unknown.content


async def test_a_mount_moves_no_bytes(contract: Contract) -> None:
    if contract.registry.kind == "go-containerregistry":
        pytest.skip("it keeps no blobs apart by repository, and mounts none")
    layer = blob_of("text/plain", os.urandom(100))
    await contract.client.put_blob(contract.reference("acme/shop/source"), layer)

    assert await contract.client.mount(
        contract.reference("acme/shop/moved"), layer.descriptor.digest, "acme/shop/source"
    )
    assert not await contract.client.mount(
        contract.reference("acme/shop/moved"), "sha256:" + "1" * 64, "acme/shop/source"
    )


async def test_a_name_with_another_digest_is_not_pushed(contract: Contract) -> None:
    with pytest.raises(BadImage, match="another digest"):
        await contract.client.push(contract.reference().at("sha256:" + "0" * 64), artifact())


async def test_without_a_tag_an_image_has_its_digest_alone(contract: Contract) -> None:
    reference = contract.reference("acme/shop/untagged", None)

    descriptor = await contract.client.push(reference, artifact())

    assert await contract.client.resolve(reference.at(descriptor.digest)) == descriptor
    assert await contract.client.resolve(reference) is None, "nor is it the latest"


async def test_what_refers_to_an_image_is_found_by_it(contract: Contract) -> None:
    reference = contract.reference("acme/shop/subject")
    subject = await contract.client.push(reference, artifact("subject"))
    pinned = reference.at(subject.digest)
    nowhere = contract.reference("acme/shop/subject", None)
    assert await contract.client.referrers(pinned) == ()

    sbom = await contract.client.push(nowhere, referrer(subject, "sbom of it"))
    proof = await contract.client.push(nowhere, referrer(subject, "proof of it"))
    again = await contract.client.push(nowhere, referrer(subject, "sbom of it"))

    assert again == sbom
    assert {one.digest for one in await contract.client.referrers(pinned)} == {sbom.digest, proof.digest}
    (found,) = await contract.client.referrers(pinned, "application/vnd.example.sbom.v1")
    assert (found.digest, found.size, found.artifact_type) == (
        sbom.digest,
        sbom.size,
        "application/vnd.example.sbom.v1",
    )


async def test_something_may_be_said_of_an_image_that_is_not_there_yet(contract: Contract) -> None:
    subject = artifact("to come").descriptor()
    reference = contract.reference("acme/shop/early", None)

    early = await contract.client.push(reference, referrer(subject, "early word"))

    assert [one.digest for one in await contract.client.referrers(reference.at(subject.digest))] == [early.digest]


async def test_many_at_once_are_all_there(contract: Contract) -> None:
    reference = contract.reference("acme/shop/many")
    same = await asyncio.gather(*(contract.client.push(reference, artifact("many")) for _ in range(6)))
    subject = same[0]

    referrers = await asyncio.gather(
        *(
            contract.client.push(contract.reference("acme/shop/many", None), referrer(subject, f"word {number}"))
            for number in range(6)
        )
    )

    assert len({descriptor.digest for descriptor in same}) == 1
    found = await contract.client.referrers(reference.at(subject.digest))
    assert {one.digest for one in found} == {one.digest for one in referrers}


class Held(Asked):
    """Another process, which stops where it has read the list of referrers and is about to write it."""

    def __init__(self) -> None:
        super().__init__()
        self.read, self.go_on = threading.Event(), threading.Event()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "PUT" and "/manifests/sha256-" in request.url.path:
            self.read.set()
            await asyncio.to_thread(self.go_on.wait, 30)
        return await super().handle_async_request(request)


async def test_what_two_processes_say_of_an_image_at_once_is_all_kept(contract: Contract) -> None:
    reference, nowhere = contract.reference("acme/shop/two"), contract.reference("acme/shop/two", None)
    subject = await contract.client.push(reference, artifact("two"))
    held = Held()

    async def other() -> Descriptor:
        async with contract.another(held) as client:
            try:
                return await client.push(nowhere, referrer(subject, "the other's word"))
            finally:
                held.read.set()

    others = asyncio.create_task(asyncio.to_thread(asyncio.run, other()))

    async def overtaken(_delay_s: float) -> None:
        held.go_on.set()
        await asyncio.wait({others})

    await asyncio.to_thread(held.read.wait, 30)
    async with contract.another(Asked(), overtaken) as client:
        ours = await client.push(nowhere, referrer(subject, "our word"))
    held.go_on.set()
    theirs = await others

    found = await contract.client.referrers(reference.at(subject.digest))
    assert {one.digest for one in found} == {ours.digest, theirs.digest}


async def test_clients_of_one_process_take_turns_at_the_list(contract: Contract) -> None:
    reference, nowhere = contract.reference("acme/shop/turns"), contract.reference("acme/shop/turns", None)
    subject = await contract.client.push(reference, artifact("turns"))
    asked = Asked()

    async def at_once(_delay_s: float) -> None:
        return None

    async with contract.another(asked, at_once) as one, contract.another(asked, at_once) as other:
        said = await asyncio.gather(
            *(
                client.push(nowhere, referrer(subject, f"turn {number}"))
                for number in range(3)
                for client in (one, other)
            )
        )

    found = await contract.client.referrers(reference.at(subject.digest))
    assert {each.digest for each in found} == {each.digest for each in said}
    assert sum("PUT" in line and "/manifests/sha256-" in line for line in asked.lines) in (0, 3)


async def test_a_tracking_image_is_pushed_once_with_what_refers_to_it(contract: Contract) -> None:
    reference = tracking_reference(contract.registry.host, "Acme/Shop", "web", "image", "c" * 40)
    tracking = Tracking(
        source="https://github.com/acme/shop",
        commit_sha="c" * 40,
        title="acme/shop/web/image",
        metadata={"artifact": "image", "published": []},
        documents=(
            Document(kind="sbom", media_type="application/vnd.syft+json", data=b'{"made":1}'),
            Document(kind="attestation", media_type="application/vnd.in-toto+json", data=b"{}", predicate="p"),
        ),
    )
    first = await push_tracking(contract.client, reference, tracking)
    contract.asked.methods.clear()

    again = await push_tracking(contract.client, reference, tracking)

    assert (first.pushed, again.pushed) == (True, False)
    assert again.digest == first.digest
    assert not {"POST", "PUT", "PATCH"} & set(contract.asked.methods)
    assert len(await contract.client.referrers(first.pinned)) == 2


# What others read


async def test_skopeo_reads_what_we_pushed(contract: Contract, skopeo: Skopeo, tmp_path: Path) -> None:
    reference, pushed = contract.reference("acme/shop/skopeo"), artifact("for skopeo")
    await contract.client.push(reference, pushed)

    await asyncio.to_thread(
        skopeo, "copy", *_source(contract.registry), f"docker://{reference}", f"dir:{tmp_path / 'image'}"
    )

    assert (tmp_path / "image" / "manifest.json").read_bytes() == pushed.encoded()
    for blob in pushed.blobs:
        copied = tmp_path / "image" / blob.descriptor.digest.removeprefix("sha256:")
        assert copied.read_bytes() == blob.content


async def test_we_read_what_skopeo_pushed(contract: Contract, skopeo: Skopeo, tmp_path: Path) -> None:
    pushed = artifact("of skopeo")
    for blob in pushed.blobs:
        assert isinstance(blob.content, bytes)
        (tmp_path / blob.descriptor.digest.removeprefix("sha256:")).write_bytes(blob.content)
    (tmp_path / "manifest.json").write_bytes(pushed.encoded())
    (tmp_path / "version").write_text("Directory Transport Version: 1.1\n")
    reference = contract.reference("acme/shop/from-skopeo")

    await asyncio.to_thread(skopeo, "copy", *_target(contract.registry), f"dir:{tmp_path}", f"docker://{reference}")

    assert await contract.client.get_manifest(reference) == pushed.manifest()
    assert await contract.client.get_blob(reference, pushed.layers[0].descriptor) == pushed.layers[0].content


async def test_oras_finds_what_refers_to_an_image(contract: Contract, judged: Judged, tmp_path: Path) -> None:
    try:
        oras = program("oras")
    except Unavailable as reason:
        judged.absent("oras", str(reason))
    reference = contract.reference("acme/shop/oras")
    subject = await contract.client.push(reference, artifact("for oras"))
    word = await contract.client.push(contract.reference("acme/shop/oras", None), referrer(subject, "word for oras"))
    login = ["--username=forge", f"--password={TOKEN}"] if contract.registry.password else []
    command = [oras, "discover", "--format=json", "--plain-http", *login, str(reference)]

    done = await asyncio.to_thread(_run, command, tmp_path)

    assert [one["digest"] for one in json.loads(done)["referrers"]] == [word.digest]
    judged("oras", version("oras"), "lists of what refers to an image", 1)


async def test_podmans_policy_accepts_our_signature_and_no_other(
    contract: Contract, judged: Judged, tmp_path: Path
) -> None:
    try:
        signed = program("signed")
    except Unavailable as reason:
        judged.absent("containers/image", str(reason))
    signer, other = (KeySigner(ec.generate_private_key(ec.SECP256R1())) for _ in range(2))
    reference = contract.reference("acme/shop/signed")
    pinned = reference.at((await contract.client.push(reference, artifact("to be signed"))).digest)
    unsigned = contract.reference("acme/shop/unsigned")
    await contract.client.push(unsigned, artifact("not signed"))
    await contract.client.push(signature_reference(pinned), sign_image(pinned, signer))

    def check(image: Reference, key: KeySigner) -> str:
        policy, folder = _trusting(tmp_path, key)
        return _run([signed, policy, folder, str(image)], tmp_path, PASSWORD=contract.registry.password or "")

    await asyncio.to_thread(check, reference, signer)
    with pytest.raises(AssertionError, match="cryptographic signature verification failed"):
        await asyncio.to_thread(check, reference, other)
    with pytest.raises(AssertionError, match=r"[Ss]ignature"):
        await asyncio.to_thread(check, unsigned, signer)
    judged("containers/image", version("signed"), "images checked for our signature", 3)


@pytest.mark.parametrize("mode", ["basic", "bearer"][: cases(1, full=2)])
def test_our_registry_conforms_to_the_distribution_specification(mode: str, judged: Judged, tmp_path: Path) -> None:
    try:
        conformance = program("conformance")
    except Unavailable as reason:
        judged.absent("distribution-spec", str(reason))
    settings = {
        "OCI_TLS": "disabled",
        "OCI_USERNAME": "forge",
        "OCI_PASSWORD": TOKEN,
        "OCI_RESULTS_DIR": str(tmp_path / "results"),
        "OCI_API_BLOBS_DIGEST_HEADER": "true",
        "OCI_API_MANIFESTS_DIGEST_HEADER": "true",
        "OCI_API_BLOBS_UPLOAD_CANCEL": "true",
    }

    with serving(create_registry(tmp_path / "images", TOKEN, mode=mode)) as host:  # type: ignore[arg-type]
        _run([conformance], tmp_path, OCI_REGISTRY=host, **settings)

    suite = ElementTree.parse(tmp_path / "results" / "junit.xml").getroot()
    assert (suite.find("testsuite").attrib["failures"], suite.find("testsuite").attrib["errors"]) == ("0", "0")
    count = int(suite.attrib["tests"]) - int(suite.attrib["skipped"])
    assert count > 800
    judged("distribution-spec", version("conformance"), "cases put to our registry", count)


def _trusting(folder: Path, signer: KeySigner) -> tuple[Path, Path]:
    """A policy that takes only what this key has signed, and the folder that says where signatures lie."""
    registries, key, policy = folder / "registries.d", folder / "key.pub", folder / "policy.json"
    registries.mkdir(exist_ok=True)
    (registries / "all.yaml").write_text("default-docker: {use-sigstore-attachments: true}\n")
    key.write_bytes(signer.verifier.pem())
    rule = {"type": "sigstoreSigned", "keyPath": str(key), "signedIdentity": {"type": "matchRepository"}}
    policy.write_text(json.dumps({"default": [{"type": "reject"}], "transports": {"docker": {"": [rule]}}}))
    return policy, registries


def _source(registry: Registry) -> list[str]:
    login = f"--src-creds=forge:{registry.password}" if registry.password else "--src-no-creds"
    return ["--src-tls-verify=false", login]


def _target(registry: Registry) -> list[str]:
    login = f"--dest-creds=forge:{registry.password}" if registry.password else "--dest-no-creds"
    return ["--dest-tls-verify=false", login]


def _run(command: list[str | Path], folder: Path, **more: str) -> str:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **more}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout
