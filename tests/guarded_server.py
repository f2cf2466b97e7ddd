"""A real nats-server under the permissions of the platform, with a user for each service."""

from pathlib import Path
from typing import Final

import trustme
from tests.nats_server import NatsServer

from forge_runtime.bus.permission import users
from forge_runtime.bus.server_config import SYSTEM_USER, Certificates, Passwords, server_configuration
from forge_runtime.settings import BusSettings
from forge_runtime.subject import QUEUES

WORKERS: Final = (*((queue.pool,) for queue in QUEUES), ("discovery", "tasks"))
"""A user for each pool, and one for two of them."""


class PasswordServer(NatsServer):
    """As on one machine."""

    def __init__(self, folder: Path, *, more: str = "") -> None:
        self._folder = folder
        known = users(WORKERS)
        self.passwords: Final = {user.name: f"password-of-{user.name}" for user in known}
        super().__init__(
            folder, guard=server_configuration(known, Passwords(self.passwords), folder / "store"), more=more
        )

    def settings_of(self, user: str, *, credentials_of: str | None = None) -> BusSettings:
        """Of a service; with `credentials_of`, of one that shows those of another."""
        shown = credentials_of or user
        file = self._folder / f"{shown}.credentials"
        file.touch(mode=0o600)
        file.write_text(f"{shown}\n{self.passwords[shown]}\n")
        return BusSettings(url=self.url, credentials=file, user=user, name=f"{user}-0")


class CertificateServer(NatsServer):
    """As on a network. `authority` signs the server's certificate and everybody's."""

    def __init__(self, folder: Path, *, more: str = "") -> None:
        self._folder = folder
        self.authority: Final = trustme.CA()
        own = folder / "server-certificate"
        write_certificate(own, self.authority, self.authority.issue_cert("127.0.0.1", "localhost"))
        guard = server_configuration(users(WORKERS), Certificates(own), folder / "store")
        super().__init__(folder, guard=guard, more=more)

    @property
    def url(self) -> str:
        return f"tls://localhost:{self.port}"

    def settings_of(self, user: str, *, credentials_of: str | None = None) -> BusSettings:
        shown = credentials_of or user
        folder = self._folder / f"certificate-{shown}"
        if not folder.exists():
            write_certificate(folder, self.authority, self.authority.issue_cert(shown))
        return BusSettings(url=self.url, credentials=folder / "tls.crt", user=user, name=f"{user}-0")

    def system_settings(self) -> BusSettings:
        return self.settings_of(SYSTEM_USER)


def write_certificate(folder: Path, authority: trustme.CA, certificate: trustme.LeafCert) -> None:
    """As a TLS secret is laid out: tls.crt, tls.key, ca.crt."""
    folder.mkdir(parents=True, exist_ok=True)
    key = folder / "tls.key"
    key.touch(mode=0o600)
    certificate.private_key_pem.write_to_path(str(key))
    certificate.cert_chain_pems[0].write_to_path(str(folder / "tls.crt"))
    authority.cert_pem.write_to_path(str(folder / "ca.crt"))
