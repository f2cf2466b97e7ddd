"""Environment -> frozen settings, read once at the start of a process."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, cast, get_args
from urllib.parse import urlsplit

BUILDKIT_LEASES: Final = 4
"""Steps that one worker has on one build daemon at once: below the 20 that a daemon does at once for all of them."""

GIT_CACHE_BYTES: Final = 20 * 1024**3

RunnerSetting = Literal["auto", "earthly", "host"]
EngineSetting = Literal["local", "argo"]
BillSetting = Literal["syft-json", "spdx-json"]
LayerSetting = Literal["oci", "forge"]


class BadSettings(ValueError):
    """A setting is missing or cannot be read; the message names the variable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BusSettings:
    """Where the bus is and who we are there.

    `url` may list several servers, separated by commas. `credentials` is a file, never a value: see bus/credentials.py.
    `user` is what the server's permissions call this service, and names its private inbox. `name` is the process's, as
    the server's monitoring shows it ("worker-ci-0").
    """

    url: str = field(repr=False)
    credentials: Path | None = None
    user: str = "forge"
    name: str = "forge"


def read_bus_settings(environ: Mapping[str, str], user: str = "forge") -> BusSettings:
    """From NATS_URL, NATS_CREDENTIALS (path of a file; optional) and NATS_CLIENT_NAME (optional)."""
    url = environ.get("NATS_URL", "").strip()
    if not url:
        raise BadSettings("NATS_URL is not set: it names the bus, for example nats://127.0.0.1:4222")
    for number, server in enumerate(url.split(","), 1):
        if not _is_address(server.strip()):
            raise BadSettings(f"NATS_URL: address {number} is none; it must be like nats://127.0.0.1:4222")
    credentials = environ.get("NATS_CREDENTIALS", "").strip()
    return BusSettings(
        url=url,
        credentials=Path(credentials) if credentials else None,
        user=user,
        name=environ.get("NATS_CLIENT_NAME", "").strip() or user,
    )


def _is_address(server: str) -> bool:
    """Not what it is, which may hold a password."""
    try:
        parts = urlsplit(server if "://" in server else f"nats://{server}")
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen; port 0 is any that is free."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """Paths of PEM files: who signs the build daemons' certificates, and our own certificate and key.

    The CLI takes all three or does not connect, even to a daemon that does not ask who we are.
    """

    ca: Path
    cert: Path
    key: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """Where a worker keeps things and how it runs steps. Everything that is not in the store lies below `data_dir`.

    `runner` is auto, host or earthly; `engine` local or argo (the host runner is refused on a cluster).
    `buildkit_hosts` are the build daemons, separated by commas, each for `buildkit_leases` steps of this worker at
    once; `buildkit_tls` are authority, certificate and key to speak to them, `docker_config` a folder with a
    config.json for the registries that builds ask. `allow_file_clone` lets jobs name repositories of this machine;
    `prewarm` are repositories to have before the first job wants them. `grace_s` is what running work gets when the
    worker is told to stop. `objects` names the object store (see `blob.open_blob`). `metrics` is where metrics and
    health are served, if anywhere; each worker of a machine needs an address of its own. `secrets_dir` holds the
    secrets of the provider "file", `git_credentials_dir` a folder of credentials for each git host. `git_backported`
    says that an older git has the security fixes; `git_cache_bytes` is how large the cache may grow.
    """

    data_dir: Path
    runner: RunnerSetting = "auto"
    engine: EngineSetting = "local"
    buildkit_hosts: str = ""
    buildkit_leases: int = BUILDKIT_LEASES
    buildkit_tls: TlsFiles | None = None
    docker_config: Path | None = None
    allow_file_clone: bool = False
    prewarm: tuple[str, ...] = ()
    grace_s: float = 10.0
    objects: str = ""
    metrics: Address | None = None
    secrets_dir: Path | None = None
    git_credentials_dir: Path | None = None
    git_backported: bool = False
    git_cache_bytes: int = GIT_CACHE_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseSettings:
    """What a worker of the pools artifacts and releases needs besides.

    `api_url` and `api_token`: where releases are registered, and a file with the worker's own token there. `registry`
    is where tracking and release images go, "host:port" or "host/prefix"; `registry_credentials` a config.json as
    Docker's tools know it; `registry_mirrors` the text that says which registry another one answers for. `signing_key`
    is a PEM file; without it nothing is signed. `gitops_url` and `gitops_branch` are where pointers are committed.
    `github_api` is an Enterprise Server's; `docs_s3_endpoint` where buckets of docs are, if not at AWS, and
    `docs_buckets` those that this worker's own role may be used for. `bill` is the form of bills of materials, and
    `release_layer` whose media type the layer of a release has.
    """

    api_url: str
    api_token: Path
    registry: str
    registry_credentials: Path | None = None
    registry_mirrors: str = ""
    signing_key: Path | None = None
    gitops_url: str
    gitops_branch: str = "main"
    github_api: str | None = None
    docs_s3_endpoint: str | None = None
    docs_buckets: frozenset[str] = frozenset()
    bill: BillSetting = "syft-json"
    release_layer: LayerSetting = "oci"


def read_release_settings(environ: Mapping[str, str]) -> ReleaseSettings:
    """From FORGE_API_URL, _API_TOKEN_FILE, _REGISTRY and _GITOPS_URL, and, optional, _REGISTRY_CREDENTIALS,
    _REGISTRY_MIRRORS, _SIGNING_KEY, _GITOPS_BRANCH, _GITHUB_API, _DOCS_S3_ENDPOINT, _DOCS_BUCKETS, _SBOM and
    _RELEASE_LAYER."""
    return ReleaseSettings(
        api_url=_required(environ, "FORGE_API_URL", "where releases are registered, for example https://forge.example"),
        api_token=Path(_required(environ, "FORGE_API_TOKEN_FILE", "a file with the worker's token for the API")),
        registry=_required(environ, "FORGE_REGISTRY", "where images go, for example registry.example/releases"),
        registry_credentials=_path(environ, "FORGE_REGISTRY_CREDENTIALS"),
        registry_mirrors=environ.get("FORGE_REGISTRY_MIRRORS", "").strip(),
        signing_key=_path(environ, "FORGE_SIGNING_KEY"),
        gitops_url=_required(environ, "FORGE_GITOPS_URL", "the repository of release pointers"),
        gitops_branch=environ.get("FORGE_GITOPS_BRANCH", "").strip() or "main",
        github_api=environ.get("FORGE_GITHUB_API", "").strip() or None,
        docs_s3_endpoint=environ.get("FORGE_DOCS_S3_ENDPOINT", "").strip() or None,
        docs_buckets=frozenset(environ.get("FORGE_DOCS_BUCKETS", "").split()),
        bill=cast("BillSetting", _choice(environ, "FORGE_SBOM", "syft-json", get_args(BillSetting))),
        release_layer=cast("LayerSetting", _choice(environ, "FORGE_RELEASE_LAYER", "oci", get_args(LayerSetting))),
    )


def read_worker_settings(environ: Mapping[str, str]) -> WorkerSettings:
    """From FORGE_DATA_DIR, _RUNNER, _ENGINE, _BUILDKIT_HOSTS, _BUILDKIT_LEASES, _BUILDKIT_TLS_CA, _BUILDKIT_TLS_CERT,
    _BUILDKIT_TLS_KEY, _DOCKER_CONFIG, _ALLOW_FILE_CLONE (1), _PREWARM, _GRACE_S, _OBJECTS, _METRICS_ADDRESS
    (host:port), _SECRETS_DIR, _GIT_CREDENTIALS_DIR, _GIT_BACKPORTED (1) and _GIT_CACHE_BYTES, all optional."""
    data_dir = Path(environ.get("FORGE_DATA_DIR", "").strip() or ".forge-data").absolute()
    return WorkerSettings(
        data_dir=data_dir,
        runner=cast("RunnerSetting", _choice(environ, "FORGE_RUNNER", "auto", get_args(RunnerSetting))),
        engine=cast("EngineSetting", _choice(environ, "FORGE_ENGINE", "local", get_args(EngineSetting))),
        buildkit_hosts=environ.get("FORGE_BUILDKIT_HOSTS", "").strip(),
        buildkit_leases=_count(environ, "FORGE_BUILDKIT_LEASES", BUILDKIT_LEASES),
        buildkit_tls=_tls_files(environ),
        docker_config=_path(environ, "FORGE_DOCKER_CONFIG"),
        allow_file_clone=environ.get("FORGE_ALLOW_FILE_CLONE", "") == "1",
        prewarm=tuple(environ.get("FORGE_PREWARM", "").split()),
        grace_s=_seconds(environ, "FORGE_GRACE_S", 10.0),
        objects=objects_of(environ, data_dir),
        metrics=_address(environ, "FORGE_METRICS_ADDRESS"),
        secrets_dir=_path(environ, "FORGE_SECRETS_DIR"),
        git_credentials_dir=_path(environ, "FORGE_GIT_CREDENTIALS_DIR"),
        git_backported=environ.get("FORGE_GIT_BACKPORTED", "") == "1",
        git_cache_bytes=_count(environ, "FORGE_GIT_CACHE_BYTES", GIT_CACHE_BYTES, 1 << 60),
    )


def _tls_files(environ: Mapping[str, str]) -> TlsFiles | None:
    """All three or none."""
    names = {part: f"FORGE_BUILDKIT_TLS_{part.upper()}" for part in ("ca", "cert", "key")}
    given = {part: path for part, name in names.items() if (path := _path(environ, name)) is not None}
    if given and len(given) < len(names):
        missing = ", ".join(name for part, name in names.items() if part not in given)
        raise BadSettings(f"{missing} not set: TLS to build daemons needs authority, certificate and key")
    return TlsFiles(**given) if given else None


def objects_of(environ: Mapping[str, str], data_dir: Path) -> str:
    """The object store, the same for API and workers: FORGE_OBJECTS, or a directory of this machine."""
    return environ.get("FORGE_OBJECTS", "").strip() or str(data_dir / "objects")


def _required(environ: Mapping[str, str], name: str, what: str) -> str:
    value = environ.get(name, "").strip()
    if not value:
        raise BadSettings(f"{name} is not set: it names {what}")
    return value


def _path(environ: Mapping[str, str], name: str) -> Path | None:
    text = environ.get(name, "").strip()
    return Path(text).absolute() if text else None


def _address(environ: Mapping[str, str], name: str) -> Address | None:
    text = environ.get(name, "").strip()
    if not text:
        return None
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise BadSettings(f"{name} is {text!r}: it must be host:port, for example 127.0.0.1:9400 (port 0: any)")
    return Address(host.strip("[]"), int(port))


def _choice(environ: Mapping[str, str], name: str, default: str, known: Sequence[str]) -> str:
    value = environ.get(name, "").strip() or default
    if value not in known:
        raise BadSettings(f"{name} is {value[:40]!r}: it must be one of {', '.join(known)}")
    return value


def _count(environ: Mapping[str, str], name: str, default: int, largest: int = 1000) -> int:
    text = environ.get(name, "").strip() or str(default)
    if not (text.isascii() and text.isdigit() and len(text) < 20 and 0 < int(text) <= largest):
        raise BadSettings(f"{name} is {text[:40]!r}: it must be a number from 1 to {largest}")
    return int(text)


def _seconds(environ: Mapping[str, str], name: str, default: float) -> float:
    text = environ.get(name, "").strip()
    try:
        value = float(text) if text else default
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise BadSettings(f"{name} is {text!r}: it must be a number of seconds, 0 or more")
    return value
