"""`forgec` from a document to a manifest, and its start."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.document import write_document
from benchmarks.measure import Contender, compare
from benchmarks.table import Table
from benchmarks.tool import FORGEC, HERE, PYTHON, peers

SIZES: Final = ((2, 1, 5), (4, 5, 5), (20, 5, 5), (100, 5, 5))
"""Projects, phases, steps: 10, 100, 500, 2,500 steps."""

KFP_STEPS_MAX: Final = 500
"""kfp's time grows faster than its input: 2,500 steps take it a minute a round."""


def start(_folder: Path) -> Iterator[Table]:
    contenders = [
        Contender(name="forgec --help", argv=(FORGEC, "--help")),
        Contender(name="python -c pass", argv=(PYTHON, "-c", "pass")),
    ]
    if bin_ := peers():
        contenders += [
            Contender(name="hera --help", argv=(str(bin_ / "hera"), "--help")),
            Contender(name="kfp --help", argv=(str(bin_ / "kfp"), "--help")),
        ]
    yield Table(title="Start", results=compare(contenders), notes="`python -c pass` is the floor of any of them.")


def compile_(folder: Path) -> Iterator[Table]:
    bin_ = peers()
    for projects, phases, steps in SIZES:
        total = projects * phases * steps
        path = folder / f"compile-{total}.json"
        write_document(path, projects, phases, steps)
        contenders = [
            Contender(name="forgec compile", argv=(FORGEC, "compile", str(path))),
            Contender(name="standard library", argv=(PYTHON, str(HERE / "peers/floor.py"), str(path))),
        ]
        if bin_:
            contenders.append(_hera(bin_, total))
            if total <= KFP_STEPS_MAX:
                argv = (str(bin_ / "python"), str(HERE / "peers/kfp_pipeline.py"), str(total), str(folder / "kfp.yaml"))
                contenders.append(Contender(name="kfp script", argv=argv))
        yield Table(title=f"Compile {total} steps", results=compare(contenders), notes=_COMPILE_NOTES)


def step_granularity(folder: Path) -> Iterator[Table]:
    path = folder / "step.json"
    write_document(path, 100, 5, 5)
    contenders = [
        Contender(
            name="forgec compile --granularity step", argv=(FORGEC, "compile", str(path), "--granularity", "step")
        )
    ]
    if bin_ := peers():
        contenders.append(_hera(bin_, 2500))
    notes = "One dispatcher, so one pod, for each of 2,500 steps, as in the Hera script."
    yield Table(title="Compile 2500 steps, a pod for each", results=compare(contenders), notes=notes)


def growth(folder: Path) -> Iterator[Table]:
    """Beyond the limits, which `--no-limits` lifts."""
    contenders = []
    for times in (1, 10, 100):
        path = folder / f"growth-{times}.json"
        write_document(path, 100 * times, 5, 5)
        argv = (FORGEC, "compile", str(path), "--no-limits", "-o", str(folder / "growth.yaml"))
        contenders.append(Contender(name=f"{2500 * times} steps", argv=argv, rounds=7 if times < 100 else 3))
    notes = "100 projects, 10 and 100 times as many; the limit is 100. Linear is 10x and 100x, less what a start costs."
    yield Table(title="Growth", results=compare(contenders), notes=notes)


def _hera(bin_: Path, steps: int) -> Contender:
    argv = (str(bin_ / "python"), str(HERE / "peers/hera_workflow.py"), str(steps))
    return Contender(name="Hera script", argv=argv)


_COMPILE_NOTES: Final = (
    "forgec reads JSON, checks all of it, plans, checks the manifest against Argo's limits and rules, and writes YAML."
    " The standard library's script reads the same JSON and checks nothing. The Hera script builds the same steps from"
    " loops, without an input to read, and checks types only; kfp compiles to its own representation, not yet an Argo"
    " workflow."
)
