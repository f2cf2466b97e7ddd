"""Discovery of a monorepo at a commit of a bare repository, without a checkout."""

import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.document import change_one, repository
from benchmarks.measure import ROUNDS, Contender, Result, Usage, compare
from benchmarks.table import Table
from benchmarks.tool import FORGEC, cue
from forgec import pipeline
from forgec.adapter.git import open_tree
from forgec.discovery.trigger import Trigger

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
        argv = ("sh", "-c", script, "sh", str(bare.with_suffix(".work")), command)
        contenders.append(Contender(name="cue export for each project", argv=argv, rounds=3))
    results = compare(contenders)
    results.insert(1, _in_a_worker(bare))
    notes = (
        f"{PROJECTS} projects with 5 phases, {(FILES + 2) * PROJECTS:,} files. forgec evaluates configurations, checks"
        " them and every Earthfile; `cue export` evaluates the configurations alone, from a checkout that was there."
        " The second row is one process, as a worker is, that has discovered the commit before."
    )
    yield Table(title=f"Discovery of {PROJECTS} projects", results=results, notes=notes)


def _in_a_worker(bare: Path) -> Result:
    rounds = []
    for number in range(ROUNDS + 1):
        change_one(bare, number + 1)
        wall, cpu = time.perf_counter(), time.process_time()
        tree, commit = open_tree(bare, "main")
        pipeline.discover(tree, Trigger(commit_sha=commit, trigger_type="manual"))
        rounds.append(Usage(time.perf_counter() - wall, time.process_time() - cpu, _resident_mib()))
    return Result("the same process again, one project changed", tuple(rounds[1:]))


def _resident_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
