"""Which variables a tag may name, by the place it stands at.

    leaf template      inputs, pod.name, retries, workflow.*
    step               inputs, workflow.*, item in a loop, and what steps of earlier groups have left
    task               the same of the tasks that it waits for, over any number of others
    the rest of both   what all of their steps or tasks have left
    outside of these   what any template may name, since Argo puts it into its pods

Argo's validator allows a little more, such as a step that runs at the same time; such a tag is text when it is needed.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import Struct, field
from msgspec.structs import replace

from forgec.lint.dag import ancestors
from forgec.lint.manifest import Call, Manifest, Template, mapping, objects, sequence, text

ROOTS: Final = ("item.", "steps.", "inputs.", "outputs.", "pod.", "workflow.", "tasks.")
"""Tags that begin so are variables to Argo's validator, which refuses what it does not know; others it lets pass."""

_WORKFLOW: Final = (
    "name",
    "namespace",
    "mainEntrypoint",
    "serviceAccountName",
    "uid",
    "status",
    "failures",
    "annotations",
    "annotations.json",
    "labels",
    "labels.json",
)
_ALWAYS: Final = ("outputs.", "workflow.creationTimestamp", "workflow.scheduledTime", "workflow.duration")
_NODE_NAMES: Final = ("node.name", "steps.name", "tasks.name")
_OF_RETRIES: Final = ("retries", "lastRetry.exitCode", "lastRetry.status", "lastRetry.duration", "lastRetry.message")
_OF_METRICS: Final = ("duration", "status", "exitCode", "resourcesDuration", "cronworkflow")
_CALLS: Final = ("steps", "tasks")
_HAS_RESULT: Final = frozenset({"container", "script", "containerSet", "data", "http", "plugin"})


Left = frozenset[str] | None
"""What a step or task leaves to others: what may stand behind `steps.<its name>.`; None for anything."""


class Scope(Struct, frozen=True, kw_only=True):
    """`prefixes`: everything that begins so.

    `left` has every step or task of the template by the beginning of its tags, in order; bit n of `seen` says that the
    nth of them has ended here.
    """

    names: frozenset[str]
    prefixes: tuple[str, ...] = ()
    left: Mapping[str, tuple[int, Left]] = field(default_factory=dict)
    seen: int = 0

    def has(self, tag: str) -> bool:
        if tag in self.names or tag.startswith(self.prefixes):
            return True
        kind, _, rest = tag.partition(".")
        name, _, attribute = rest.partition(".")
        found = self.left.get(f"{kind}.{name}")
        if found is None:
            return False
        at, left = found
        return bool(self.seen >> at & 1) and (left is None or attribute in left)

    def known(self) -> Iterator[str]:
        """All that can be listed, for suggestions."""
        yield from self.names
        for prefix, (at, left) in self.left.items():
            if self.seen >> at & 1:
                yield from (f"{prefix}.{name}" for name in left or ())


def workflow_scope(manifest: Manifest) -> Scope:
    """What is known everywhere."""
    names = {f"workflow.{name}" for name in _WORKFLOW}
    names |= set(_NODE_NAMES)
    parameters = [text(item.get("name")) for _, item in objects(_of(manifest.spec, "arguments").get("parameters"), ())]
    if parameters:
        names |= {"workflow.parameters", "workflow.parameters.json"}
        names |= {f"workflow.parameters.{name}" for name in parameters}
    if manifest.spec.get("priority") is not None:
        names.add("workflow.priority")
    added = _of(manifest.spec, "workflowMetadata")
    for kind, sources in (("labels", ("labels", "labelsFrom")), ("annotations", ("annotations",))):
        keys = [*_of(manifest.metadata, kind), *(key for source in sources for key in _of(added, source))]
        names |= {f"workflow.{kind}.{key}" for key in keys}
    prefixes = [*_ALWAYS]
    for template in _called(manifest):
        for kind, found in (("parameters", template.parameters), ("artifacts", template.artifacts)):
            for _, item in found("outputs"):
                exported = text(item.get("globalName"))
                if "{{" in exported:
                    prefixes.append(f"workflow.outputs.{kind}.")
                elif exported:
                    names.add(f"workflow.outputs.{kind}.{exported}")
    return Scope(names=frozenset(names), prefixes=tuple(prefixes))


def spec_scope(workflow: Scope, manifest: Manifest) -> Scope:
    """What may be named outside of the templates: Argo puts it into their pods, or merges it into themselves."""
    names = {"pod.name", *_OF_RETRIES}
    for template in manifest.all_templates():
        names |= template_scope(Scope(names=frozenset()), template, {}).names
    given = objects(_of(manifest.defaults, "inputs").get("parameters"), ())
    names |= {f"inputs.parameters.{text(item.get('name'))}" for _, item in given}
    calls = [call for template in manifest.all_templates() for call in template.calls()]
    left: dict[str, tuple[int, Left]] = {f"{kind}.{call.name}": (0, None) for call in calls for kind in _CALLS}
    is_alone = not manifest.is_reference and all(manifest.callee(call) is not None for call in calls)
    prefixes = (*workflow.prefixes, *_OF_METRICS, *(() if is_alone else ROOTS))  # who knows what the cluster's take
    return Scope(names=workflow.names | names, prefixes=prefixes, left=left, seen=-1)


def template_scope(base: Scope, template: Template, retry: Mapping[str, Any]) -> Scope:
    """What a template knows of itself."""
    names = {f"inputs.parameters.{text(item.get('name'))}" for _, item in template.parameters("inputs")}
    if names:
        names.add("inputs.parameters")
    for _, item in template.artifacts("inputs"):
        name = f"inputs.artifacts.{text(item.get('name'))}"
        names |= {name} if template.is_group else {name, f"{name}.path"}
    if template.has_pod:
        names.add("pod.name")
    names |= set(_OF_RETRIES) if retry else set()
    return replace(base, names=base.names | names, prefixes=(*base.prefixes, *_OF_METRICS))


def call_scope(scope: Scope, call: Call, kind: str, seen: int) -> Scope:
    """From the scope of the template's outputs: only what has ended, the item of a loop, and for its hooks the call."""
    names = {f"{kind}.{call.name}.status"}
    prefixes = [f"{kind}.{call.name}."] if call.body.get("hooks") or call.body.get("onExit") else []
    if call.is_loop:
        names.add("item")
    if call.body.get("withParam"):
        prefixes.append("item.")
    for item in sequence(call.body.get("withItems")):
        if isinstance(item, dict):
            names.update(f"item.{key}" for key in item)
        elif isinstance(item, list):
            names.update(f"item.[{at}]" for at in range(len(item)))
    if call.inline is not None:
        names.update(_OF_RETRIES)
        names.update(f"inputs.parameters.{text(item.get('name'))}" for _, item in call.inline.parameters("inputs"))
    return replace(scope, names=scope.names | names, prefixes=(*scope.prefixes, *prefixes), seen=seen)


def inline_scope(workflow: Scope, call: Call) -> Scope:
    """Around a template inside of a step: nothing of the step's own, but the item of its loop."""
    return replace(workflow, names=workflow.names | {"item"}) if call.is_loop else workflow


def seen_by_calls(template: Template) -> Iterator[tuple[Call, str, int]]:
    """Every step or task, what it is in tags, and as bits which others have ended when it begins."""
    before = 0
    for group in template.groups:
        for call in group:
            yield call, "steps", (1 << before) - 1
        before += len(group)
    waited_for = ancestors(template)
    for task in template.tasks:
        yield task, "tasks", waited_for.get(task.name, -1)


def output_scope(scope: Scope, manifest: Manifest, template: Template) -> Scope:
    """What the outputs of a template may name: everything of every step or task."""
    kind = "tasks" if template.tasks else "steps"
    left = {f"{kind}.{call.name}": (at, _left(manifest, call)) for at, call in enumerate(template.calls())}
    return replace(scope, left=left, seen=-1)


def _left(manifest: Manifest, call: Call) -> Left:
    callee = manifest.callee(call)
    if callee is None:
        return None  # a template of the cluster
    names = {"id", "status", "startedAt", "finishedAt", "hostNodeName"}
    if callee.body.get("daemon"):
        names.add("ip")
    if _HAS_RESULT.intersection(callee.kinds):
        names |= {"outputs.result", "exitCode"}
    names |= {f"outputs.parameters.{text(item.get('name'))}" for _, item in callee.parameters("outputs")}
    names |= {f"outputs.artifacts.{text(item.get('name'))}" for _, item in callee.artifacts("outputs")}
    if call.is_loop:
        names.add("outputs.parameters")
    return frozenset(names)


def _called(manifest: Manifest) -> list[Template]:
    """The templates that a step or task starts: of others Argo exports nothing."""
    calls = [call for template in manifest.all_templates() for call in template.calls()]
    callees = {id(callee): callee for callee in map(manifest.callee, calls) if callee is not None}
    return list(callees.values())


def _of(body: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    return mapping(body.get(key))
