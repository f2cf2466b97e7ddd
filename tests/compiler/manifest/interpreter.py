"""What Argo would start from a manifest, read from its YAML alone: entries, lists, tags, arguments.

Knows nothing of plans or of how manifests are made; whatever in a manifest it does not expect is an error.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import yaml

_TAG = re.compile(r"\{\{([^{}]+)\}\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A pod: the place of its entry in the outer list, and the command line of its container."""

    entry: int
    argv: tuple[str, ...]


def started(manifest: bytes, files: Mapping[str, str]) -> Iterator[Started]:
    """The pods of the entry template in the order in which Argo makes them, when each of them succeeds."""
    return chain.from_iterable(entries(manifest, files))


def entries(manifest: bytes, files: Mapping[str, str]) -> Iterator[list[Started]]:
    """The pods that start together, entry after entry, when those before succeed.

    `files` are what a template with output parameters finds in its container, by their paths; it is asked for them when
    the entry after its own is.
    """
    document = yaml.load(manifest, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    spec = document["spec"]
    templates = {template["name"]: template for template in spec["templates"]}
    assert len(templates) == len(spec["templates"])
    values = {"workflow.name": document["metadata"]["name"]}
    for entry, together in enumerate(templates[spec["entrypoint"]]["steps"]):
        assert len({step["name"] for step in together}) == len(together)
        yield [
            Started(entry=entry, argv=_argv(step, templates[step["template"]], {**values, **items}))
            for step in together
            for items in _items(step, values)
        ]
        for step in together:
            values |= _outputs(step["name"], templates[step["template"]], files)


def _items(step: Mapping[str, Any], values: Mapping[str, str]) -> Sequence[Mapping[str, str]]:
    """The values that each node of a step has for itself."""
    assert step.keys() <= {"name", "template", "arguments", "withParam"}
    if "withParam" not in step:
        return [{}]
    listed = json.loads(_substitute(step["withParam"], values))
    assert all(isinstance(item, str) for item in listed)
    return [{"item": item} for item in listed]


def _argv(step: Mapping[str, Any], template: Mapping[str, Any], values: Mapping[str, str]) -> tuple[str, ...]:
    given = {each["name"]: each["value"] for each in step.get("arguments", {}).get("parameters", [])}
    wanted = [each["name"] for each in template.get("inputs", {}).get("parameters", [])]
    assert sorted(given) == sorted(wanted)
    inputs = {f"inputs.parameters.{name}": _substitute(value, values) for name, value in given.items()}
    known = {"workflow.name": values["workflow.name"], **inputs}
    container = template["container"]
    return tuple(_substitute(text, known) for text in (*container["command"], *container["args"]))


def _outputs(step: str, template: Mapping[str, Any], files: Mapping[str, str]) -> dict[str, str]:
    parameters = template.get("outputs", {}).get("parameters", [])
    sources = {each["name"]: each["valueFrom"] for each in parameters}
    return {
        f"steps.{step}.outputs.parameters.{name}": files.get(source["path"], source["default"])
        for name, source in sources.items()
    }


def _substitute(text: str, values: Mapping[str, str]) -> str:
    return _TAG.sub(lambda tag: values[tag[1]], text)
