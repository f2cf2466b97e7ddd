"""The rules on one page, in the order of their codes. A rule is a function from a manifest to what is wrong with it.

None of them asks for more than its own subject: names may be missing, lists may be numbers. That the fields are those
of a Workflow and have the right types is `shape`'s to say, which only a text from outside needs.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from forgec.lint.dag import container_dependencies, dependencies
from forgec.lint.deadline import deadline_beyond_workflow, deadline_on_group, limits
from forgec.lint.finding import Finding
from forgec.lint.limit import caps, literals, object_size, pods
from forgec.lint.manifest import Manifest, read_manifest
from forgec.lint.name import element_names, generated_name, metric_names, pod_names, workflow_name
from forgec.lint.node import node_ids
from forgec.lint.pod import (
    artifact_paths,
    cleaned_up,
    command,
    container_bodies,
    container_sets,
    parallelism,
    resource_manifests,
    token,
)
from forgec.lint.reference import arguments, loops, outputs, template_kinds, template_references
from forgec.lint.retry import fail_fast, implicit_policy, retry_after_deadline, retry_on_group
from forgec.lint.tag import tags
from forgec.lint.version import target_fields
from forgec.manifest.target import Target

Rule = Callable[[Manifest, Target], Iterator[Finding]]

RULES: Final[tuple[Rule, ...]] = (
    limits,
    loops,
    outputs,
    container_bodies,
    container_sets,
    artifact_paths,
    resource_manifests,
    parallelism,
    node_ids,
    object_size,
    workflow_name,
    element_names,
    metric_names,
    pod_names,
    template_kinds,
    template_references,
    dependencies,
    container_dependencies,
    caps,
    literals,
    tags,
    arguments,
    fail_fast,
    retry_on_group,
    implicit_policy,
    retry_after_deadline,
    deadline_on_group,
    deadline_beyond_workflow,
    generated_name,
    command,
    cleaned_up,
    token,
    target_fields,
    pods,
)

COMPILED_RULES: Final = tuple(rule for rule in RULES if rule not in (node_ids, object_size))
"""For a workflow of the compiler's own: ids and size it has from the plan, of both forms."""


def check_manifest(body: Mapping[str, Any], target: Target, rules: Sequence[Rule] = RULES) -> list[Finding]:
    """What the rules find in a Workflow, given as dictionaries and lists."""
    manifest = read_manifest(body)
    return [finding for rule in rules for finding in rule(manifest, target)]
