"""Credentials of registries: found by host, and shown to nobody."""

import base64
import json
from pathlib import Path

import pytest

from forge_runtime.oci.credentials import FILE_BYTES_MAX, BadCredentials, Credential, DockerConfig


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.fixture
def config(tmp_path: Path) -> DockerConfig:
    return DockerConfig(tmp_path / "config.json")


def write(config: DockerConfig, document: object) -> None:
    config.path.write_text(document if isinstance(document, str) else json.dumps(document))


def test_a_user_and_a_password_are_found_by_host_and_port(config: DockerConfig) -> None:
    write(
        config,
        {
            "auths": {
                "registry.example:5000": {"auth": encoded("ada:pass:word")},
                "https://Other.Example/v2/": {"username": "eve", "password": "p"},
                "empty.example": {},
                "https://index.docker.io/v1/": {"auth": encoded("hub:h")},
                "azure.example": {"auth": encoded("0000:x"), "identitytoken": "refresh"},
            }
        },
    )

    assert config.of("registry.example:5000") == Credential(user="ada", password="pass:word")
    assert config.of("other.example") == Credential(user="eve", password="p")
    assert config.of("docker.io") == Credential(user="hub", password="h")
    assert config.of("azure.example") == Credential(refresh_token="refresh")
    assert config.of("registry.example") is None
    assert config.of("empty.example") is None
    assert config.of("example") is None


def test_without_a_file_every_registry_is_asked_as_nobody(config: DockerConfig) -> None:
    assert config.of("registry.example") is None


def test_a_file_that_is_replaced_is_read_anew(config: DockerConfig) -> None:
    write(config, {"auths": {"registry.example": {"auth": encoded("a:1")}}})
    config.of("registry.example")
    write(config, {"auths": {"registry.example": {"auth": encoded("a:2")}}})

    assert config.of("registry.example") == Credential(user="a", password="2")


@pytest.mark.parametrize("helpers", [{"credsStore": "desktop"}, {"credHelpers": {"registry.example": "ecr-login"}}])
def test_a_program_that_knows_the_password_is_not_run(config: DockerConfig, helpers: dict[str, object]) -> None:
    write(config, {"auths": {"registry.example": {}}, **helpers})

    with pytest.raises(BadCredentials, match="helper program, which is not run"):
        config.of("registry.example")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '"s3cr3t"',
        '{"auths": {"registry.example": {"auth": "s3cr3t!"}}}',
        '{"auths": {"registry.example": {"auth": "czNjcjN0"}}}',
        '{"auths": {"registry.example": {"auth": "/w=="}}}',
        "[" * 100_000,
        " " * (FILE_BYTES_MAX + 1),
    ],
    ids=["empty", "list", "text", "no base64", "no colon", "no UTF-8", "deep", "large"],
)
def test_a_file_that_cannot_be_used_is_named_and_its_content_is_not(config: DockerConfig, text: str) -> None:
    write(config, text)

    with pytest.raises(BadCredentials, match=r"config\.json") as bad:
        config.of("registry.example")

    assert "s3cr3t" not in str(bad.value)
    assert "czNjcjN0" not in str(bad.value)
    assert bad.value.__context__ is None


@pytest.mark.parametrize("document", [{"auths": []}, {"auths": {"registry.example": "x"}}, {"auths": None}])
def test_what_is_no_table_of_hosts_holds_none(config: DockerConfig, document: object) -> None:
    write(config, document)

    assert config.of("registry.example") is None


def test_a_password_is_not_shown_by_what_holds_it() -> None:
    assert "s3cr3t" not in repr(Credential(user="a", password="s3cr3t", refresh_token="s3cr3t"))
