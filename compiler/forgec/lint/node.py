"""No two nodes of a workflow may get one id: Argo would never run the second, and say nothing.

An id is a 32 bit hash of the node's name, and the names follow from the manifest when it has a name itself:

    wf                     the root             wf[0].build          a step of the first group
    wf[0]                  a group of steps     wf[0].build(1:arm)   the same over a list: index and item
    wf.lint                a task of a DAG      wf[0].build(0)       an attempt of a step with a retryStrategy
    wf.onExit              the exit handler     wf[0].build.onExit   a step's own

FNV-1a goes byte by byte, so the hash of a long name continues the hash of its beginning.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from forgec.diagnostic import Code
from forgec.lint.count import DEPTH_MAX, items_of
from forgec.lint.finding import Finding
from forgec.lint.manifest import Call, Manifest, Template, mapping, text
from forgec.manifest.node import collisions, fnv32a
from forgec.manifest.target import Target

NODES_MAX: Final = 100_000
"""Names that are looked at; Argo is in trouble long before. A large factory of pods is found by `pods`."""

ATTEMPTS_MAX: Final = 10
"""Of one node; a retry without a limit has no last name."""

Named = tuple[str, int]
"""A node's name, and its hash."""


def node_ids(manifest: Manifest, _target: Target) -> Iterator[Finding]:
    """Argo keeps nodes by this hash; among 5,000 of them two meet in 1 of 350 workflows (argo-workflows 16376)."""
    if not manifest.name:
        return
    for other, name in collisions(islice(_nodes(manifest), NODES_MAX)):
        message = f'the nodes "{other}" and "{name}" have one id in Argo, so one of them would never run'
        yield Finding(Code.NODE_COLLISION, ("metadata", "name"), message, help="another name changes every id")


def node_names(manifest: Manifest) -> Iterator[str]:
    """Every name but the root's, attempts that may never be made included; of an endless workflow endlessly many."""
    return (name for name, _ in _nodes(manifest))


def _nodes(manifest: Manifest) -> Iterator[Named]:
    """Without the root, whose id is the name itself."""
    root = (manifest.name, fnv32a(manifest.name.encode()))
    entrypoint = manifest.by_name.get(text(manifest.spec.get("entrypoint")))
    if entrypoint is not None:
        yield from _below(manifest, entrypoint, root, 0)
    finish = manifest.by_name.get(text(manifest.spec.get("onExit")))
    if finish is not None:
        yield from _started(manifest, finish, _longer(root, ".onExit"), 0)


def _started(manifest: Manifest, template: Template | None, node: Named, depth: int) -> Iterator[Named]:
    yield node
    if template is not None and depth < DEPTH_MAX:
        yield from _below(manifest, template, node, depth)


def _below(manifest: Manifest, template: Template, node: Named, depth: int) -> Iterator[Named]:
    retry = manifest.retry_of(template)
    if not retry:
        yield from _children(manifest, template, node, depth)
        return
    for attempt in range(_attempts(retry.get("limit"))):
        tried = _longer(node, f"({attempt})")
        yield tried
        yield from _children(manifest, template, tried, depth)


def _children(manifest: Manifest, template: Template, node: Named, depth: int) -> Iterator[Named]:
    for at, group in enumerate(template.groups):
        place = _longer(node, f"[{at}]")
        yield place
        for call in group:
            yield from _called(manifest, call, _longer(place, f".{call.name}"), depth)
    for task in template.tasks:
        yield from _called(manifest, task, _longer(node, f".{task.name}"), depth)


def _called(manifest: Manifest, call: Call, node: Named, depth: int) -> Iterator[Named]:
    callee = manifest.callee(call)
    items = items_of(call) if call.is_loop else None
    nodes = [node] if not items else (_longer(node, f"({at}:{_item(item)})") for at, item in enumerate(items))
    finish = manifest.by_name.get(text(call.body.get("onExit") or mapping(_exit_hook(call)).get("template")))
    for each in nodes:
        yield from _started(manifest, callee, each, depth + 1)
        if finish is not None:
            yield from _started(manifest, finish, _longer(each, ".onExit"), depth + 1)


def _longer(node: Named, more: str) -> Named:
    name, hashed = node
    return name + more, fnv32a(more.encode("utf-8", "surrogatepass"), hashed)


def _attempts(limit: Any) -> int:
    """The first one and as many more; without a number as many as are looked at."""
    try:
        return min(int(str(limit)[:3]) + 1, ATTEMPTS_MAX)
    except ValueError:
        return ATTEMPTS_MAX


def _exit_hook(call: Call) -> Any:
    return mapping(call.body.get("hooks")).get("exit")


def _item(item: Any) -> str:
    """As Argo writes it into the name; parentheses are left out."""
    match item:
        case str():
            shown = item
        case bool():
            shown = "true" if item else "false"
        case dict():
            shown = ",".join(sorted(f"{key}:{_item(value)}" for key, value in item.items()))
        case list():
            shown = f"[{' '.join(map(_item, item))}]"
        case _:
            shown = str(item)
    return shown.replace("(", "").replace(")", "")
