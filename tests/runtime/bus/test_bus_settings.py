"""NATS_URL, NATS_CREDENTIALS and NATS_CLIENT_NAME."""

from pathlib import Path

import pytest

from forge_runtime.settings import BadSettings, BusSettings, read_bus_settings


def test_the_url_is_enough() -> None:
    assert read_bus_settings({"NATS_URL": "nats://nats:4222"}) == BusSettings(
        url="nats://nats:4222", credentials=None, name="forge"
    )


def test_credentials_are_a_path_and_the_name_is_the_process() -> None:
    settings = read_bus_settings(
        {"NATS_URL": "nats://nats:4222", "NATS_CREDENTIALS": "/run/nats/token", "NATS_CLIENT_NAME": "worker-ci-0"}
    )

    assert settings.credentials == Path("/run/nats/token")
    assert settings.name == "worker-ci-0"


@pytest.mark.parametrize("environ", [{}, {"NATS_URL": " "}])
def test_a_missing_url_is_named(environ: dict[str, str]) -> None:
    with pytest.raises(BadSettings, match="NATS_URL is not set"):
        read_bus_settings(environ)


def test_a_url_with_a_password_does_not_show_it() -> None:
    assert "hunter2" not in repr(BusSettings(url="nats://somebody:hunter2@nats:4222"))


@pytest.mark.parametrize(
    "url", ["nats://[", "nats:4222x", "nats://a:4222,nats://:hunter2@", "nats://me:hunter2/x@nats"]
)
def test_what_is_no_address_is_told_without_showing_it(url: str) -> None:
    with pytest.raises(BadSettings, match=r"NATS_URL: address [12] is none") as refused:
        read_bus_settings({"NATS_URL": url})

    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("url", ["nats", "nats:4222", "tls://nats.example", "nats://[::1]:4222, nats://u:p@nats:4222"])
def test_addresses_have_these_forms(url: str) -> None:
    assert read_bus_settings({"NATS_URL": url}).url == url
