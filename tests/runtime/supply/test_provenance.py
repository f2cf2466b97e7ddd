"""Provenance: the facts in the places that the specification has for them, and no password among them."""

import json
from dataclasses import replace

import pytest

from forge_runtime.supply.provenance import Build, Subject, provenance_statement, public_address

BUILD = Build(
    repository="acme/shop",
    clone_url="https://github.com/acme/shop.git",
    commit_sha="c" * 40,
    ref="refs/heads/main",
    project_path="services/web",
    artifact="image",
    artifact_type="container",
    parameters={"type": "earthly", "target": "+image"},
    builder="https://forge.example/workers/artifact",
    builder_version="0.1.0",
    run_id="run-1",
    job_id="job-1",
    started_at="2026-01-01T00:00:00.000Z",
    finished_at="2026-01-01T00:01:00.000Z",
    dependencies=(Subject(name="docker://alpine:3", digest="sha256:" + "d" * 64),),
)
SUBJECTS = (Subject(name="registry.example/acme/shop", digest="sha256:" + "a" * 64),)


def test_a_statement_says_what_was_made_of_what_by_whom_and_when() -> None:
    assert json.loads(provenance_statement(SUBJECTS, BUILD)) == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "registry.example/acme/shop", "digest": {"sha256": "a" * 64}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "https://forge.projectcatalyst.io/build-types/artifact/v1",
                "externalParameters": {
                    "repository": "acme/shop",
                    "source": "git+https://github.com/acme/shop.git@refs/heads/main",
                    "projectPath": "services/web",
                    "artifact": {"name": "image", "type": "container"},
                    "producer": {"type": "earthly", "target": "+image"},
                },
                "resolvedDependencies": [
                    {
                        "uri": "git+https://github.com/acme/shop.git@refs/heads/main",
                        "digest": {"gitCommit": "c" * 40},
                    },
                    {"uri": "docker://alpine:3", "digest": {"sha256": "d" * 64}},
                ],
            },
            "runDetails": {
                "builder": {
                    "id": "https://forge.example/workers/artifact",
                    "version": {"catalyst-forge": "0.1.0"},
                },
                "metadata": {
                    "invocationId": "run-1/job-1",
                    "startedOn": "2026-01-01T00:00:00.000Z",
                    "finishedOn": "2026-01-01T00:01:00.000Z",
                },
            },
        },
    }


def test_the_same_facts_are_the_same_bytes() -> None:
    shuffled = replace(BUILD, parameters=dict(reversed(BUILD.parameters.items())))

    assert provenance_statement(SUBJECTS, shuffled) == provenance_statement(SUBJECTS, BUILD)


@pytest.mark.parametrize(
    ("clone_url", "source"),
    [
        ("https://user:s3cr3t@github.com/acme/shop.git", "git+https://github.com/acme/shop.git@refs/heads/main"),
        ("ssh://git@github.com/acme/shop.git", "git+ssh://github.com/acme/shop.git@refs/heads/main"),
        ("git@github.com:acme/shop.git", "git+ssh://github.com/acme/shop.git@refs/heads/main"),
        ("file:///srv/shop", "git+file:acme/shop@refs/heads/main"),
    ],
)
def test_an_address_of_the_source_holds_nobodys_password(clone_url: str, source: str) -> None:
    statement = provenance_statement(SUBJECTS, replace(BUILD, clone_url=clone_url))

    assert b"s3cr3t" not in statement
    assert json.loads(statement)["predicate"]["buildDefinition"]["externalParameters"]["source"] == source


@pytest.mark.parametrize(
    ("clone_url", "address"),
    [
        ("https://user:s3cr3t@github.com:8443/acme/shop.git", "https://github.com:8443/acme/shop.git"),
        ("git@github.com:acme/shop.git", "ssh://github.com/acme/shop.git"),
        ("file:///srv/shop", "file:"),
    ],
)
def test_a_public_address_is_a_url_that_names_nobody_and_no_place_of_this_machine(clone_url: str, address: str) -> None:
    assert public_address(clone_url) == address


def test_a_statement_about_nothing_is_none() -> None:
    with pytest.raises(ValueError, match="about something"):
        provenance_statement((), BUILD)
