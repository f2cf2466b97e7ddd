"""`forgec schema NAME`: the JSON Schema of a document."""

import argparse
from typing import Final

from forgec.cli.command import DONE, Command
from forgec.cli.output import add_output, write
from forgec.schema import NAMES


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", choices=NAMES, metavar="NAME", help=f"of {', '.join(NAMES)}")
    add_output(parser)


def _run(arguments: argparse.Namespace) -> int:
    import json

    from forgec.schema import json_schema

    write(json.dumps(json_schema(arguments.name), indent=2).encode() + b"\n", arguments.output)
    return DONE


COMMAND: Final = Command(add_arguments=_add_arguments, run=_run)
