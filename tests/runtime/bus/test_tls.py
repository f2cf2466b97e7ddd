"""TLS to the bus: what is checked, what a wrong thing is called, and a certificate that is replaced while we run."""

import asyncio
import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from tests.guarded_server import CertificateServer, write_certificate
from tests.judge import Judged, version_of
from tests.nats_server import NatsServer, free_port
from tests.runtime.bus.conftest import restart

from forge_runtime import subject
from forge_runtime.bus.jetstream import connect
from forge_runtime.bus.port import BusUnavailable
from forge_runtime.settings import BusSettings

YESTERDAY = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)


@pytest.fixture
def server(tmp_path: Path, judged: Judged) -> Iterator[CertificateServer]:
    server = CertificateServer(tmp_path / "nats")
    server.start()
    judged("nats-server", version_of(str(server.binary), "--version"), "tests against a running server", 1)
    yield server
    server.stop()


def shown(server: CertificateServer, folder: Path, certificate: trustme.LeafCert) -> BusSettings:
    write_certificate(folder, server.authority, certificate)
    return BusSettings(url=server.url, credentials=folder / "tls.crt", user=subject.DISPATCHER, name="test")


async def refusal(settings: BusSettings) -> str:
    async with asyncio.timeout(8):  # at once, and not after the 10 s that a server may be away
        with pytest.raises(BusUnavailable) as caught:
            await connect(settings)
    return str(caught.value)


async def test_server_of_another_authority_is_not_trusted(server: CertificateServer, tmp_path: Path) -> None:
    folder = tmp_path / "client"
    settings = shown(server, folder, server.authority.issue_cert("dispatcher"))
    trustme.CA().cert_pem.write_to_path(str(folder / "ca.crt"))

    said = await refusal(settings)

    assert "the server's certificate does not do" in said
    assert str(folder / "ca.crt") in said


async def test_server_by_a_name_that_its_certificate_lacks_is_not_trusted(
    server: CertificateServer, tmp_path: Path
) -> None:
    own = server.authority.issue_cert("nats.elsewhere.example")
    write_certificate(tmp_path / "nats" / "server-certificate", server.authority, own)
    server.stop()
    server.start()

    said = await refusal(server.settings_of(subject.DISPATCHER))

    assert "Hostname mismatch" in said
    assert "localhost" in said


async def test_server_whose_certificate_has_ended_is_not_trusted(server: CertificateServer, tmp_path: Path) -> None:
    own = server.authority.issue_cert("localhost", not_after=YESTERDAY)
    write_certificate(tmp_path / "nats" / "server-certificate", server.authority, own)
    server.stop()
    server.start()

    assert "certificate has expired" in await refusal(server.settings_of(subject.DISPATCHER))


async def test_our_certificate_that_has_ended_is_refused_and_named(server: CertificateServer, tmp_path: Path) -> None:
    ended = server.authority.issue_cert("dispatcher", not_after=YESTERDAY)

    said = await refusal(shown(server, tmp_path / "ended", ended))

    assert "the server does not take our certificate" in said
    assert str(tmp_path / "ended" / "tls.crt") in said


async def test_our_certificate_of_another_authority_is_refused(server: CertificateServer, tmp_path: Path) -> None:
    said = await refusal(shown(server, tmp_path / "foreign", trustme.CA().issue_cert("dispatcher")))

    assert "the server does not take our certificate" in said


async def test_server_that_wants_a_certificate_and_gets_none_says_so(server: CertificateServer, tmp_path: Path) -> None:
    server.authority.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
    (tmp_path / "token").write_text("a-token")
    (tmp_path / "token").chmod(0o600)

    said = await refusal(BusSettings(url=server.url, credentials=tmp_path / "token", name="test"))

    assert "we show none" in said
    assert "a-token" not in said


async def test_nothing_is_said_to_a_server_without_tls_where_tls_is_wanted(nats_server: NatsServer) -> None:
    url = nats_server.url.replace("nats://", "tls://")

    with pytest.raises(BusUnavailable, match="offers no TLS"):
        await connect(BusSettings(url=url, credentials=nats_server.token_file, name="test"))


@pytest.mark.parametrize(
    ("url", "missing", "complaint"),
    [
        ("nats://localhost:{port}", None, "must begin tls://"),
        ("tls://localhost:{port},nats://localhost:{port}", None, "mixes tls:// with other addresses"),
        ("tls://localhost:{port}", "tls.key", "tls.key: FileNotFoundError"),
        ("tls://localhost:{port}", "ca.crt", "ca.crt is missing"),
    ],
)
async def test_files_and_addresses_that_do_not_go_together_are_named(
    tmp_path: Path, url: str, missing: str | None, complaint: str
) -> None:
    authority = trustme.CA()
    write_certificate(tmp_path, authority, authority.issue_cert("dispatcher"))
    if missing is not None:
        (tmp_path / missing).unlink()

    said = await refusal(BusSettings(url=url.format(port=free_port()), credentials=tmp_path / "tls.crt"))

    assert complaint in said


async def test_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    authority = trustme.CA()
    write_certificate(tmp_path, authority, authority.issue_cert("dispatcher"))
    authority.issue_cert("api").private_key_pem.write_to_path(str(tmp_path / "tls.key"))

    said = await refusal(BusSettings(url="tls://localhost:4222", credentials=tmp_path / "tls.crt"))

    assert "cannot be used together" in said


async def test_certificate_that_was_replaced_is_shown_at_the_next_connection(
    server: CertificateServer, tmp_path: Path
) -> None:
    """A process may outlive several certificates."""
    settings = shown(server, tmp_path / "ours", server.authority.issue_cert("dispatcher"))
    bus = await connect(settings)
    newer = trustme.CA()
    write_certificate(tmp_path / "ours", newer, newer.issue_cert("dispatcher"))
    write_certificate(tmp_path / "nats" / "server-certificate", newer, newer.issue_cert("localhost"))

    await restart(server, bus)

    assert await bus.connection.client.rtt() > 0
    await bus.close()
