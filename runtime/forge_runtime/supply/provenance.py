"""How an artifact was made, as an in-toto statement with the SLSA provenance predicate, version 1. Pure.

What the fields mean for our builds is in docs/oci.md, under the address that `BUILD_TYPE` names.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from forge_runtime.git.clone_url import split_clone_url
from forgec.plan.digest import canonical_json

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "https://slsa.dev/provenance/v1"
BUILD_TYPE: Final = "https://forge.projectcatalyst.io/build-types/artifact/v1"

LOCAL: Final = "file:"

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


def public_address(clone_url: str) -> str:
    """A clone URL for everybody to read: a URL, also of the short form of ssh, without whoever is named before an `@`,
    which may be a password. A directory of this machine says nothing elsewhere: of it nothing but `LOCAL`."""
    parts = split_clone_url(clone_url)
    if parts.scheme == "file":
        return LOCAL
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _digests(digest: str) -> dict[str, str]:
    algorithm, _, encoded = digest.partition(":")
    return {algorithm: encoded}


def _source_of(build: Build) -> str:
    """The address of the source as in-toto writes it; for a directory of this machine, the repository's name."""
    url = public_address(build.clone_url)
    if url == LOCAL:
        url = f"file:{build.repository}"
    return f"git+{url}@{build.ref}" if build.ref else f"git+{url}"
