"""`forgec estimate INPUT`: what a run takes of Argo, how long it takes, and where its time limits contradict."""

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from forgec.cli.argument import add_shards, check_shards, path
from forgec.cli.command import DONE, Command
from forgec.cli.input import add_input, locate_input, shown
from forgec.cli.output import add_output, write
from forgec.diagnostic import Code, fail

if TYPE_CHECKING:
    from forgec.estimate.history import History

SHARES_SHOWN: Final = 10
_WORKERS_DEFAULT: Final = (1, 10, 50)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_input(parser)
    parser.add_argument(
        "--workers",
        type=_workers,
        metavar="N[,N...]",
        help="how many workers there are in each pool; warns where they are too few (default: shows 1, 10 and 50)",
    )
    parser.add_argument("--history", type=path, metavar="FILE", help="measured durations instead of time limits")
    add_shards(parser)
    parser.add_argument("--all", action="store_true", help=f"list every project, not {SHARES_SHOWN}")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="what to print (default: text)")
    add_output(parser)


def _run(arguments: argparse.Namespace) -> int:
    from forgec import pipeline
    from forgec.estimate.budget import budget_findings, worker_findings
    from forgec.estimate.estimate import estimate
    from forgec.estimate.view import to_json, to_text
    from forgec.manifest.size import check_size
    from forgec.plan.model import SHARD_SIZE_DEFAULT

    check_shards(arguments)
    located = locate_input(arguments)
    history = _history(arguments.history)
    plan = pipeline.plan(located.document, shard_size=arguments.shard_size or SHARD_SIZE_DEFAULT, places=located.places)
    by_step = None
    if arguments.granularity == "step":
        by_step = pipeline.plan(located.document, shard_size=SHARD_SIZE_DEFAULT, granularity="step")
    workers = arguments.workers or _WORKERS_DEFAULT
    found = estimate(located.document, plan, workers=workers, history=history, by_step=by_step)
    arguments.report.add(budget_findings(located, plan))
    if arguments.workers:
        for schedule in found.schedules:
            arguments.report.add(worker_findings(schedule))
    arguments.report.add(check_size(found.compiled, "the compiled workflow"))
    arguments.report.add(check_size(found.submitted, "the submitted workflow"))
    shares_max = None if arguments.all else SHARES_SHOWN
    name = shown(arguments.input)
    text = to_text(found, name=name, shares_max=shares_max, history=arguments.history).encode()
    write(to_json(found) if arguments.format == "json" else text, arguments.output)
    return DONE


def _history(name: str | None) -> "History | None":
    from forgec.estimate.history import read_history
    from forgec.syntax.document import SIZE_BYTES_MAX

    if name is None:
        return None
    try:
        with Path(name).open("rb") as file:
            return read_history(name, file.read(SIZE_BYTES_MAX + 1))
    except OSError as error:
        raise fail(Code.UNREADABLE, f"cannot read {name}: {error.strerror}") from None


def _workers(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"[1-9][0-9]{0,4}(,[1-9][0-9]{0,4}){0,15}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 99999, or up to 16 of them")
    return tuple(map(int, text.split(",")))


COMMAND: Final = Command(add_arguments=_add_arguments, run=_run)
