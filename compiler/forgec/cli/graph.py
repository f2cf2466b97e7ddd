"""`forgec graph INPUT`: the pipeline as a drawing, alone or with what differs from another one."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from forgec.cli.argument import STREAM, path
from forgec.cli.command import DONE, Command
from forgec.cli.input import add_input, read_input, shown
from forgec.cli.output import add_output, write

if TYPE_CHECKING:
    from forgec.cli.operand import Operand

_AGAINST: Final = "show what was added, removed and changed since this document, directory or revision"


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_input(parser)
    parser.add_argument(
        "--format",
        choices=("mermaid", "dot", "html"),
        default="mermaid",
        help="text for mermaid or for Graphviz, or one page that needs nothing else (default: mermaid)",
    )
    parser.add_argument("--steps", action="store_true", help="a box for each step (html always has them)")
    parser.add_argument("--against", type=path, metavar="FILE|DIR|REV", help=_AGAINST)
    add_output(parser)


def _run(arguments: argparse.Namespace) -> int:
    from forgec.graph.build import graph_of
    from forgec.graph.dot import to_dot
    from forgec.graph.label import Detail, readable
    from forgec.graph.mermaid import to_mermaid
    from forgec.graph.page import to_html

    if arguments.steps and arguments.format == "html":
        arguments.usage.error("--steps is for mermaid and dot; html folds and unfolds by itself")
    if arguments.input == arguments.against == STREAM:
        arguments.usage.error("standard input holds one document; --against needs another one")
    document = read_input(arguments)
    base = _base(arguments)
    graph = graph_of(document, base.document if base else None)
    detail = Detail.STEPS if arguments.steps else readable(graph)
    drawings: dict[str, Callable[[], str]] = {
        "mermaid": lambda: to_mermaid(graph, detail),
        "dot": lambda: to_dot(graph, detail),
        "html": lambda: to_html(graph, name=shown(arguments.input), against=base.label if base else None),
    }
    write(drawings[arguments.format]().encode(), arguments.output)
    return DONE


def _base(arguments: argparse.Namespace) -> "Operand | None":
    """What to compare with; a revision is one of the repository that is drawn, or else of the working directory."""
    from forgec.cli.operand import read_operand

    if arguments.against is None:
        return None
    arguments.directory = arguments.input if Path(arguments.input).is_dir() else "."
    return read_operand(arguments.against, arguments)


COMMAND: Final = Command(add_arguments=_add_arguments, run=_run)
