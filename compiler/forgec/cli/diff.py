"""`forgec diff A B`: what changed in the pipeline between two documents, directories or revisions."""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from forgec.cli.argument import STREAM, path
from forgec.cli.command import DONE, FOUND, USAGE, Command
from forgec.cli.input import add_engine, add_event, refuse_event
from forgec.cli.output import add_output, write

if TYPE_CHECKING:
    from forgec.cli.operand import Operand
    from forgec.diff.effect import Comparison


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    what = "a discovery document, a directory, - for standard input, or a revision (rev:NAME where a path has the name)"
    parser.add_argument("before", type=path, metavar="A", help=what)
    parser.add_argument("after", type=path, metavar="B", help="the same")
    parser.add_argument(
        "-C",
        dest="directory",
        type=path,
        default=".",
        metavar="DIR",
        help="the repository that revisions are of (default: the working directory)",
    )
    parser.add_argument(
        "--format",
        choices=("text", "json", "markdown"),
        default="text",
        help="what to print; markdown is a comment on a pull request (default: text)",
    )
    add_output(parser)
    group = parser.add_argument_group("of directories and revisions")
    add_engine(group)
    add_event(group)
    parser.epilog = "Exit codes: 0 the pipelines are the same, 1 they differ, 2 they could not be compared."


def _run(arguments: argparse.Namespace) -> int:
    from forgec.cli.operand import is_document
    from forgec.diff.compare import NO_RULES
    from forgec.diff.effect import compare_runs

    if arguments.before == arguments.after == STREAM:
        arguments.usage.error("standard input holds one document; A and B cannot both be -")
    if is_document(arguments.before) and is_document(arguments.after):
        refuse_event(arguments, "A and B are discovery documents")
    before, after = _both(arguments)
    arguments.report.add(after.findings)
    comparison = compare_runs(
        before.document,
        after.document,
        labels=(before.label, after.label),
        rules=NO_RULES if before.rules is None or after.rules is None else (before.rules, after.rules),
    )
    write(_renderer(arguments.format)(comparison).encode(), arguments.output)
    return FOUND if comparison.changes else DONE


def _both(arguments: argparse.Namespace) -> "tuple[Operand, Operand]":
    """Raises ForgeError with what is wrong with either."""
    from forgec.cli.operand import ambiguity, read_operand
    from forgec.diagnostic import Diagnostic, ForgeError

    problems: list[Diagnostic] = []
    operands = []
    for argument in (arguments.before, arguments.after):
        arguments.report.add(ambiguity(argument, arguments))
        try:
            operands.append(read_operand(argument, arguments))
        except ForgeError as error:
            problems += error.diagnostics
    if problems:
        raise ForgeError(problems)
    before, after = operands
    return before, after


def _renderer(name: str) -> "Callable[[Comparison], str]":
    if name == "json":
        from forgec.diff.render_json import render_json

        return render_json
    if name == "markdown":
        from forgec.diff.render_markdown import render_markdown

        return render_markdown
    from forgec.diff.render_text import render_text

    return render_text


COMMAND: Final = Command(add_arguments=_add_arguments, run=_run, error_exit=USAGE)
