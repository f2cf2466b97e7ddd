"""Environment -> frozen settings, read once at the start of a process."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast, get_args

RunnerSetting = Literal["auto", "earthly", "host"]


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
    credentials = environ.get("NATS_CREDENTIALS", "").strip()
    return BusSettings(
        url=url,
        credentials=Path(credentials) if credentials else None,
        user=user,
        name=environ.get("NATS_CLIENT_NAME", "").strip() or user,
    )


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen; port 0 is any that is free."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """Where a worker keeps things and how it runs steps. Everything that is not in the store lies below `data_dir`.

    `runner` is auto, host or earthly; `engine` local or argo (the host runner is refused on a cluster).
    `allow_file_clone` lets jobs name repositories of this machine. `grace_s` is what running work gets when the
    worker is told to stop. `objects` names the object store (see `blob.open_blob`). `metrics` is where metrics and health are served, if anywhere; each worker of a machine
    needs an address of its own. `secrets_dir` holds the secrets of the provider "file".
    """

    data_dir: Path
    runner: RunnerSetting = "auto"
    engine: str = "local"
    buildkit_host: str | None = None
    allow_file_clone: bool = False
    grace_s: float = 10.0
    objects: str = ""
    metrics: Address | None = None
    secrets_dir: Path | None = None


def read_worker_settings(environ: Mapping[str, str]) -> WorkerSettings:
    """From FORGE_DATA_DIR, _RUNNER, _ENGINE, _BUILDKIT_HOST, _ALLOW_FILE_CLONE (1), _GRACE_S, _OBJECTS,
    _METRICS_ADDRESS (host:port) and _SECRETS_DIR, all optional."""
    secrets_dir = environ.get("FORGE_SECRETS_DIR", "").strip()
    data_dir = Path(environ.get("FORGE_DATA_DIR", "").strip() or ".forge-data").absolute()
    runner = environ.get("FORGE_RUNNER", "").strip() or "auto"
    if runner not in get_args(RunnerSetting):
        raise BadSettings(f"FORGE_RUNNER is {runner!r}: it must be one of {', '.join(get_args(RunnerSetting))}")
    return WorkerSettings(
        data_dir=data_dir,
        runner=cast("RunnerSetting", runner),
        engine=environ.get("FORGE_ENGINE", "").strip() or "local",
        buildkit_host=environ.get("FORGE_BUILDKIT_HOST", "").strip() or None,
        allow_file_clone=environ.get("FORGE_ALLOW_FILE_CLONE", "") == "1",
        grace_s=_seconds(environ, "FORGE_GRACE_S", 10.0),
        objects=objects_of(environ, data_dir),
        metrics=_address(environ, "FORGE_METRICS_ADDRESS"),
        secrets_dir=Path(secrets_dir).absolute() if secrets_dir else None,
    )


def objects_of(environ: Mapping[str, str], data_dir: Path) -> str:
    """The object store, the same for API and workers: FORGE_OBJECTS, or a directory of this machine."""
    return environ.get("FORGE_OBJECTS", "").strip() or str(data_dir / "objects")


def _address(environ: Mapping[str, str], name: str) -> Address | None:
    text = environ.get(name, "").strip()
    if not text:
        return None
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise BadSettings(f"{name} is {text!r}: it must be host:port, for example 127.0.0.1:9400 (port 0: any)")
    return Address(host.strip("[]"), int(port))


def _seconds(environ: Mapping[str, str], name: str, default: float) -> float:
    text = environ.get(name, "").strip()
    try:
        value = float(text) if text else default
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise BadSettings(f"{name} is {text!r}: it must be a number of seconds, 0 or more")
    return value
