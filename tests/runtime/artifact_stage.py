"""Everything that an artifact job needs: a repository, the host runner, the API, registries, and GitHub's protocol."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from cryptography.hazmat.primitives.asymmetric import ec
from tests.api.harness import Api, open_api
from tests.git_repository import commit_all, git, new_repository
from tests.registry_server import serving
from tests.runtime.attempt import Attempts
from tests.runtime.publish.github_server import Github
from tests.runtime.publish.things import impatient_http

from forge_api.registry.app import create_registry
from forge_api.registry.faults import Fault
from forge_runtime.blob import DirectoryBlob
from forge_runtime.envelope import Envelope
from forge_runtime.git.cache import GitCache
from forge_runtime.http import Http
from forge_runtime.job import ArtifactData, Git, Job
from forge_runtime.oci.credentials import Credential, GivenCredentials
from forge_runtime.oci.mirrors import parse_mirrors
from forge_runtime.oci.registry import RegistryClient
from forge_runtime.produce.evidence import Evidence
from forge_runtime.publish.choose import PublisherPlaces, publishers
from forge_runtime.publish.port import Publisher
from forge_runtime.publish.registry import StandIns
from forge_runtime.release_client import HttpReleaseClient
from forge_runtime.run import RunRecord
from forge_runtime.runner.host import HostRunner
from forge_runtime.runner.port import StepRunner
from forge_runtime.secret.environment import EnvironmentSecrets
from forge_runtime.secret.resolve import Secrets
from forge_runtime.supply.sign import KeySigner, Signer
from forge_runtime.worker.artifact import ArtifactHandler, Outlets
from forge_runtime.worker.handler import Outcome
from forgec import ids
from forgec.plan.model import ReleaseProject

REPOSITORY = "acme/shop"
TOKEN = "t" * 40
SECRET = "gh0-s3cr3t-t0ken"

EARTHFILE = r"""VERSION 0.8
FROM alpine:3.20
tool:
    COPY greeting .
    RUN (echo '#!/bin/sh'; echo "echo $(cat greeting)") > tool; chmod +x tool
    SAVE ARTIFACT tool
site:
    RUN mkdir site; echo '<p>home' > site/index.html; echo 'p {}' > site/site.css
    SAVE ARTIFACT site
"""
PUBLISHERS: Mapping[str, Mapping[str, Any]] = {
    "hub": {"type": "docker", "registry": "hub.example", "namespace": "acme"},
    "downloads": {
        "type": "github",
        "repository": "acme/shop",
        "credentials": {"provider": "env", "secretName": "github", "key": "token"},
    },
}


@dataclass(slots=True)
class Stage:
    folder: Path
    origin: Path
    host: str
    api: Api
    api_http: Http
    http: Http
    github: Github
    github_url: str
    attempts: Attempts
    secrets: dict[str, str]
    signer: Signer | None
    publishers: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: PUBLISHERS)
    more_publishers: Mapping[str, Publisher] = field(default_factory=dict)
    syft: Path | None = None
    runner: StepRunner = field(default_factory=HostRunner)

    @property
    def registry(self) -> RegistryClient:
        return RegistryClient(self.http, self.credentials)

    @property
    def credentials(self) -> GivenCredentials:
        return GivenCredentials({self.host: Credential(user="forge", password=TOKEN)})

    def commit(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            (self.origin / name).parent.mkdir(parents=True, exist_ok=True)
            (self.origin / name).write_text(text)
        commit_all(self.origin)

    def job(
        self,
        name: str = "tool",
        *,
        kind: str = "binary",
        to: Sequence[str] = ("hub", "downloads"),
        tag: str | None = None,
        run: int = 1,
    ) -> Job:
        """Of the origin's latest commit, in the n-th run of it."""
        record = RunRecord(
            run_id=ids.new_run_id(1_700_000_000_000 + run, bytes(10)),
            repository=REPOSITORY,
            clone_url=self.origin.as_uri(),
            commit_sha=git(self.origin, "rev-parse", "HEAD"),
            git=Git(ref=f"refs/tags/{tag}", tag=tag) if tag else Git(ref="refs/heads/main", branch="main"),
            trigger_type="push",
            deadline_at=4e9,
        )
        artifact = {
            "type": kind,
            "producer": {"earthly": {"target": f"+{name}"}},
            "publishers": {each: {"primary": True} if each == to[0] else {} for each in to},
        }
        project = ReleaseProject(
            project="web", path="web", artifacts={name: artifact}, publishers=dict(self.publishers), deploy=False
        )
        return Envelope(record, 0.0).artifact_job(project, name)

    def handler(self) -> ArtifactHandler:
        stand_ins = StandIns(mirrors=parse_mirrors(f"hub.example=http://{self.host}"), credentials=self.credentials)
        places = PublisherPlaces(github_api=self.github_url, stand_ins=stand_ins)
        return ArtifactHandler(
            GitCache(self.folder / "git", allow_file=True),
            self.runner,
            Outlets(
                publishers={**publishers(self.http, places), **self.more_publishers},
                secrets=Secrets(stores={"env": EnvironmentSecrets(self.secrets)}),
                blob=DirectoryBlob(self.folder / "objects"),
                builder="https://forge.example/workers",
                version="1.0.0",
            ),
            Evidence(client=self.registry, registry=f"{self.host}/tracking", signer=self.signer, syft=self.syft),
            HttpReleaseClient(self.api_http, "http://localhost", self.folder / "tokens" / "worker-artifact"),
        )

    async def make(self, job: Job) -> Outcome:
        return await self.attempts.run(self.handler(), job)

    async def made(self, job: Job) -> ArtifactData:
        outcome = await self.make(job)
        assert outcome.error is None, outcome.error
        assert isinstance(outcome.data, ArtifactData)
        return outcome.data


@asynccontextmanager
async def open_stage(tmp_path: Path, faults: Sequence[Fault] = ()) -> AsyncIterator[Stage]:
    origin = new_repository(tmp_path / "origin")
    github = Github(SECRET)
    with (
        serving(create_registry(tmp_path / "registry", TOKEN, faults=faults)) as host,
        serving(github.app) as github_host,
    ):
        async with (
            open_api(tmp_path) as api,
            Http.open(transport=httpx2.ASGITransport(api.app)) as api_http,
            impatient_http() as http,
        ):
            await api.register(REPOSITORY)
            stage = Stage(
                folder=tmp_path,
                origin=origin,
                host=host,
                api=api,
                api_http=api_http,
                http=http,
                github=github,
                github_url=f"http://{github_host}",
                attempts=Attempts(tmp_path / "attempts"),
                secrets={"FORGE_SECRET_PUBLISHERS_GITHUB": f'{{"token": "{SECRET}"}}'},
                syft=_no_syft(tmp_path / "syft"),
                signer=KeySigner(ec.generate_private_key(ec.SECP256R1())),
            )
            stage.commit({"web/Earthfile": EARTHFILE, "web/greeting": "hello"})
            yield stage


def _no_syft(program: Path) -> Path:
    """The real one takes seconds for each artifact: tests that are about bills of materials ask for it."""
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o700)
    return program
