"""How an artifact was made, as an in-toto statement with the SLSA provenance predicate, version 1. Pure.

What the fields mean for our builds is in docs/oci.md, under the address that `BUILD_TYPE` names.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from forgec.plan.digest import canonical_json

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "https://slsa.dev/provenance/v1"
BUILD_TYPE: Final = "https://forge.projectcatalyst.io/build-types/artifact/v1"

STATEMENT_MEDIA_TYPE: Final = "application/vnd.in-toto+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Something that was made: `digest` is `sha256:<hex>`."""

    name: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """What an artifact's job knows of itself. `parameters` are what the repository chose: no secret is among them.

    `builder` is an address that names who runs workers; times are RFC 3339.
    """

    repository: str
    clone_url: str
    commit_sha: str
    ref: str | None
    project_path: str
    artifact: str
    artifact_type: str
    parameters: Mapping[str, Any]
    builder: str
    builder_version: str
    run_id: str
    job_id: str
    started_at: str
    finished_at: str
    dependencies: Sequence[Subject] = field(default=())


def provenance_statement(subjects: Sequence[Subject], build: Build) -> bytes:
    """Canonical JSON: the same facts give the same bytes. ValueError where nothing was made."""
    if not subjects:
        raise ValueError("a provenance statement is about something: no subjects were given")
    source = _source_of(build)
    return canonical_json(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": one.name, "digest": _digests(one.digest)} for one in subjects],
            "predicateType": PREDICATE_TYPE,
            "predicate": {
                "buildDefinition": {
                    "buildType": BUILD_TYPE,
                    "externalParameters": {
                        "repository": build.repository,
                        "source": source,
                        "projectPath": build.project_path,
                        "artifact": {"name": build.artifact, "type": build.artifact_type},
                        "producer": dict(build.parameters),
                    },
                    "resolvedDependencies": [
                        {"uri": source, "digest": {"gitCommit": build.commit_sha}},
                        *({"uri": one.name, "digest": _digests(one.digest)} for one in build.dependencies),
                    ],
                },
                "runDetails": {
                    "builder": {"id": build.builder, "version": {"catalyst-forge": build.builder_version}},
                    "metadata": {
                        "invocationId": f"{build.run_id}/{build.job_id}",
                        "startedOn": build.started_at,
                        "finishedOn": build.finished_at,
                    },
                },
            },
        }
    )


def _digests(digest: str) -> dict[str, str]:
    algorithm, _, encoded = digest.partition(":")
    return {algorithm: encoded}


def _source_of(build: Build) -> str:
    """The address of the source as in-toto writes it. What stands before an `@` in it may be a password, and a
    directory of this machine says nothing elsewhere: there the repository's name stands for it."""
    parts = urlsplit(build.clone_url)
    if parts.scheme == "file":
        url = f"file:{build.repository}"
    else:
        url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    prefix = "" if parts.scheme.startswith("git") else "git+"
    return f"{prefix}{url}@{build.ref}" if build.ref else f"{prefix}{url}"
