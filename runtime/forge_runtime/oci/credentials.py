"""Who we are to a registry: users and passwords by host, from a file that Docker's tools know, or as given.

    {"auths": {"registry.example:5000": {"auth": "<base64 of user:password>"}}}      Docker's config.json

The file is read anew for each registry that asks, so that a mounted secret may be replaced while a worker runs. What it
names to be run (credential helpers) is not run.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

FILE_BYTES_MAX: Final = 1024 * 1024

_DOCKER_HUB: Final = "docker.io"
_DOCKER_HUB_KEY: Final = "index.docker.io"
"""Docker's own tools keep the hub's credentials under `https://index.docker.io/v1/`."""


class BadCredentials(Exception):
    """The file cannot be used; the message names it and the registry, and nothing secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A user and a password, or a refresh token (`identitytoken` in the file) for the registry's token service."""

    user: str = ""
    password: str = field(default="", repr=False)
    refresh_token: str | None = field(default=None, repr=False)


class Credentials(Protocol):
    def of(self, registry: str) -> Credential | None:
        """What to show `registry` (host and maybe port) where it asks; None for nothing. Raises BadCredentials."""
        ...


@dataclass(frozen=True, slots=True)
class GivenCredentials:
    """Known already, by registry."""

    known: Mapping[str, Credential] = field(default_factory=dict)

    def of(self, registry: str) -> Credential | None:
        return self.known.get(registry)


@dataclass(frozen=True, slots=True)
class DockerConfig:
    """A `config.json`. Without the file, every registry is asked as nobody."""

    path: Path

    def of(self, registry: str) -> Credential | None:
        config = self._read()
        for name, entry in _object(config.get("auths")).items():
            if _host(name) == (_DOCKER_HUB_KEY if registry == _DOCKER_HUB else registry.lower()):
                found = self._credential(registry, _object(entry))
                if found is not None:
                    return found
        if config.get("credsStore") or registry in _object(config.get("credHelpers")):
            raise BadCredentials(
                f"{self.path} leaves the credentials of {registry} to a helper program, which is not run here: "
                'write them into "auths"'
            )
        return None

    def _read(self) -> Mapping[str, Any]:
        try:
            with self.path.open("rb") as file:
                data = file.read(FILE_BYTES_MAX + 1)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise BadCredentials(f"cannot read {self.path}: {error.strerror}") from None
        document: Any = None
        if len(data) <= FILE_BYTES_MAX:
            try:
                document = json.loads(data)
            except (ValueError, RecursionError):
                document = None  # the error quotes the text: it is not shown, and not kept
        if not isinstance(document, dict):
            raise BadCredentials(f"{self.path} is not a JSON object of at most {FILE_BYTES_MAX} bytes")
        return document

    def _credential(self, registry: str, entry: Mapping[str, Any]) -> Credential | None:
        if token := entry.get("identitytoken"):
            return Credential(refresh_token=str(token))
        encoded = entry.get("auth")
        if not encoded:
            user, password = entry.get("username"), entry.get("password")
            return Credential(user=str(user), password=str(password)) if user and password else None
        decoded = _decoded(encoded)
        if decoded is None or ":" not in decoded:
            raise BadCredentials(f'{self.path}: "auth" of {registry} is not base64 of a user, a colon and a password')
        user, _, password = decoded.partition(":")
        return Credential(user=user, password=password)


def _decoded(encoded: object) -> str | None:
    try:
        return base64.b64decode(str(encoded), validate=True).decode().rstrip("\0")
    except (binascii.Error, ValueError):
        return None


def _host(name: str) -> str:
    """A key of `auths` is a host, or an address of one."""
    return name.lower().removeprefix("https://").removeprefix("http://").partition("/")[0]


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
