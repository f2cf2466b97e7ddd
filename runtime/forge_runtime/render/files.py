"""Resources as files: one YAML document each, under a name that depends on what it is."""

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from forgec.diagnostic import Code, Diagnostic
from forgec.discovery.resources import InvalidResources, Resource
from forgec.manifest.yaml import emit_yaml

BYTES_MAX: Final = 8 * 1024 * 1024
"""Of all resources together. Kubernetes stores at most 1.5 MiB of one, and a project has at most 50."""

_UNUSUAL: Final = re.compile(r"[^a-z0-9.-]+")


@dataclass(frozen=True, slots=True)
class RenderedFile:
    """`deployment-web.yaml` and what it holds."""

    name: str
    resource: Resource
    content: bytes


def render_files(resources: Sequence[Resource]) -> tuple[RenderedFile, ...]:
    """In the order of kinds and names. Raises InvalidResources for what YAML has no form for, or too much of it."""
    stems = Counter(_stem(resource) for resource in resources)
    files = []
    size = 0
    for resource in resources:
        try:
            content = emit_yaml(resource.document).encode()
        except ValueError as error:
            raise InvalidResources([Diagnostic(Code.BAD_VALUE, str(error), resource.place)]) from None
        size += len(content)
        if size > BYTES_MAX:
            message = f"the project's resources are larger than {BYTES_MAX // 1024**2} MiB together"
            raise InvalidResources([Diagnostic(Code.TOO_DEEP, message, resource.place)])
        stem = _stem(resource)
        # Of several groups or namespaces; each keeps its name whatever is beside it.
        suffix = f"-{_fingerprint(resource)}" if stems[stem] > 1 else ""
        files.append(RenderedFile(f"{stem}{suffix}.yaml", resource, content))
    return tuple(files)


def _stem(resource: Resource) -> str:
    return _UNUSUAL.sub("-", f"{resource.kind}-{resource.name}".lower())


def _fingerprint(resource: Resource) -> str:
    return hashlib.sha256("\0".join(resource.key).encode()).hexdigest()[:8]
