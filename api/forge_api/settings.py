"""The API's settings: read from the environment once, checked, then passed as a value."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from forge_api.environment import STANDARD, Environments, EnvironmentsInvalid, read_environments

BODY_BYTES_MAX: Final = 2 * 1024 * 1024
"""Of a request; the longest legal bodies are a discovery document of 1 MB, and a release of 50 artifacts."""

RUNS_ACTIVE_MAX: Final = 1000
"""Runs at once on the whole platform; the limit of one repository is a column of its row."""

LOCAL_OWNER: Final = "local"
"""Owner of the repositories of this machine, the only ones that may be registered by a `file://` URL."""

_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class SettingsInvalid(Exception):
    """A variable is missing or wrong; the message names it and says what it may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSettings:
    """`file_clone`: repositories of this machine (owner `local`) may be registered by a `file://` URL.

    `dispatcher_credentials` are what dispatchers show the bus that are started here; the API's own if none are given.
    `tokens_dir` holds tokens of others than the operator (auth/token.py).
    """

    data_dir: Path
    token_file: Path
    database_url: str
    host: str = "127.0.0.1"
    port: int = 8420
    environment: str = "local"
    file_clone: bool = False
    nats_url: str = "nats://127.0.0.1:4222"
    nats_credentials: Path | None = None
    dispatcher_credentials: Path | None = None
    tokens_dir: Path | None = None
    environments: Environments = field(default_factory=lambda: STANDARD)

    def check(self) -> None:
        """SettingsInvalid where these would not be safe: a token in a file is one key to everything, so it may open one
        machine, not a network, and never production; and what a workflow names must hold no secrets."""
        if self.environment == "production":
            raise SettingsInvalid("FORGE_ENVIRONMENT is production, where a token in a file is not accepted")
        if self.host not in _LOOPBACK:
            raise SettingsInvalid(
                f'FORGE_API_HOST is "{self.host}"; with a token in a file the API listens on loopback only (127.0.0.1)'
            )
        if "@" in self.nats_url:
            raise SettingsInvalid("NATS_URL has credentials in it; NATS_CREDENTIALS names a file that holds them")


def read_settings(environment: Mapping[str, str]) -> ApiSettings:
    """Settings from `FORGE_*` and `NATS_*` variables; SettingsInvalid says which one is wrong."""
    data_dir = Path(environment.get("FORGE_DATA_DIR", ".forge-data")).absolute()
    engine = environment.get("FORGE_ENGINE", "local")
    if engine != "local":
        raise SettingsInvalid(f'FORGE_ENGINE is "{engine}"; this build knows "local"')
    credentials = environment.get("NATS_CREDENTIALS")
    dispatcher_credentials = environment.get("FORGE_DISPATCHER_CREDENTIALS") or credentials
    settings = ApiSettings(
        data_dir=data_dir,
        token_file=Path(environment.get("FORGE_TOKEN_FILE", data_dir / "api.token")),
        database_url=environment.get("FORGE_DATABASE_URL", f"sqlite+aiosqlite:///{data_dir / 'forge.db'}"),
        host=environment.get("FORGE_API_HOST", "127.0.0.1"),
        port=_port(environment.get("FORGE_API_PORT", "8420")),
        environment=environment.get("FORGE_ENVIRONMENT", "local"),
        file_clone=environment.get("FORGE_ALLOW_FILE_CLONE") == "1",
        nats_url=environment.get("NATS_URL", "nats://127.0.0.1:4222"),
        nats_credentials=Path(credentials) if credentials else None,
        dispatcher_credentials=Path(dispatcher_credentials) if dispatcher_credentials else None,
        tokens_dir=Path(environment.get("FORGE_TOKENS_DIR", data_dir / "tokens")),
        environments=_environments(environment.get("FORGE_ENVIRONMENTS_FILE")),
    )
    settings.check()
    return settings


def _environments(path: str | None) -> Environments:
    if not path:
        return STANDARD
    try:
        return read_environments(Path(path))
    except EnvironmentsInvalid as error:
        raise SettingsInvalid(f"FORGE_ENVIRONMENTS_FILE: {error}") from None


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise SettingsInvalid(f'FORGE_API_PORT is "{text}", not a port (1 to 65535)')
    return int(text)
