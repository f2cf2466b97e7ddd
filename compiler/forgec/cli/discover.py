"""`forgec discover DIR`: the discovery document of a repository."""

import argparse
from pathlib import Path
from typing import Final

from forgec.cli.argument import STREAM, path
from forgec.cli.command import DONE, Command
from forgec.cli.input import add_trigger, locate_directory
from forgec.cli.output import add_output, write
from forgec.cli.report import add_format


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", type=path, metavar="DIR")
    add_trigger(parser)
    add_output(parser)
    add_format(parser)


def _run(arguments: argparse.Namespace) -> int:
    from forgec.discovery.model import to_json

    directory = Path(arguments.directory)
    if arguments.directory == STREAM or directory.is_file():
        what = "standard input" if arguments.directory == STREAM else f"the file {directory}"
        arguments.usage.error(f"discover reads a directory, not {what} (compile and check read documents)")
    located = locate_directory(directory, arguments)
    arguments.report.settle()
    write(to_json(located.document), arguments.output)
    return DONE


COMMAND: Final = Command(add_arguments=_add_arguments, run=_run)
