"""`forgec check INPUT`: everything a compilation would find, and nothing written."""

import argparse
from typing import Final

from forgec.cli.command import DONE, Command
from forgec.cli.input import add_input, read_input, shown
from forgec.cli.output import write


def _run(arguments: argparse.Namespace) -> int:
    from forgec import pipeline
    from forgec.manifest.lower import ManifestOptions
    from forgec.plan.model import SHARD_SIZE_DEFAULT

    discovery = read_input(arguments)
    plan = pipeline.plan(discovery, shard_size=SHARD_SIZE_DEFAULT)
    pipeline.lower(plan, ManifestOptions(), dynamic=False)
    steps = sum(len(steps) for project in discovery.projects for steps in project.phases.values())
    counts = (
        (len(discovery.projects), "project"),
        (len(discovery.repository.phases), "phase"),
        (steps, "step"),
        (len(discovery.warnings), "warning"),
    )
    summary = ", ".join(f"{count} {noun}{'' if count == 1 else 's'}" for count, noun in counts)
    write(f"{shown(arguments.input)}: no errors ({summary})\n".encode())
    return DONE


COMMAND: Final = Command(add_arguments=add_input, run=_run)
