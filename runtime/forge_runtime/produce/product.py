"""What a producer made: a binary, an archive or a container image, lying in the job's own directory.

`path` is ours alone; everything else is what references in deployment resources may name (`<artifact>.digest`).
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_HIDDEN: Final = frozenset({"path"})


class ProducerFailed(Exception):
    """The target ran, and what it saved is not the artifact that the project promises. Told to whoever wrote it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binary:
    """One executable file. `os` and `arch` as Go names them; a script runs on any of both. `static`: needs no library.

    `digest` is `sha256:<hex>` of the file, `size` in bytes.
    """

    path: Path
    executable: str
    arch: str
    os: str
    size: int
    digest: str
    static: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """One file that holds files. `entries` counts them; `content_type` says what they are together, where that is seen.

    A directory that the target saved has become one: the same files give the same bytes.
    """

    path: Path
    format: str
    size: int
    digest: str
    entries: int
    content_type: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """An image as an OCI layout in the directory `path`, all its blobs checked against their digests.

    `digest` is that of the manifest, or of the index of several platforms; `image_id` that of its configuration;
    `size` is what a registry has to take.
    """

    path: Path
    image_ref: str
    image_id: str
    digest: str
    size: int
    layers: int


Product = Binary | Archive | Container


def outputs_of(product: Product) -> dict[str, Any]:
    """What others may know of it."""
    fields = {field.name: getattr(product, field.name) for field in dataclasses.fields(product)}
    return {name: value for name, value in fields.items() if name not in _HIDDEN and value is not None}
