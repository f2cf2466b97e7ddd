"""What a crate says of itself, as an upload to a registry tells it: the Cargo.toml that `cargo package` wrote.

`cargo package` normalises it: every dependency is a table with its own version, and paths are gone. What is told is
what `cargo publish` tells of the same crate.
"""

import posixpath
import re
import threading
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from forge_runtime.produce.archive import format_of, read_archive

PUBLIC_INDEX: Final = "https://index.crates.io"
PUBLIC_INDEX_NAME: Final = "https://github.com/rust-lang/crates.io-index"
"""How a crate of another registry names the public one (Cargo's documentation of registry indexes)."""

MANIFEST_BYTES_MAX: Final = 1024 * 1024
README_BYTES_MAX: Final = 1024 * 1024

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_VERSION: Final = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+(?:[-+][0-9A-Za-z.+-]+)?")
_KINDS: Final = {"dependencies": "normal", "dev-dependencies": "dev", "build-dependencies": "build"}


class NoCrate(Exception):
    """The file is no crate as `cargo package` makes one; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crate:
    name: str
    version: str
    metadata: Mapping[str, Any]


def read_crate(path: Path, index: str, stop: threading.Event) -> Crate:
    """For the registry with this index. Raises NoCrate, ProducerFailed where the file is damaged, and Stopped."""
    if format_of(path) != "tar.gz":
        raise NoCrate(f"{path.name} is no crate: `cargo package` makes one (target/package/<name>-<version>.crate)")
    top, written = _manifest(path, stop)
    try:
        manifest = tomllib.loads(written.decode())
    except (ValueError, RecursionError) as error:  # of TOML, of UTF-8, of numbers with thousands of digits
        raise NoCrate(f"the Cargo.toml of {path.name} cannot be read: {error}") from None
    package = _table(manifest.get("package"))
    name, version = package.get("name"), package.get("version")
    if not isinstance(name, str) or not isinstance(version, str) or not _NAME.fullmatch(name):
        raise NoCrate(f"{path.name} holds no Cargo.toml with a package's name and version")
    if not _VERSION.fullmatch(version) or top != f"{name}-{version}":
        raise NoCrate(f"{path.name} holds {top}, and its Cargo.toml says {name} {version}")
    readme = package.get("readme")
    content = _readme(path, posixpath.join(top, posixpath.normpath(readme)), stop) if isinstance(readme, str) else None
    return Crate(name=name, version=version, metadata=_metadata(manifest, package, content, index))


def _manifest(path: Path, stop: threading.Event) -> tuple[str, bytes]:
    """The directory that all is in, and the Cargo.toml there; nothing where there is none."""
    for member in read_archive(path, stop):
        top, _, name = member.name.partition("/")
        if name == "Cargo.toml":
            if member.size > MANIFEST_BYTES_MAX:
                raise NoCrate(f"the Cargo.toml of {path.name} is larger than {MANIFEST_BYTES_MAX} bytes")
            return top, b"".join(member.chunks())
    return "", b""


def _readme(path: Path, name: str, stop: threading.Event) -> str | None:
    """None where it is not there, or too large to be told."""
    for member in read_archive(path, stop):
        if member.name == name and member.size < README_BYTES_MAX:
            return b"".join(member.chunks()).decode("utf-8", errors="replace")
    return None


def _metadata(
    manifest: Mapping[str, Any], package: Mapping[str, Any], readme: str | None, index: str
) -> dict[str, Any]:
    named = package.get("readme")
    dependencies = list(_dependencies(manifest, None, index))
    for target, tables in _table(manifest.get("target")).items():
        dependencies += _dependencies(_table(tables), target, index)
    return {
        "name": package["name"],
        "vers": package["version"],
        "deps": dependencies,
        "features": _table(manifest.get("features")),
        "authors": _list(package.get("authors")),
        "description": package.get("description"),
        "documentation": package.get("documentation"),
        "homepage": package.get("homepage"),
        "readme": readme,
        "readme_file": named if isinstance(named, str) else None,
        "keywords": _list(package.get("keywords")),
        "categories": _list(package.get("categories")),
        "license": package.get("license"),
        "license_file": package.get("license-file"),
        "repository": package.get("repository"),
        "badges": _table(manifest.get("badges")),
        "links": package.get("links"),
        "rust_version": package.get("rust-version"),
    }


def _dependencies(manifest: Mapping[str, Any], target: str | None, index: str) -> Iterator[dict[str, Any]]:
    for table, kind in _KINDS.items():
        for name, written in _table(manifest.get(table)).items():
            described = {"version": written} if isinstance(written, str) else _table(written)
            renamed = described.get("package")
            yield {
                "name": renamed or name,
                "version_req": _requirement(described.get("version", "*")),
                "features": _list(described.get("features")),
                "optional": described.get("optional") is True,
                "default_features": described.get("default-features") is not False,
                "target": target,
                "kind": kind,
                "registry": _registry(described.get("registry-index"), index),
                "explicit_name_in_toml": name if renamed else None,
            }


def _requirement(written: object) -> str:
    """As cargo writes it out: `1.2` means `^1.2`."""
    parts = (part.strip() for part in str(written).split(","))
    return ", ".join(f"^{part}" if re.fullmatch(r"\d[^*xX]*", part) else "".join(part.split()) for part in parts)


def _registry(named: object, index: str) -> str | None:
    """Where a dependency is from: None for the crate's own registry. One that names none is of the public one."""
    if isinstance(named, str):
        return None if plain_index(named) == plain_index(index) else named
    return None if plain_index(index) == PUBLIC_INDEX else PUBLIC_INDEX_NAME


def plain_index(url: str) -> str:
    """An index by its address alone."""
    return url.removeprefix("sparse+").rstrip("/")


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
