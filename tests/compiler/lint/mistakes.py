"""Workflows that somebody got wrong, by chance."""

import copy
import random
from collections.abc import Iterator
from typing import Any, Final

VALUES: Final[tuple[Any, ...]] = (
    *(None, "", "x", "a b", "a.b", "1", 0, 1, -1, 1.5, True, [], {}, [1], ["x"], {"x": "y"}),
    *("{{item}}", "{{inputs.parameters.x}}", "{{steps.x.outputs.result}}", "{{tasks.first.outputs.result}}", "{{"),
    *("OnError", "Never", "5m", "main", "first", "{{workflow.name}}", "{{nothing}}"),
)


def changed(document: Any, chance: random.Random) -> Any:
    """The same with one thing otherwise: left out, called otherwise, of another value, or there twice."""
    body = copy.deepcopy(document)
    places = list(_places(body))
    holder, key = chance.choice(places)
    way = chance.randrange(5)
    if way == 0:
        del holder[key]
    elif way == 1 and isinstance(holder, dict):
        holder[f"{key}s"] = holder.pop(key)
    elif way == 2 and isinstance(holder, list):
        holder.append(copy.deepcopy(holder[key]))
    elif way == 3:
        other, wanted = chance.choice(places)
        holder[key] = copy.deepcopy(other[wanted])
    else:
        holder[key] = chance.choice(VALUES)
    return body


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield value, key
        if key != "volumes":  # Kubernetes' own, which the lint leaves to it
            yield from _places(inner)
