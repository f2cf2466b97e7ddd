"""`forgec check INPUT`: everything a compilation would find, and nothing written."""

import argparse
from typing import Final

from forgec.cli.command import DONE, Command
from forgec.cli.input import add_input, locate_input, shown
from forgec.cli.output import write
from forgec.cli.report import add_format


def _run(arguments: argparse.Namespace) -> int:
    from forgec import pipeline
    from forgec.estimate.budget import budget_findings
    from forgec.manifest.lower import ManifestOptions
    from forgec.plan.model import SHARD_SIZE_DEFAULT
    from forgec.render.escape import escaped

    located = locate_input(arguments)
    discovery = located.document
    plan = pipeline.plan(discovery, shard_size=SHARD_SIZE_DEFAULT, places=located.places)
    pipeline.lower(plan, ManifestOptions(), dynamic=False, places=located.places, warn=arguments.report.add)
    budgets = budget_findings(located, plan)
    arguments.report.add(budgets)
    arguments.report.settle()
    if not arguments.report.as_text:
        return DONE
    steps = sum(len(steps) for project in discovery.projects for steps in project.phases.values())
    counts = (
        (len(discovery.projects), "project"),
        (len(discovery.repository.phases), "phase"),
        (steps, "step"),
        (len(discovery.warnings) + len(budgets), "warning"),
    )
    summary = ", ".join(f"{count} {noun}{'' if count == 1 else 's'}" for count, noun in counts)
    write(f"{escaped(shown(arguments.input))}: no errors ({summary})\n".encode())
    return DONE


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_input(parser)
    add_format(parser)


COMMAND: Final = Command(add_arguments=_add_arguments, run=_run)
