"""What holds for every workflow that leaves the compiler, checked on the finished manifest.

No text of a user: a static manifest may say what the dynamic one of the same options says, which has seen no
repository, and besides that only ids that the compiler made. Tags are those of a closed list. Names keep to DNS-1123,
pods' names stay within a label's length, and the object within what Argo can keep while it runs.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from forgec.diagnostic import Code, Diagnostic
from forgec.manifest import argo
from forgec.manifest.name import fits_pod_name, is_dns_label

OBJECT_BYTES_MAX: Final = 838_860
"""0.8 of the 1 MiB at which Argo gives a workflow up; the rest is for messages and for what Kubernetes adds."""

_NODE_BYTES: Final = 66  # of a node in the status, compressed and in base64 (5017 nodes take 320 KiB)
_POD_BYTES: Final = 55  # of a pod in the status's list of task results, which Argo does not compress
_NODES_OF_UNIT: Final = 2  # the Retry node and its first attempt

_TAG = re.compile(
    r"\{\{(?:item|workflow\.(?:name|status)|inputs\.parameters\.(?:plan|unit)"
    r"|steps\.discovery\.outputs\.parameters\.(?:plan|release|group-[0-9]{2}))\}\}"
)
_MADE = re.compile(
    r"sha256:[0-9a-f]{64}|forge\.io/plan|[0-9a-f]{12}"  # the plan's digest, its label
    r"|(?:forge-)?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"  # the run's id, the workflow's name
    r'|\[(?:"[a-z0-9-]{1,80}"(?:,"[a-z0-9-]{1,80}")*)?\]'  # unit ids
)


def check_workflow(workflow: argo.Workflow, known: argo.Workflow) -> list[Diagnostic]:
    """Every broken rule; `known` is the dynamic manifest of the same options, and may be the workflow itself."""
    texts = set(_strings(argo.to_builtins(workflow)))
    own = set(_strings(argo.to_builtins(known)))
    foreign = sorted(text for text in texts if text not in own and not _MADE.fullmatch(text))
    tagged = sorted(text for text in texts if "{{" in _TAG.sub("", text))
    found = [f"the manifest would carry a text that the compiler did not make: {text!r}" for text in foreign]
    found += [f"the manifest would carry a tag that the compiler does not know: {text!r}" for text in tagged]
    problems = [Diagnostic(Code.NAME_INVALID, message) for message in (*found, *_bad_names(workflow))]
    return [*problems, *_too_large(workflow)]


def estimate_bytes(workflow: argo.Workflow) -> int:
    """What Argo will have to keep of a static workflow at its end: manifest, nodes and task results."""
    units = sum(
        len(msgspec.json.decode(step.with_param, type=list[str]))
        for template in workflow.spec.templates
        for (step,) in template.steps
        if step.with_param is not None and not step.with_param.startswith("{{")
    )
    return len(msgspec.json.encode(workflow)) + units * (_NODES_OF_UNIT * _NODE_BYTES + _POD_BYTES)


def _bad_names(workflow: argo.Workflow) -> Iterator[str]:
    name = workflow.metadata.name
    leaves = [template.name for template in workflow.spec.templates if template.container is not None]
    names = [name, *leaves, *(step.name for template in workflow.spec.templates for (step,) in template.steps)]
    for text in names:
        if not is_dns_label(text):
            yield f'"{text}" is not a DNS-1123 label'
    for leaf in leaves:
        if not fits_pod_name(name, leaf):
            yield f'pods of the template "{leaf}" would have a name longer than a label may be'


def _too_large(workflow: argo.Workflow) -> Iterator[Diagnostic]:
    size = estimate_bytes(workflow)
    if size > OBJECT_BYTES_MAX:
        message = f"the workflow would take about {size} bytes in Argo, more than {OBJECT_BYTES_MAX} are not safe"
        yield Diagnostic(Code.MANIFEST_TOO_LARGE, message, help="fewer units: a smaller shard size or fewer phases")


def _strings(value: Any) -> Iterator[str]:
    """Every text of a document, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
