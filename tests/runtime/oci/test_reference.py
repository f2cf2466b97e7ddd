"""Names in registries: what the grammar takes comes back as it was, and nothing else gets through."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge_runtime.oci.reference import BadReference, Reference, parse_reference, repository_of

HEX = "0123456789abcdef"

components = st.from_regex(r"[a-z0-9]{1,5}((\.|_|__|-{1,3})[a-z0-9]{1,5}){0,2}", fullmatch=True)
references = st.builds(
    Reference,
    registry=st.from_regex(r"[a-z0-9]{1,6}\.[a-z0-9]{1,6}(:[0-9]{1,5})?", fullmatch=True)
    | st.sampled_from(["localhost", "localhost:5000", "registry:80", "127.0.0.1:5000", "[::1]:5000"]),
    repository=st.lists(components, min_size=1, max_size=4).map("/".join),
    tag=st.none() | st.from_regex(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}", fullmatch=True),
    digest=st.none() | st.text(HEX, min_size=64, max_size=64).map("sha256:{}".format),
)


@given(references)
def test_a_reference_is_read_as_it_is_written(reference: Reference) -> None:
    assert parse_reference(str(reference)) == reference


@given(st.text(max_size=80))
def test_any_text_is_a_reference_or_refused_by_name(text: str) -> None:
    try:
        reference = parse_reference(text)
    except BadReference:
        return

    assert str(reference) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "web",
        "owner/web",
        "registry.example/",
        "registry.example//web",
        "registry.example/Web",
        "registry.example/a/../b",
        "registry.example/web:",
        "registry.example/web:-x",
        "registry.example/web:" + "x" * 129,
        "registry.example/web@sha256:abc",
        "registry.example/web@md5:d41d8cd98f00b204e9800998ecf8427e",
        "registry.example/web\n",
        "https://registry.example/web",
        "user:pass@registry.example/web",
        "registry.example:port/web",
        "registry.example/" + "a" * 255,
        "registry.example/web?x",
        "registry.example/web%2f..",
    ],
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(BadReference):
        parse_reference(text)


def test_a_digest_says_what_is_meant_and_a_tag_else_and_latest_else() -> None:
    digest = "sha256:" + "a" * 64
    name = Reference(registry="localhost:5000", repository="owner/web")

    assert name.identifier == "latest"
    assert name.tagged("v1").identifier == "v1"
    assert name.tagged("v1").at(digest).identifier == digest
    assert name.at(digest).tagged("v1").digest is None


def test_names_are_lower_cased_for_a_repository_and_checked() -> None:
    assert repository_of("Acme/Shop", "web-UI", "image") == "acme/shop/web-ui/image"
    with pytest.raises(BadReference, match=r'"acme/shop/web\.\.ui" is not a repository'):
        repository_of("acme/shop", "web..ui")
