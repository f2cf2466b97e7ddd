"""`forgec lint FILE...`: what is wrong, or unwise, in Workflows of Argo, whoever wrote them."""

import argparse
from typing import Final

from forgec.cli.argument import argo_target, path
from forgec.cli.command import DONE, Command
from forgec.cli.input import read_file, shown
from forgec.cli.output import write
from forgec.cli.report import add_format


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", type=path, nargs="+", metavar="FILE|-", help="YAML or JSON, several documents in each")
    parser.add_argument(
        "--argo-target",
        type=argo_target,
        metavar="VERSION",
        help="the version of Argo Workflows: 3.6, 3.7, 4.0 or 4.1 (default: 4.1)",
    )
    add_format(parser)


def _run(arguments: argparse.Namespace) -> int:
    from forgec.diagnostic import ForgeError
    from forgec.lint.text import lint_text
    from forgec.manifest.target import TARGET_DEFAULT, TARGETS
    from forgec.render.escape import escaped
    from forgec.syntax.document import read_text

    target = TARGETS[arguments.argo_target or TARGET_DEFAULT]
    for file in arguments.files:
        try:
            linted = lint_text(read_text(shown(file), read_file(file)), target)
        except ForgeError as error:  # the other files have findings of their own
            arguments.report.add(error.diagnostics)
            continue
        arguments.report.add(linted.diagnostics)
        if not linted.diagnostics and arguments.report.as_text:
            noun = "workflow" if linted.workflows == 1 else "workflows"
            write(f"{escaped(shown(file))}: nothing found ({linted.workflows} {noun})\n".encode())
    arguments.report.settle()
    return DONE


COMMAND: Final = Command(add_arguments=_add_arguments, run=_run)
