"""`forgec compile INPUT`: the workflow, or one of the forms on the way to it."""

import argparse
from collections.abc import Callable
from typing import Final

from forgec.cli.argument import add_shards, argo_target, check_shards, file, run_id, utf8
from forgec.cli.command import DONE, Command
from forgec.cli.input import add_input, locate_input
from forgec.cli.output import add_output, resolved, write, write_files
from forgec.cli.receipt import receipt_text
from forgec.cli.report import add_format


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_input(parser)
    parser.add_argument(
        "--emit",
        choices=("workflow", "plan", "discovery"),
        default="workflow",
        help="what to print (default: the workflow)",
    )
    parser.add_argument("--dynamic", action="store_true", help="the form whose first step is discovery")
    parser.add_argument("--run-id", type=run_id, metavar="UUID", help="the run that the workflow belongs to")
    add_shards(parser)
    parser.add_argument(
        "--argo-target",
        type=argo_target,
        metavar="VERSION",
        help="the version of Argo Workflows: 3.6, 3.7, 4.0 or 4.1 (default: 4.1)",
    )
    parser.add_argument("--image", type=utf8, help="container image of the dispatchers")
    parser.add_argument(
        "--receipt", type=file, metavar="FILE", help="leave the digests of input, plan and workflow here, for verify"
    )
    parser.add_argument(
        "--source-map", type=file, metavar="FILE", help="leave here which lines each item of the workflow comes from"
    )
    parser.add_argument(
        "--no-limits", action="store_true", help="take a document of any size, to measure; no run would take it"
    )
    add_output(parser)
    add_format(parser)


def _run(arguments: argparse.Namespace) -> int:
    from forgec import pipeline
    from forgec.compilation import Compiled, Options
    from forgec.discovery.model import to_json
    from forgec.plan.model import SHARD_SIZE_DEFAULT

    if arguments.dynamic and arguments.emit != "workflow":
        arguments.usage.error("--dynamic is a form of the workflow; it does not go with --emit " + arguments.emit)
    if arguments.granularity == "step" and arguments.dynamic:
        arguments.usage.error("--granularity step is for looking and comparing; a run is dispatched in shards")
    check_shards(arguments)
    for option in ("receipt", "source_map"):
        if getattr(arguments, option) is not None and arguments.emit != "workflow":
            name = option.replace("_", "-")
            arguments.usage.error(f"--{name} is of the workflow; it does not go with --emit {arguments.emit}")
    if arguments.source_map is not None and arguments.dynamic:
        arguments.usage.error("--source-map is of the static form; the dynamic one has no items yet")
    _refuse_one_file_twice(arguments)
    options = Options(
        shard_size=arguments.shard_size or SHARD_SIZE_DEFAULT,
        granularity=arguments.granularity,
        dynamic=arguments.dynamic,
        run_id=arguments.run_id,
        image=arguments.image,
        argo_target=arguments.argo_target,
    )
    located = locate_input(arguments)
    plan = pipeline.plan(
        located.document, shard_size=options.shard_size, granularity=options.granularity, places=located.places
    )
    workflow = pipeline.lower(
        plan, options.of_manifest(), dynamic=options.dynamic, places=located.places, warn=arguments.report.add
    )
    emitters: dict[str, Callable[[], bytes]] = {
        "discovery": lambda: to_json(located.document),
        "plan": lambda: pipeline.emit_plan(plan),
        "workflow": lambda: pipeline.emit(workflow),
    }
    arguments.report.settle()
    output = emitters[arguments.emit]()
    files: list[tuple[str, bytes]] = [] if arguments.output is None else [(arguments.output, output)]
    if arguments.receipt is not None:
        receipt = receipt_text(located.document, Compiled(plan=plan, workflow=output), options)
        files.append((arguments.receipt, receipt))
    if arguments.source_map is not None:
        from forgec.source_map import source_map

        files.append((arguments.source_map, source_map(workflow, plan, located.places)))
    write_files(files)
    if arguments.output is None:
        write(output)
    return DONE


def _refuse_one_file_twice(arguments: argparse.Namespace) -> None:
    """What is written last would be all that is left. A device keeps nothing, and may be named often."""
    given = {f"--{name.replace('_', '-')}": getattr(arguments, name) for name in ("output", "receipt", "source_map")}
    named = [(option, target) for option, target in given.items() if target is not None]
    if len(named) < 2:
        return
    from pathlib import Path

    first: dict[Path, str] = {}
    for option, target in named:
        try:
            path = resolved(target)
        except OSError:
            continue  # is told when it is written to
        if path.exists() and not path.is_file():
            continue
        other = first.setdefault(path, option)
        if other != option:
            arguments.usage.error(f"{other} and {option} are one file; each needs its own")


COMMAND: Final = Command(add_arguments=_add_arguments, run=_run)
