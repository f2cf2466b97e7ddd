"""What a process shows the server: a file, told by its content.

    -----BEGIN CERTIFICATE-----     our certificate; its key and who signs the servers' lie beside it: tls.key, ca.crt
    -----BEGIN NATS USER JWT-----   a .creds file, as NATS tools make them
    two lines                       user, then password
    one line                        token

The first is how Kubernetes and cert-manager lay out a TLS secret. With the others a `tls://` address is checked against
`ca.crt` beside the file, or, where there is none, against the authorities that this machine trusts.
"""

import logging
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from forge_runtime.settings import BadSettings

if TYPE_CHECKING:
    from forge_runtime.bus.tls import TlsFiles

_CREDS: Final = "-----BEGIN NATS USER JWT-----"
_CERTIFICATE: Final = "-----BEGIN CERTIFICATE-----"
_AUTHORITY: Final = "ca.crt"
_KEY: Final = "tls.key"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Credentials:
    """`options` are those of nats-py's `connect`; `tls` if the connection must be encrypted."""

    options: Mapping[str, Any] = field(repr=False)
    tls: "TlsFiles | None" = None
    named: bool = False
    """Whether they say which user we are; a token does not."""


def read_credentials(path: Path | None, url: str) -> Credentials:
    """BadSettings where something is missing, unreadable or does not go together; it names files, not their content."""
    servers = [server.strip() for server in url.split(",")]
    encrypted = [server.startswith("tls://") for server in servers]
    if any(encrypted) and not all(encrypted):
        raise BadSettings("NATS_URL mixes tls:// with other addresses: what is sent to one is sent to all")
    content = "" if path is None else _content(path)
    certified = content.startswith(_CERTIFICATE)
    if certified and not all(encrypted):
        raise BadSettings(f"{path} is a certificate, which needs TLS: every address in NATS_URL must begin tls://")
    tls = _tls(path, certified=certified) if all(encrypted) else None
    options = {} if path is None or certified else _options(path, content)
    named = path is not None and "token" not in options
    return Credentials({**options, **({} if tls is None else {"tls": tls.context()})}, tls, named)


def _options(path: Path, content: str) -> dict[str, Any]:
    _warn_if_readable_by_others(path)
    if content.startswith(_CREDS):
        return {"user_credentials": str(path)}
    match content.splitlines():
        case [token]:
            return {"token": token}
        case [user, password]:
            return {"user": user, "password": password}
        case _:
            raise BadSettings(f"{path} is no certificate, no .creds file, no user and password, and no token")


def _tls(path: Path | None, *, certified: bool) -> "TlsFiles":
    from forge_runtime.bus.tls import TlsFiles  # `ssl` costs a dispatcher that needs none of it 20 ms of CPU

    authority = None if path is None else path.with_name(_AUTHORITY)
    if authority is not None and not authority.exists():
        if certified:
            raise BadSettings(f"{authority} is missing: it says who signs the servers' certificates")
        authority = None
    if not certified or path is None:
        return TlsFiles(authority)
    key = path.with_name(_KEY)
    _content(key)
    _warn_if_readable_by_others(key)
    return TlsFiles(authority, path, key)


def _content(path: Path) -> str:
    try:
        content = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(f"cannot read the bus credentials in {path}: {type(error).__name__}") from error
    if not content:
        raise BadSettings(f"the bus credentials in {path} are empty")
    return content


def _warn_if_readable_by_others(path: Path) -> None:
    """No refusal: a secret that Kubernetes mounts is like that, in a container where there are no others."""
    if path.stat().st_mode & stat.S_IROTH:
        _log.warning("bus credentials in %s can be read by everybody on this machine: chmod o-r", path)
