"""JSON Schema (2020-12) of what people write and what other programs read, made from the types that check it.

Each schema has a version of its own, `major.minor`: what is only added raises the minor, so that every document which
was valid stays valid; anything else raises the major, and then the document's own version (`schemaVersion`,
`apiVersion`) as well. A schema says what one value may be; what several values must agree on, `forgec check` says.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


@dataclass(frozen=True, slots=True)
class _Described:
    version: str
    title: str
    load: Callable[[], Any]


def _discovery() -> Any:
    from forgec.discovery.model import Discovery

    return Discovery


def _plan() -> Any:
    from forgec.plan.model import Plan

    return Plan


def _repo() -> Any:
    from forgec.discovery.model import Repository

    return Repository


def _project() -> Any:
    from forgec.discovery.config import ProjectConfig

    return ProjectConfig


def _history() -> Any:
    from forgec.estimate.history import History

    return History


_SCHEMAS: Final = {
    "discovery": _Described("1.0", "discovery document (forgec discover)", _discovery),
    "plan": _Described("1.0", "plan (forgec compile --emit plan)", _plan),
    "repo": _Described("1.0", ".forge/repo.cue, as data", _repo),
    "project": _Described("1.0", "<project>/.forge/project.cue, as data", _project),
    "history": _Described("1.0", "measured durations (forgec estimate --history)", _history),
}
NAMES: Final = tuple(_SCHEMAS)


def json_schema(name: str) -> dict[str, Any]:
    """The schema of that name (of NAMES)."""
    described = _SCHEMAS[name]
    type_ = described.load()
    (schema,), definitions = msgspec.json.schema_components([type_], ref_template="#/$defs/{name}")
    body = {
        "$schema": DIALECT,
        "$id": f"urn:forge:schema:{name}:{described.version}",
        "title": described.title,
        "version": described.version,
        **schema,
        "$defs": definitions,
    }
    converted: dict[str, Any] = _for_ecma(body)
    return converted


def _for_ecma(value: Any) -> Any:
    """JSON Schema's patterns are JavaScript's, which has ^ and $ for Python's \\A and \\Z.

    Validators in Python let $ match before a last line break: hence the lookahead.
    """
    if isinstance(value, dict):
        return {key: _pattern(each) if key == "pattern" else _for_ecma(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_for_ecma(each) for each in value]
    return value


def _pattern(value: Any) -> Any:
    return value.replace(r"\A", "^").replace(r"\Z", r"$(?!\n)") if isinstance(value, str) else _for_ecma(value)
