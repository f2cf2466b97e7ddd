"""Discovery of a monorepo at a commit of a bare repository, without a checkout."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.document import repository
from benchmarks.measure import LIMIT_S, ROUNDS, Contender, Result, Usage, compare
from benchmarks.table import Table
from benchmarks.tool import FORGEC, PYTHON, cue

PROJECTS: Final = 100
FILES: Final = 70
"""In each project, besides `.forge` and the Earthfile: 7,200 in all."""


def discovery(folder: Path) -> Iterator[Table]:
    bare = folder / "repository.git"
    repository(bare, PROJECTS, files=FILES)
    argv = (FORGEC, "discover", str(bare), "--rev", "main", "-o", str(folder / "discovery.json"))
    contenders = [Contender(name="forgec discover, from a commit", argv=argv)]
    if command := cue():
        script = 'for each in "$1"/services/*/.forge; do (cd "$each" && "$2" export --out json .) || exit 1; done'
        each = ("sh", "-c", script, "sh", str(bare.with_suffix(".work")), command)
        contenders.append(Contender(name="cue export for each project", argv=each, rounds=3))
    results = compare(contenders)
    results.insert(1, _in_a_worker(bare))
    notes = (
        f"{PROJECTS} projects with 5 phases, {(FILES + 2) * PROJECTS:,} files. forgec evaluates configurations, checks"
        " them and every Earthfile; `cue export` evaluates the configurations alone, from a checkout that was there."
        " The second row is one process, as a worker is, that has discovered the commit before."
    )
    yield Table(title=f"Discovery of {PROJECTS} projects", results=results, notes=notes)


def _in_a_worker(bare: Path) -> Result:
    argv = (PYTHON, "-m", "benchmarks.worker", str(bare), str(ROUNDS))
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=LIMIT_S)
    rounds = tuple(Usage(*map(float, line.split())) for line in done.stdout.splitlines())
    return Result("the same process again, one project changed", rounds)
