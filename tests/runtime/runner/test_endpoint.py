"""Addresses of build daemons."""

from pathlib import Path

import pytest

from forge_runtime.runner.endpoint import BadEndpoint, Endpoint, parse_endpoints
from forge_runtime.settings import TlsFiles


def test_a_list_is_separated_by_commas_or_blanks_and_names_each_once() -> None:
    tls = TlsFiles(ca=Path("/ca.pem"), cert=Path("/cert.pem"), key=Path("/key.pem"))

    found = parse_endpoints(" tcp://a:1, tcp://b.c:8372\ntcp://a:1 ", tls=tls, leases_max=2)

    assert found == (
        Endpoint(address="tcp://a:1", tls=tls, leases_max=2),
        Endpoint(address="tcp://b.c:8372", tls=tls, leases_max=2),
    )
    assert [each.name for each in found] == ["a:1", "b.c:8372"]
    assert parse_endpoints("") == ()


@pytest.mark.parametrize(
    "text",
    [
        "a:1",
        "tcp://a",
        "http://a:1",
        "tcp://a:1/path",
        "tcp://me@a:1",
        "tcp://:8372",
        "tcp://a:99999",
        "unix:///x",
        "tcp://[",
    ],
)
def test_what_is_no_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(BadEndpoint, match="write tcp://host:port"):
        parse_endpoints(f"tcp://good:1,{text}")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "LOCALHOST"])
def test_hosts_for_which_the_cli_starts_a_container_are_refused(host: str) -> None:
    with pytest.raises(BadEndpoint, match="starts a container of its own"):
        parse_endpoints(f"tcp://{host}:8372")


@pytest.mark.parametrize("leases_max", [0, 1001])
def test_a_number_of_steps_that_makes_no_sense_is_refused(leases_max: int) -> None:
    with pytest.raises(BadEndpoint, match="1 to 1000"):
        parse_endpoints("tcp://a:1", leases_max=leases_max)
