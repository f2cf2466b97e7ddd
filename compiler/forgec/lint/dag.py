"""Rules on the tasks of a DAG: what they wait for is there, and nobody waits for himself."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from forgec.diagnostic import Code
from forgec.lint.finding import Finding
from forgec.lint.manifest import Call, Manifest, Template, mapping, objects, sequence, text
from forgec.manifest.target import Target
from forgec.nearest import did_you_mean

RESULTS: Final = frozenset(
    {"Succeeded", "Failed", "Errored", "Skipped", "Omitted", "Daemoned", "AnySucceeded", "AllFailed"}
)
"""What `depends` may ask of a task."""

_OF_LOOPS: Final = frozenset({"AnySucceeded", "AllFailed"})

_TERM = re.compile(r"([a-zA-Z0-9][-a-zA-Z0-9]*?)\.([A-Z][a-zA-Z]+)|([a-zA-Z0-9][-a-zA-Z0-9]*)")


def dependencies(manifest: Manifest, _target: Target) -> Iterator[Finding]:
    """Argo's validator, and the rules of its definitions since 4.0."""
    for template in manifest.all_templates():
        if template.tasks:
            yield from _forms(template)
            yield from _unknown(template)
            yield from _cycles(template)
            yield from _targets(template)


def container_dependencies(manifest: Manifest, _target: Target) -> Iterator[Finding]:
    """Argo's validator: the containers of a set wait for each other as tasks do."""
    for template in manifest.all_templates():
        path = (*template.path, "containerSet", "containers")
        listed = list(objects(mapping(template.body.get("containerSet")).get("containers"), path))
        edges = {
            text(item.get("name")): dict.fromkeys(map(text, sequence(item.get("dependencies"))), "")
            for _, item in listed
        }
        for place, item in listed:
            for name in edges[text(item.get("name"))]:
                if name not in edges:
                    message = f'"{text(item.get("name"))}" waits for "{name}", which is no container of this set'
                    help_ = did_you_mean(name, edges)
                    yield Finding(Code.DEPENDENCY_INVALID, (*place, "dependencies"), message, help=help_)
        circle = _circle(edges)
        if circle:
            message = f"containers wait for each other: {' -> '.join(circle)}"
            yield Finding(Code.DEPENDENCY_INVALID, path, message, at_key=True)


def waits_for(task: Call) -> dict[str, str]:
    """The tasks that a task depends on, each with the result it asks for, or "" for success."""
    found: dict[str, str] = {}
    for term in _TERM.finditer(text(task.body.get("depends"))):
        name, result, plain = term.groups()
        found.setdefault(name or plain, result or "")
        if result in _OF_LOOPS:
            found[name] = result
    for name in sequence(task.body.get("dependencies")):
        found.setdefault(text(name), "")
    return found


def ancestors(template: Template) -> Mapping[str, int]:
    """Of each task those that have ended when it begins, as bits: bit n stands for the nth task.

    Bits, because a long chain of tasks would take gigabytes as sets. A task that waits for itself is not there.
    """
    bits = {task.name: 1 << at for at, task in enumerate(template.tasks)}
    edges = {task.name: waits_for(task) for task in template.tasks}
    found: dict[str, int] = {}
    for name in _in_order(edges):
        found[name] = 0
        for other in edges[name]:
            found[name] |= bits.get(other, 0) | found.get(other, 0)
    return found


def _forms(template: Template) -> Iterator[Finding]:
    uses_depends = any(text(task.body.get("depends")) for task in template.tasks)
    for task in template.tasks:
        listed = task.body.get("dependencies")
        if uses_depends and listed:
            message = "a DAG has either depends or dependencies, not both"
            yield Finding(Code.DEPENDENCY_INVALID, (*task.path, "dependencies"), message, at_key=True)
        if uses_depends and task.body.get("continueOn") is not None:
            message = "continueOn does not go with depends, which can say the same: task.Failed or task.Errored"
            yield Finding(Code.DEPENDENCY_INVALID, (*task.path, "continueOn"), message, at_key=True)
        if (uses_depends or listed) and task.name[:1].isdigit():
            message = f'"{task.name}": a task of a DAG with dependencies does not begin with a digit'
            yield Finding(Code.DEPENDENCY_INVALID, (*task.path, "name"), message)


def _unknown(template: Template) -> Iterator[Finding]:
    by_name = {task.name: task for task in template.tasks}
    for task in template.tasks:
        key = "depends" if task.body.get("depends") else "dependencies"
        for name, result in waits_for(task).items():
            path = (*task.path, key)
            if name not in by_name:
                message = f'"{task.name}" waits for "{name}", which is no task of this DAG'
                yield Finding(Code.DEPENDENCY_INVALID, path, message, help=did_you_mean(name, by_name))
            elif result and result not in RESULTS:
                message = f'"{result}" is no result of a task'
                yield Finding(Code.DEPENDENCY_INVALID, path, message, help=did_you_mean(result, RESULTS))
            elif result in _OF_LOOPS and not by_name[name].is_loop:
                message = f'{result} is asked of "{name}", which has no items'
                yield Finding(Code.DEPENDENCY_INVALID, path, message)


def _cycles(template: Template) -> Iterator[Finding]:
    circle = _circle({task.name: waits_for(task) for task in template.tasks})
    if circle:
        first = next(task for task in template.tasks if task.name == circle[0])
        message = f"tasks wait for each other: {' -> '.join(circle)}"
        yield Finding(Code.DEPENDENCY_INVALID, (*first.path, "name"), message)


def _targets(template: Template) -> Iterator[Finding]:
    known = {task.name for task in template.tasks}
    wanted = text(template.body["dag"].get("target"))
    for name in [] if "{{" in wanted else wanted.split():
        if name not in known:
            message = f'the target "{name}" is no task of this DAG'
            yield Finding(
                Code.DEPENDENCY_INVALID, (*template.path, "dag", "target"), message, help=did_you_mean(name, known)
            )


def _in_order(edges: Mapping[str, Mapping[str, str]]) -> list[str]:
    """The tasks that can run, each after those it waits for; names that are no tasks hold nobody up."""
    waiting = {name: sum(other in edges for other in needed) for name, needed in edges.items()}
    followers: dict[str, list[str]] = {}
    for name, needed in edges.items():
        for other in needed:
            followers.setdefault(other, []).append(name)
    ready = [name for name, count in waiting.items() if not count]
    for name in ready:  # grows while it is walked
        for follower in followers.get(name, ()):
            waiting[follower] -= 1
            if not waiting[follower]:
                ready.append(follower)
    return ready


def _circle(edges: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Names that wait for each other, the first at the end again; empty where there is no such circle."""
    stuck = edges.keys() - set(_in_order(edges))
    if not stuck:
        return []
    seen: list[str] = []
    name = next(each for each in edges if each in stuck)
    while name not in seen:
        seen.append(name)
        name = next(other for other in edges[name] if other in stuck)
    return [*seen[seen.index(name) :], name]
