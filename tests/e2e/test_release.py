"""A push, released: artifacts, an image in a registry, a pointer in a GitOps repository, and no secret anywhere."""

import asyncio
import gzip
import io
import json
import subprocess
import tarfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.e2e.platform import Platform, commit_repository, step_statuses

from forge_runtime.http import Http
from forge_runtime.mask import Mask
from forge_runtime.oci.credentials import DockerConfig
from forge_runtime.oci.image import Manifest
from forge_runtime.oci.reference import parse_reference
from forge_runtime.oci.registry import RegistryClient
from forge_runtime.supply.provenance import STATEMENT_MEDIA_TYPE
from forge_runtime.supply.sign import ENVELOPE_MEDIA_TYPE

pytestmark = pytest.mark.timeout(300)

PLANTED = "planted-Secret/of+this=test"

REPO = """
package repo
forgeVersion: "v1.0.0"
tagging: strategy: "monorepo"
phases: test: {group: 1, description: "tests"}
publishers: shop: {type: "docker", registry: "registry.shop.example", namespace: "files"}
"""

WEB = """
package project
name: "web"
ci: phases: test: unit: {
	action: "earthly"
	target: "+unit"
	secrets: [{provider: "file", secretName: "ci/token", maps: {TOKEN: "token"}}]
}
artifacts: site: {type: "archive", producer: earthly: target: "+site", publishers: shop: {}}
release: on: [{branch: "main"}]
deployment: resources: [{
	apiVersion: "forge.io/v1"
	kind:       "Deployment"
	metadata: "name": "web"
	spec: {from: string @artifact("site.uri"), digest: string @artifact("site.digest")}
}]
"""

EARTHFILE = """
VERSION 0.8
unit:
    RUN --secret TOKEN echo "the token is $TOKEN" && echo "$TOKEN" | base64
site:
    RUN mkdir site && echo '<p>open</p>' > site/index.html && tar -czf site.tar.gz site
    SAVE ARTIFACT site.tar.gz
"""


@pytest.fixture
def secrets_dir(tmp_path: Path) -> Path:
    secret = tmp_path / "secrets" / "ci" / "token"
    secret.parent.mkdir(parents=True)
    secret.write_text(json.dumps({"token": PLANTED}))
    return tmp_path / "secrets"


@pytest.fixture
def platform(tmp_path: Path, secrets_dir: Path) -> Iterator[Platform]:
    started = Platform(tmp_path / "data", FORGE_SECRETS_DIR=str(secrets_dir))
    started.start()
    yield started
    started.stop()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    files = {".forge/repo.cue": REPO, "web/.forge/project.cue": WEB, "web/Earthfile": EARTHFILE}
    return commit_repository(tmp_path / "shop", files)


def test_a_push_is_released_and_deployed_and_tells_no_secret(platform: Platform, repository: Path) -> None:
    done = platform.forge("run", str(repository), "--trigger", "push")

    assert done.returncode == 0, done.stdout + done.stderr
    run = platform.client.run(platform.client.runs(limit="1")[0]["id"])
    assert set(step_statuses(run).values()) == {"succeeded"}
    [release] = run["releases"]
    [deployment] = release["deployments"]
    assert (release["release_number"], release["partial"], deployment["status"]) == (1, False, "active")
    assert set(release["aliases"]) == {"1", "main-1"}

    [log] = (platform.home.objects / "pipeline-runs" / run["id"] / "logs" / "test" / "web").glob("unit.log")
    assert "the token is ***" in log.read_text()

    spec = _pointer(platform)["spec"]
    assert (spec["release"], spec["digest"]) == (run["commit_sha"], release["oci_digest"])

    images = asyncio.run(_images(platform, release))
    assert images.aliases == {"1": release["oci_digest"], "main-1": release["oci_digest"]}
    assert len(images.release.layers) == 1
    assert b"registry.shop.example/files" in images.resources
    assert {layer.media_type for layer in images.tracking.layers} >= {STATEMENT_MEDIA_TYPE, ENVELOPE_MEDIA_TYPE}

    _nobody_knows(PLANTED, platform, done.stdout + done.stderr)
    home = platform.home
    for token, kept in (
        (home.registry_token, {home.registry_token, home.directory / "registry.json"}),
        (home.worker_token, {home.worker_token}),
        (home.api_token, {home.api_token}),
    ):
        _nobody_knows(token.read_text().strip(), platform, done.stdout, but=kept)


def test_the_next_push_takes_the_place_of_the_first_which_is_deployed_elsewhere_by_hand(
    platform: Platform, repository: Path
) -> None:
    first = platform.forge("run", str(repository), "--trigger", "push")
    before = _pointer(platform)
    (repository / "web" / "README").write_text("one more commit")
    _git(repository, "add", "-A")
    _git(repository, "-c", "user.name=a", "-c", "user.email=a@localhost", "commit", "-q", "-m", "next")

    second = platform.forge("run", str(repository), "--trigger", "push")

    assert (first.returncode, second.returncode) == (0, 0), second.stdout + second.stderr
    runs = [platform.client.run(run["id"]) for run in platform.client.runs(limit="2")]
    releases = {run["releases"][0]["release_number"]: run["releases"][0] for run in runs}
    assert {number: release["deployments"][0]["status"] for number, release in releases.items()} == {
        1: "superseded",
        2: "active",
    }
    assert before["spec"]["digest"] == releases[1]["oci_digest"]
    assert _pointer(platform)["spec"]["digest"] == releases[2]["oci_digest"]
    assert _git(platform.home.gitops, "rev-list", "--count", "main").strip() == "2"

    listed = platform.forge("releases", "local/shop/web")
    by_hand = platform.forge("deploy", "local/shop/web/1", "staging")
    again = platform.forge("deploy", "local/shop/web/1", "staging")

    assert "main-2" in listed.stdout
    assert (by_hand.returncode, again.returncode) == (0, 0), by_hand.stdout + by_hand.stderr + again.stderr
    assert _pointer(platform, "staging")["spec"]["digest"] == releases[1]["oci_digest"]
    assert _git(platform.home.gitops, "rev-list", "--count", "main").strip() == "3"

    refused = platform.forge("deploy", "local/shop/web/1", "production")

    assert refused.returncode == 1
    assert "production does not take this release" in refused.stderr


@dataclass(frozen=True)
class Images:
    """What the registry holds of a release; `resources` is the unpacked text of its one layer."""

    release: Manifest
    resources: bytes
    tracking: Manifest
    aliases: Mapping[str, str]


async def _images(platform: Platform, release: Mapping[str, Any]) -> Images:
    credentials = DockerConfig(platform.home.directory / "registry.json")
    async with Http.open() as http:
        client = RegistryClient(http, credentials)
        image = parse_reference(release["oci_uri"])
        manifest = await client.get_manifest(image.at(release["oci_digest"]))
        assert manifest is not None
        layer = await client.get_blob(image, manifest.layers[0])
        with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
            resources = b"".join(_content(tar, member) for member in tar.getmembers())
        aliases = {alias: await client.resolve(image.tagged(alias)) for alias in release["aliases"]}
        commit_sha = release["canonical_id"].rpartition("/")[2]
        tracked = parse_reference(f"{image.registry}/local/shop/web/site:sha-{commit_sha}")
        tracking = await client.get_manifest(tracked)
        assert tracking is not None
        return Images(
            release=manifest,
            resources=resources,
            tracking=tracking,
            aliases={alias: found.digest for alias, found in aliases.items() if found is not None},
        )


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    return b"" if file is None else file.read()


def _pointer(platform: Platform, environment: str = "dev") -> Any:
    path = f"environments/{environment}/local/shop/web/release.yaml"
    return yaml.safe_load(_git(platform.home.gitops, "show", f"main:{path}"))


def _git(directory: Path, *arguments: str) -> str:
    command = ["git", "-C", str(directory), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def _nobody_knows(secret: str, platform: Platform, printed: str, *, but: Collection[Path] = ()) -> None:
    """It is, in no form that the mask knows, in what was printed, kept, logged, stored, sent, pushed or committed."""
    mask = Mask([secret])

    def tells(data: bytes) -> bool:
        return mask.data(data) != data

    places = {
        "what was printed": printed.encode(),
        "what the platform said": platform.said().encode(),
        "the commits": _git(platform.home.gitops, "log", "-p").encode(),
    }
    for path in platform.home.directory.rglob("*"):
        if path.is_file() and path not in but:
            data = path.read_bytes()
            places[str(path)] = gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
    assert len(places) > 50
    assert [place for place, data in places.items() if tells(data)] == []
