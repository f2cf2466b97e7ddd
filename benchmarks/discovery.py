"""Discovery of a monorepo at a commit of a bare repository, without a checkout."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.document import change_one, repository
from benchmarks.measure import Contender, compare
from benchmarks.table import Table
from benchmarks.tool import FORGEC, cue

PROJECTS: Final = 100
FILES: Final = 70
"""In each project, besides `.forge` and the Earthfile: 7,200 in all."""


def discovery(folder: Path) -> Iterator[Table]:
    bare = folder / "repository.git"
    repository(bare, PROJECTS, files=FILES)
    numbers = itertools.cycle(range(1, PROJECTS + 1))
    cold, warm = folder / "cold", folder / "warm"

    def change() -> None:
        change_one(bare, next(numbers))

    argv = (FORGEC, "discover", str(bare), "--rev", "main", "-o", str(folder / "discovery.json"))
    contenders = [
        Contender(name="forgec discover, no cache", argv=(*argv, "--no-cache")),
        Contender(name="one project changed", argv=(*argv, "--cache", str(warm)), prepare=change),
        Contender(name="nothing changed", argv=(*argv, "--cache", str(cold))),
    ]
    if command := cue():
        script = 'for each in "$1"/services/*/.forge; do (cd "$each" && "$2" export --out json .) || exit 1; done'
        work = bare.with_suffix(".work")
        argv = ("sh", "-c", script, "sh", str(work), command)
        contenders.append(Contender(name="cue export for each project", argv=argv, rounds=3))
    notes = (
        f"{PROJECTS} projects with 5 phases, {(FILES + 2) * PROJECTS:,} files. forgec evaluates configurations, checks"
        " them and every Earthfile; `cue export` evaluates the configurations alone, from a checkout that was there."
    )
    yield Table(title=f"Discovery of {PROJECTS} projects", results=compare(contenders), notes=notes)
