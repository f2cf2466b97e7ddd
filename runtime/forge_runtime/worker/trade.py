"""What a worker can do: for each of its pools the handlers, with all that they need.

Tools are opened together and closed together. What a pool does not need is neither asked for nor opened: a worker of
`tasks` has no token for the API, and none for a registry.
"""

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Final

from forge_runtime.blob import Blob
from forge_runtime.git.cache import GitCache
from forge_runtime.git.credentials import DirectoryCredentials
from forge_runtime.gitops.writer import GitOpsMisconfigured, GitOpsRepository, PointerWriter
from forge_runtime.http import Http
from forge_runtime.job import JobType
from forge_runtime.meter import Meter, Unmetered
from forge_runtime.oci.credentials import DockerConfig, GivenCredentials
from forge_runtime.oci.image import LAYER_TAR_GZIP_TYPE
from forge_runtime.oci.mirrors import BadMirrors, parse_mirrors
from forge_runtime.oci.registry import RegistryClient
from forge_runtime.produce.evidence import Evidence
from forge_runtime.publish.choose import PublisherPlaces, publishers
from forge_runtime.publish.github import API_URL as GITHUB_API
from forge_runtime.publish.registry import StandIns
from forge_runtime.release_client import HttpReleaseClient
from forge_runtime.render.image import RESOURCES_TYPE, ReleaseImages
from forge_runtime.runner.port import StepRunner
from forge_runtime.secret.aws import AwsSecrets
from forge_runtime.secret.directory import DirectorySecrets
from forge_runtime.secret.environment import EnvironmentSecrets
from forge_runtime.secret.port import SecretStore
from forge_runtime.secret.resolve import Secrets
from forge_runtime.settings import BadSettings, LayerSetting, ReleaseSettings, WorkerSettings, read_release_settings
from forge_runtime.supply.sign import KeySigner, SigningFailed
from forge_runtime.worker.artifact import ArtifactHandler, Outlets
from forge_runtime.worker.ci import CiHandler
from forge_runtime.worker.deployment import DeploymentHandler
from forge_runtime.worker.discovery import DiscoveryHandler
from forge_runtime.worker.handler import Handler
from forge_runtime.worker.release import ReleaseHandler

POOLS: Final[Mapping[str, Collection[JobType]]] = {
    "discovery": (JobType.DISCOVERY,),
    "tasks": (JobType.CI,),
    "artifacts": (JobType.ARTIFACT,),
    "releases": (JobType.RELEASE, JobType.DEPLOYMENT),
}

_LAYER_TYPES: Final[Mapping[LayerSetting, str]] = {"oci": LAYER_TAR_GZIP_TYPE, "forge": RESOURCES_TYPE}

_RELEASING: Final = frozenset({JobType.ARTIFACT, JobType.RELEASE, JobType.DEPLOYMENT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What handlers of every kind share; `own` is a directory of this worker's."""

    cache: GitCache
    runner: StepRunner
    blob: Blob
    own: Path
    meter: Meter = field(default_factory=Unmetered)


@asynccontextmanager
async def handlers_of(
    pools: Collection[str], tools: Tools, settings: WorkerSettings, environ: Mapping[str, str]
) -> AsyncIterator[Mapping[JobType, Handler]]:
    """Raises BadSettings, which names the variable, before anything is opened."""
    types = {job_type for pool in pools for job_type in POOLS[pool]}
    secrets = _secrets(settings, environ)
    handlers: dict[JobType, Handler] = {
        JobType.DISCOVERY: DiscoveryHandler(tools.cache),
        JobType.CI: CiHandler(tools.cache, tools.runner, secrets, tools.blob),
    }
    async with AsyncExitStack() as cleanup:
        if types & _RELEASING:
            release = _Release(read_release_settings(environ), settings)
            http = await cleanup.enter_async_context(Http.open())
            handlers |= release.handlers(tools, http, secrets)
        yield {job_type: handler for job_type, handler in handlers.items() if job_type in types}


def git_credentials(settings: WorkerSettings) -> DirectoryCredentials | None:
    """Those of git hosts, where there are any."""
    root = settings.git_credentials_dir
    return None if root is None else DirectoryCredentials(root)


class _Release:
    """The handlers that release and deploy."""

    def __init__(self, release: ReleaseSettings, worker: WorkerSettings) -> None:
        self._release = release
        self._worker = worker
        path = release.registry_credentials
        self._registry_credentials = GivenCredentials() if path is None else DockerConfig(path)
        self._signer = _signer(release.signing_key)
        try:
            self._mirrors = parse_mirrors(release.registry_mirrors)
        except BadMirrors as error:
            raise BadSettings(f"FORGE_REGISTRY_MIRRORS: {error}") from None

    def handlers(self, tools: Tools, http: Http, secrets: Secrets) -> Mapping[JobType, Handler]:
        release = self._release
        client = RegistryClient(http, self._registry_credentials, mirrors=self._mirrors)
        releases = HttpReleaseClient(http=http, url=release.api_url, token_file=release.api_token)
        places = PublisherPlaces(
            github_api=release.github_api or GITHUB_API,
            s3_endpoint=release.docs_s3_endpoint,
            docs_buckets=release.docs_buckets,
            stand_ins=StandIns(mirrors=self._mirrors, credentials=self._registry_credentials),
        )
        outlets = Outlets(
            publishers=publishers(http, places),
            secrets=secrets,
            blob=tools.blob,
            builder=release.api_url,
            version=version("catalyst-forge"),
        )
        evidence = Evidence(client=client, registry=release.registry, signer=self._signer, bill=release.bill)
        images = ReleaseImages(registry=release.registry, layer_type=_LAYER_TYPES[release.release_layer])
        return {
            JobType.ARTIFACT: ArtifactHandler(tools.cache, tools.runner, outlets, evidence, releases),
            JobType.RELEASE: ReleaseHandler(tools.cache, client, images, releases, self._signer),
            JobType.DEPLOYMENT: DeploymentHandler(self._pointers(tools)),
        }

    def _pointers(self, tools: Tools) -> PointerWriter:
        try:
            return PointerWriter(
                GitOpsRepository(clone_url=self._release.gitops_url, branch=self._release.gitops_branch),
                tools.own / "gitops",
                allow_file=self._worker.allow_file_clone,
                credentials=git_credentials(self._worker),
                meter=tools.meter,
            )
        except GitOpsMisconfigured as error:
            raise BadSettings(f"FORGE_GITOPS_URL, FORGE_GITOPS_BRANCH: {error}") from None


def _signer(path: Path | None) -> KeySigner | None:
    if path is None:
        return None
    try:
        return KeySigner.of_pem(path.read_bytes())
    except (OSError, SigningFailed) as error:
        raise BadSettings(f"FORGE_SIGNING_KEY: {path} cannot be used: {error}") from None


def _secrets(settings: WorkerSettings, environ: Mapping[str, str]) -> Secrets:
    stores: dict[str, SecretStore] = {"aws": AwsSecrets(), "env": EnvironmentSecrets(environ)}
    if settings.secrets_dir is not None:
        stores["file"] = DirectorySecrets(settings.secrets_dir)
    return Secrets(stores=stores)
