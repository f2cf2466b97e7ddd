"""Flux's own client of registries, as a program that pulls an artifact into a folder as the source controller does.

It is fluxcd/pkg/oci 0.60, which Go 1.26 builds. Building it takes a minute on two cores; the usual run uses what is
there, or what can be had in little time, and `make conformance` builds it.
"""

import functools
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.go_tool import Unavailable, built
from tests.judge import cases

SOURCE: Final = Path(__file__).with_name("judge")
MODULE: Final = "github.com/fluxcd/pkg/oci"
PROGRAM: Final = "flux-pull"

BUILD_LIMIT_S: Final = 600
BUILD_LIMIT_USUAL_S: Final = 15
PULL_LIMIT_S: Final = 60


@dataclass(frozen=True, slots=True)
class Pulled:
    """What Flux reports of an artifact: its reference with the digest, and two of its annotations."""

    digest: str
    revision: str
    created: str


def pull(reference: str, into: Path) -> Pulled:
    """Raises Unavailable, and CalledProcessError with Flux's reason."""
    done = subprocess.run([puller(), reference, into], capture_output=True, text=True, check=True, timeout=PULL_LIMIT_S)
    return Pulled(*done.stdout.splitlines())


def puller() -> Path:
    """The program. Raises Unavailable."""
    found = _built()
    if isinstance(found, Unavailable):
        raise found
    return found


@functools.cache
def version() -> str:
    command = ["go", "list", "-m", "-f", "{{.Version}}", MODULE]
    done = subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip().removeprefix("v")


@functools.cache
def _built() -> Path | Unavailable:
    limit_s = cases(BUILD_LIMIT_USUAL_S, full=BUILD_LIMIT_S)
    try:
        return built("flux", SOURCE, {PROGRAM: "."}, limit_s=limit_s) / PROGRAM
    except Unavailable as error:
        return error if limit_s == BUILD_LIMIT_S else Unavailable(f"{error}; make conformance takes its time for it")
