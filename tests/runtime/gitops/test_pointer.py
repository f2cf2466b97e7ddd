"""The pointer as a file: its path, its text, and what is read of one that lies there."""

import pytest
import yaml
from tests.runtime.gitops.origin import update

from forge_runtime.gitops.pointer import Aliases, BadPointer, Found, Pointer, moment, read_pointer

RELEASE = "1f" * 20
AT = "2026-03-01T12:00:00.000Z"


def pointer(**changes: object) -> Pointer:
    return update(7, "web", **changes).pointer


def found(**changes: object) -> Found:
    read = read_pointer(pointer(**changes).text(AT).encode())
    assert read is not None
    return read


def test_path_is_environment_repository_project_in_lower_case() -> None:
    path = pointer(environment="dev", repository="Acme/Shop.Site", project="Web").path

    assert path == "environments/dev/acme/shop.site/web/release.yaml"


def test_text_is_a_release_pointer_with_all_that_is_known() -> None:
    text = pointer(
        release=RELEASE,
        aliases=Aliases(numeric="42", tag="v1.2.3", branch="main-42"),
        approved_by="user:bob",
        approved_at="2026-03-01T11:00:00Z",
    ).text(AT)

    assert yaml.safe_load(text) == {
        "apiVersion": "forge.projectcatalyst.io/v1",
        "kind": "ReleasePointer",
        "metadata": {
            "name": "web",
            "labels": {"environment": "dev"},
            "annotations": {
                "forge.projectcatalyst.io/deployment-id": "deployment-web-7",
                "forge.projectcatalyst.io/requested-at": "2026-03-01T00:00:07.000Z",
            },
        },
        "spec": {
            "release": RELEASE,
            "repository": "acme/shop",
            "project": "web",
            "digest": f"sha256:{7:064x}",
            "aliases": {"numeric": "42", "tag": "v1.2.3", "branch": "main-42"},
            "deployedAt": AT,
            "deployedBy": "github:alice",
            "approvedAt": "2026-03-01T11:00:00Z",
            "approvedBy": "user:bob",
        },
    }


def test_what_is_unknown_is_left_out() -> None:
    spec = yaml.safe_load(pointer(deployed_by=None, aliases=Aliases()).text(AT))["spec"]

    assert sorted(spec) == ["deployedAt", "digest", "project", "release", "repository"]


def test_text_of_people_stays_on_its_line() -> None:
    spec = yaml.safe_load(pointer(deployed_by="x\nspec:\n  release: y\x1b[2J").text(AT))["spec"]

    assert spec["deployedBy"] == "x spec: release: y [2J"


@pytest.mark.parametrize(
    "changes",
    [
        {"environment": ".."},
        {"environment": "dev/../prod"},
        {"environment": ""},
        {"repository": "acme"},
        {"repository": "../shop"},
        {"repository": "acme/shop/more"},
        {"repository": "acme/.git"},
        {"repository": "acme/x.git"},
        {"repository": "acme/sh\nop"},
        {"project": "web:x"},
        {"project": "we b"},
        {"project": "a..b"},
        {"project": "x" * 101},
        {"release": "main"},
        {"digest": "sha256:x"},
        {"digest": "md5:" + "0" * 32},
        {"deployment_id": "a\nForge-Run-Id: b"},
        {"requested_at": "yesterday"},
        {"requested_at": "2026-03-01T00:00:00"},
    ],
)
def test_name_that_leads_elsewhere_or_is_none_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(BadPointer):
        pointer(**changes)


def test_what_was_written_is_read_again() -> None:
    read = found(aliases=Aliases(numeric="7", branch="main-7"))

    assert read.names(pointer())
    assert (read.deployment_id, read.requested_at) == ("deployment-web-7", moment("2026-03-01T00:00:07Z"))
    assert read.aliases == Aliases(numeric="7", branch="main-7")


def test_only_another_deployment_that_was_asked_for_later_is_newer() -> None:
    later = found(requested_at="2026-03-01T00:00:08Z", deployment_id="other")

    assert later.newer_than(pointer())
    assert not found(requested_at="2026-03-01T00:00:08Z").newer_than(pointer())
    assert not found(deployment_id="other").newer_than(pointer())
    assert not found(requested_at="2026-03-01T00:00:06Z", deployment_id="other").newer_than(pointer())


def test_pointer_of_people_without_annotations_is_older_than_any() -> None:
    read = read_pointer(b"kind: ReleasePointer\nspec:\n  release: abc\n  aliases: {numeric: 6}\n")

    assert read is not None
    assert (read.aliases.number, read.newer_than(pointer()), read.names(pointer())) == (6, False, False)


@pytest.mark.parametrize(
    "data", [b"", b"text", b"{", b"spec: 1", b"spec: {}", b"\xff", b"[" * 60_000, b"spec: {release: '" + b"a" * 70_000]
)
def test_what_is_no_pointer_is_read_as_none(data: bytes) -> None:
    assert read_pointer(data) is None
