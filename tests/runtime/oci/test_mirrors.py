"""Registries that stand in for others."""

import pytest

from forge_runtime.oci.mirrors import BadMirrors, Mirrors, parse_mirrors


def test_a_registry_is_asked_where_its_name_says() -> None:
    none = parse_mirrors("")

    assert none.origin_of("registry.example:5000") == "https://registry.example:5000"
    assert none.origin_of("localhost:5000") == "http://localhost:5000"
    assert none.origin_of("[::1]:5000") == "http://[::1]:5000"
    assert none.origin_of("docker.io") == "https://registry-1.docker.io"
    assert none.asked_for("docker.io") == "docker.io"


def test_another_stands_in_for_one_or_for_all_the_others() -> None:
    mirrors = parse_mirrors("registry.example=http://127.0.0.1:5001/, *=https://mirror.example")

    assert mirrors == Mirrors({"registry.example": "http://127.0.0.1:5001", "*": "https://mirror.example"})
    assert mirrors.origin_of("registry.example") == "http://127.0.0.1:5001"
    assert mirrors.asked_for("registry.example") == "127.0.0.1:5001"
    assert mirrors.origin_of("docker.io") == "https://mirror.example"
    assert mirrors.asked_for("docker.io") == "mirror.example"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("registry.example", "is not a registry"),
        ("web=http://127.0.0.1", "is not a registry"),
        ("a.example=http://127.0.0.1,a.example=http://127.0.0.1", "two addresses"),
        ("a.example=http://mirror.example", "https"),
        ("a.example=file:///etc", "more or less"),
        ("a.example=ftp://127.0.0.1", "https"),
        ("a.example=https://mirror.example/v2/x", "more or less"),
        ("a.example=https://user:pass@mirror.example", "holds a password"),
        ("a.example=https://[", "not an address"),
        ("a.example=", "more or less"),
    ],
)
def test_what_is_no_address_of_a_registry_is_refused_without_a_password_in_the_message(text: str, why: str) -> None:
    with pytest.raises(BadMirrors, match=why) as refused:
        parse_mirrors(text)

    assert "pass@" not in str(refused.value)
