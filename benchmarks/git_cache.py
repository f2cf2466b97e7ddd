"""Checkouts of one repository for several jobs at once, over git's HTTP on this machine, beside plain git.

In memory where there is room: without a journal, ext4 looks at every inode that was deleted in the minutes before when
it gives out another (its `recently_deleted`), so on such a disk a round pays for the files that others have deleted.
"""

import random
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.git_https import serve_repositories

from benchmarks.document import commit, repository
from benchmarks.measure import Contender, compare
from benchmarks.table import Table
from benchmarks.tool import PYTHON

JOBS: Final = 8
PROJECTS: Final = 40
FILES: Final = 80
"""In each project, besides `.forge` and the Earthfile: 3,281 in all."""

HISTORY: Final = 40
"""Commits of 20 files each, before those that are measured."""

MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
MEMORY_BYTES: Final = 1024**3

ROUNDS: Final = 5
SEED: Final = 6

NAMES: Final = {
    "cache": "this cache",
    "clone": "a clone for each job",
    "mirror": "a shared mirror, locked for the whole checkout",
}
DISCOVERIES: Final = {
    "discover-lease": "from the cache's objects",
    "discover-checkout": "from a checkout of the cache",
    "discover-clone": "from a clone of depth 1",
}


@dataclass(frozen=True, slots=True)
class _Bench:
    folder: Path
    url: str
    environment: dict[str, str]

    def contender(self, mode: str, prepare: Callable[[Path], str], name: str | None = None) -> Contender:
        """`prepare` is given the contender's folder before each round and gives the commit to ask for."""
        state, file = self.folder / "state" / (mode if mode in NAMES else "cache"), self.folder / f"commit-{mode}"
        argv = (PYTHON, "-m", "benchmarks.checkouts", mode, str(state), self.url, str(file), str(JOBS))

        def write() -> None:
            file.write_text(prepare(state))

        title = name or NAMES[mode]
        return Contender(name=title, argv=argv, prepare=write, environment=self.environment, rounds=ROUNDS)


def _each_of(commits: Iterator[str]) -> Callable[[Path], str]:
    return lambda _: next(commits)


def git_cache(folder: Path) -> Iterator[Table]:
    in_memory = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= MEMORY_BYTES
    with tempfile.TemporaryDirectory(dir=MEMORY if in_memory else folder) as scratch:
        yield from _tables(Path(scratch), "memory" if in_memory else "a disk")


def _tables(folder: Path, medium: str) -> Iterator[Table]:
    served = folder / "served"
    commits = _repository(served / "shop.git", folder / "git-cache")
    tip = commits[HISTORY]
    what = (
        f"{JOBS} jobs in one process, each with the files of one commit in {medium}, which are deleted at the end."
        f" {PROJECTS * (FILES + 2) + 1:,} files; a pack of {_size_mib(served / 'shop.git'):.1f} MiB; git's http-backend"
        f" over TLS on loopback, whose own CPU is not counted. Medians of {ROUNDS} rounds."
    )

    def cleared(state: Path) -> str:
        shutil.rmtree(state, ignore_errors=True)
        return tip

    with serve_repositories(served, folder / "git-server") as server:
        bench = _Bench(folder, f"{server.url}/shop.git", {"GIT_SSL_CAINFO": str(server.certificate)})
        results = compare([bench.contender(mode, cleared) for mode in NAMES])
        yield Table(title=f"{JOBS} checkouts, nothing there yet", results=results, notes=what)

        results = compare([bench.contender(mode, lambda _: tip) for mode in NAMES])
        notes = (
            f"{what} The commit was asked for before. A clone for each job keeps nothing; the mirror does not fetch."
        )
        yield Table(title=f"{JOBS} checkouts, the commit is there", results=results, notes=notes)

        turns = {mode: iter(commits[HISTORY + 1 :]) for mode in NAMES}
        results = compare([bench.contender(mode, _each_of(turns[mode])) for mode in NAMES])
        notes = f"{what} Each round is one new commit of 20 files; cache and mirror have the one before."
        yield Table(title=f"{JOBS} checkouts, a commit that is new", results=results, notes=notes)

        results = compare([bench.contender(mode, lambda _: tip, name) for mode, name in DISCOVERIES.items()])
        notes = (
            f"{PROJECTS} projects of the same repository, one process that discovers once, imports included. The commit"
            " is in the cache; the clone comes over the network."
        )
        yield Table(title="Discovery at a commit of the cache", results=results, notes=notes)


def _repository(bare: Path, scratch: Path) -> list[str]:
    """The ids of its commits: HISTORY and one more, then one for each round."""
    chance = random.Random(SEED)  # noqa: S311 - the same repository each time
    bare.parent.mkdir(parents=True)
    repository(scratch, PROJECTS, files=FILES)
    work = scratch.with_suffix(".work")
    sources = sorted(work.glob("services/*/src/**/*.py"))
    for path in sources:
        path.write_text(_text(chance))
    commit(work, "sources")
    for number in range(HISTORY + ROUNDS + 1):
        for path in chance.sample(sources, 20):
            path.write_text(_text(chance))
        commit(work, f"change {number}")
    subprocess.run(("git", "clone", "-q", "--bare", str(work), str(bare)), check=True, timeout=120)
    subprocess.run(("git", "-C", str(bare), "repack", "-a", "-d", "-q"), check=True, timeout=120)
    listing = ("git", "-C", str(bare), "rev-list", "--reverse", "main")
    done = subprocess.run(listing, check=True, capture_output=True, text=True, timeout=60)
    return done.stdout.split()[1:]


def _text(chance: random.Random) -> str:
    """A kilobyte or two that compresses as source does."""
    words = ("order", "price", "stock", "total", "self", "return", "value", "items", "for", "in", "if", "else", "raise")
    lines = [
        " ".join(chance.choices(words, k=7)) + f" {chance.randrange(10**6)}" for _ in range(chance.randrange(20, 50))
    ]
    return "\n".join(lines) + "\n"


def _size_mib(bare: Path) -> float:
    return sum(pack.stat().st_size for pack in (bare / "objects" / "pack").glob("*.pack")) / 1024**2
