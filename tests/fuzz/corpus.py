"""What the fuzzer begins with: the documents, CUE files and Earthfiles of the golden cases and samples."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

from tests.txtar import parse_archive

ROOT: Final = Path(__file__).resolve().parents[2]
SEED_CHARS_MAX: Final = 6_000
"""Larger seeds make runs slow and find nothing more."""

Kind = Literal["document", "cue", "earthfile"]
KINDS: Final[tuple[Kind, ...]] = ("document", "cue", "earthfile")


@functools.cache
def seeds() -> Mapping[Kind, Sequence[str]]:
    """The texts of each kind, sorted: the same on every machine."""
    found: dict[Kind, set[str]] = {kind: set() for kind in KINDS}
    for name, text in _texts():
        kind = _kind(name)
        if kind is not None and text and len(text) <= SEED_CHARS_MAX:
            found[kind].add(text)
    return {kind: sorted(texts) for kind, texts in found.items()}


def _texts() -> list[tuple[str, str]]:
    texts = []
    for path in sorted((ROOT / "golden").rglob("*.txtar")):
        texts += list(parse_archive(path.read_text(encoding="utf-8")).files.items())
    for folder in ("golden", "examples"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and _kind(path.name) is not None:
                texts.append((path.name, path.read_text(encoding="utf-8")))
    return texts


def _kind(name: str) -> Kind | None:
    if name.endswith(".cue"):
        return "cue"
    if name.endswith("Earthfile"):
        return "earthfile"
    return "document" if name.endswith(".json") and not name.endswith(("plan.json", "schema.json")) else None
