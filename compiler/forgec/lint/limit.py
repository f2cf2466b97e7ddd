"""Rules on how much: lists that the definitions cap, texts that are cut or passed on in another way, pods."""

from collections.abc import Iterator
from typing import Final

import msgspec

from forgec.diagnostic import Code
from forgec.lint.count import count_nodes
from forgec.lint.finding import Finding, Path
from forgec.lint.manifest import Manifest, mapping, sequence, texts
from forgec.manifest.size import PARAMETER_BYTES_MAX, Size, check_size
from forgec.manifest.target import Target

ARGUMENT_BYTES_MAX: Final = 8192
"""Of a parameter: its value is copied to the node, to every consumer and into each consumer's pod. An item of a loop is
even part of a node's name."""

PODS_MAX: Final = 1000
"""Of a run. A controller as it comes sends 20 requests a second, and about four for a pod: 1,000 pods take it 200 s."""


def caps(manifest: Manifest, target: Target) -> Iterator[Finding]:
    """The full definitions, which are the default since Argo 4.0, cap these lists; Argo's validator does not see it."""
    counted: list[tuple[Code, Path, str, int, int | None]] = []
    of_spec = len(sequence(manifest.spec.get("templates")))
    counted.append((Code.TOO_MANY_TEMPLATES, ("spec", "templates"), "templates", of_spec, target.caps.templates))
    metrics = ("metrics", "prometheus")
    for path, body in manifest.bodies():
        lists = (
            (Code.TOO_MANY_TASKS, ("dag", "tasks"), "tasks", target.caps.dag_tasks),
            (Code.TOO_MANY_INPUTS, ("inputs", "parameters"), "input parameters", target.caps.input_parameters),
            (Code.TOO_MANY_METRICS, metrics, "metrics", target.caps.prometheus_metrics),
        )
        for code, (outer, inner), noun, cap in lists:
            count = len(sequence(mapping(body.get(outer)).get(inner)))
            counted.append((code, (*path, outer, inner), noun, count, cap))
    for code, path, noun, count, cap in counted:
        if cap is not None and count > cap:
            yield Finding(code, path, f"{count} {noun}, Argo {target.version} takes {cap}", at_key=True)


def literals(manifest: Manifest, _target: Target) -> Iterator[Finding]:
    """Linux starts no program with an argument of 128 KiB: Argo hands over the name of a file with it instead."""
    for path, value in texts(manifest.spec, ("spec",)):
        what, bytes_max = _weighed(path)
        if len(value) * 4 > bytes_max and len(value.encode("utf-8", "surrogatepass")) > bytes_max:
            message = f"{what} of more than {bytes_max // 1024} KiB"
            yield Finding(Code.LITERAL_TOO_LARGE, path, message, help="keep it in an object store and pass its name on")


def pods(manifest: Manifest, _target: Target) -> Iterator[Finding]:
    """Every pod costs the API server some fifteen writes, and the controller is the cluster's only one."""
    count = count_nodes(manifest).pods
    if count > PODS_MAX:
        message = f"a run starts {count} pods, and more than {PODS_MAX} keep a controller busy for minutes"
        yield Finding(Code.TOO_MANY_PODS, ("spec",), message, help="let a pod carry more than one task", at_key=True)


def object_size(manifest: Manifest, _target: Target) -> Iterator[Finding]:
    """Argo ends a workflow with an error when manifest, packed nodes and task results are more than 1 MiB."""
    count = count_nodes(manifest)
    size = Size(
        manifest_bytes=len(msgspec.json.encode(manifest.body)),
        templates=len(manifest.templates),
        pods=count.pods,
        nodes=count.nodes,
        list_bytes=0,
        parameter_bytes=0,  # `literals` looks at each text
        handed_out=False,
    )
    for diagnostic in check_size(size):
        yield Finding(
            diagnostic.code, ("spec",), diagnostic.message, help="fewer pods, or several workflows", at_key=True
        )


def _weighed(path: Path) -> tuple[str, int]:
    """What a text at the path is, and how long it may be."""
    if "arguments" in path:
        return "an argument", ARGUMENT_BYTES_MAX
    if "parameters" in path and path[-1] in ("value", "default"):
        return "a parameter", ARGUMENT_BYTES_MAX
    if "withItems" in path:
        return "an item", ARGUMENT_BYTES_MAX
    return ("a list" if path[-1] == "withParam" else "a text"), PARAMETER_BYTES_MAX
