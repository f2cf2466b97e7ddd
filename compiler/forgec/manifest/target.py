"""The versions of Argo Workflows that a manifest may be for, and what each of them accepts.

The API server of a cluster refuses (or, with the minimal definitions, silently drops) a field that its version of Argo
does not have, and refuses lists beyond the caps of the full CustomResourceDefinitions, which are the default since 4.0.
The table is the difference between the full definitions of v3.6.19, v3.7.18, v4.0.10 and v4.1.2.

What the compiler emits needs no more than every one of these versions has, so a manifest is the same for all of them:
the target decides what is refused, and what the lint says of a workflow that somebody else wrote.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

VERSIONS: Final = ("3.6", "3.7", "4.0", "4.1")
"""Oldest first."""

TARGET_DEFAULT: Final = "4.1"


class Caps(Struct, frozen=True, kw_only=True):
    """The longest lists that the version's definitions take; None where it counts nothing. `steps` has no cap."""

    templates: int | None = None
    dag_tasks: int | None = None
    input_parameters: int | None = None
    prometheus_metrics: int | None = None


class VersionedField(Struct, frozen=True, kw_only=True):
    """A field that not every version has.

    `holders` are the keys under which an object with this field stands: a template stands under `templates`,
    `templateDefaults` or `inline`. `since` is the first version that has it, `gone` the first that has it no more.
    """

    name: str
    holders: frozenset[str]
    since: str = VERSIONS[0]
    gone: str | None = None
    instead: str = ""

    def is_in(self, version: str) -> bool:
        at = VERSIONS.index(version)
        return VERSIONS.index(self.since) <= at and (self.gone is None or at < VERSIONS.index(self.gone))


class Target(Struct, frozen=True, kw_only=True):
    """A version of Argo as a manifest meets it."""

    version: str
    caps: Caps
    missing_fields: tuple[VersionedField, ...]

    def missing(self, path: Sequence[str]) -> VersionedField | None:
        """The field at the path (keys from the document's root, without places in lists) if the version lacks it."""
        if len(path) < 2:
            return None
        holder, name = path[-2:]
        return next((field for field in self.missing_fields if field.name == name and holder in field.holders), None)


_TEMPLATE: Final = frozenset({"templates", "templateDefaults", "inline"})
_CONTAINER: Final = frozenset({"container", "containers", "initContainers", "script", "sidecars"})
_ARTIFACT: Final = frozenset({"artifacts", "artifact", "archiveLocation", "artifactPaths"})
_SPEC: Final = frozenset({"spec"})

VERSIONED_FIELDS: Final = (
    VersionedField(name="podPriority", holders=_SPEC, gone="3.7", instead="podPriorityClassName"),
    VersionedField(name="priority", holders=_TEMPLATE, gone="3.7", instead="priorityClassName"),
    VersionedField(name="annotations", holders=_TEMPLATE, since="3.7"),
    VersionedField(name="cap", holders=frozenset({"backoff"}), since="3.7", instead="maxDuration"),
    VersionedField(name="database", holders=frozenset({"mutex", "mutexes", "semaphore", "semaphores"}), since="3.7"),
    VersionedField(name="stopSignal", holders=frozenset({"lifecycle"}), since="3.7"),
    VersionedField(name="mutex", holders=frozenset({"synchronization"}), gone="4.0", instead="mutexes, a list"),
    VersionedField(name="semaphore", holders=frozenset({"synchronization"}), gone="4.0", instead="semaphores, a list"),
    VersionedField(name="plugin", holders=_ARTIFACT, since="4.0"),
    VersionedField(name="executorPlugins", holders=_SPEC, since="4.1"),
    VersionedField(name="pendingTimeout", holders=_TEMPLATE, since="4.1", instead="timeout, which counts running too"),
    VersionedField(name="podResources", holders=_SPEC | _TEMPLATE, since="4.1"),
    VersionedField(name="resourceClaims", holders=_SPEC | _TEMPLATE, since="4.1"),
    VersionedField(name="restartPolicyRules", holders=_CONTAINER, since="4.1"),
    VersionedField(name="fileKeyRef", holders=frozenset({"valueFrom"}), since="4.1"),
    VersionedField(name="podCertificate", holders=frozenset({"sources"}), since="4.1"),
    VersionedField(name="saveStreamViaFile", holders=frozenset({"http"}), since="4.1"),
    VersionedField(name="addressingStyle", holders=frozenset({"s3"}), since="4.1"),
)
"""Every field of a Workflow's spec that one of the versions has and another lacks."""

_CAPS_SINCE_4_0: Final = Caps(templates=200, dag_tasks=200, input_parameters=500, prometheus_metrics=100)


def _target(version: str, caps: Caps) -> Target:
    missing = tuple(field for field in VERSIONED_FIELDS if not field.is_in(version))
    return Target(version=version, caps=caps, missing_fields=missing)


TARGETS: Final = {
    "3.6": _target("3.6", Caps()),
    "3.7": _target("3.7", Caps()),
    "4.0": _target("4.0", _CAPS_SINCE_4_0),
    "4.1": _target("4.1", _CAPS_SINCE_4_0),
}
