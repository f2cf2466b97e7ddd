"""The way into `forgec`: which command, and how it ends when it cannot do what it was asked.

Only the module of the command that is called is imported, and it imports the stages in the functions that need them:
`forgec --help` costs little more than the interpreter, and a JSON document is compiled without loading the CUE parser.
"""

import argparse
import atexit
import gc
import importlib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NoReturn

if TYPE_CHECKING:
    from forgec.cli.command import Command

COMMANDS: Final = {
    "discover": "evaluate a directory's .forge and print the discovery document",
    "check": "find everything that would keep a run from starting",
    "compile": "print the workflow of a repository or a discovery document",
    "lint": "find what is wrong, or unwise, in Workflows of Argo, whoever wrote them",
    "explain": "tell what a code of a finding means, and what to do",
    "estimate": "tell what a run takes of Argo, how long, and which time limits contradict",
    "graph": "draw the pipeline for mermaid or Graphviz, or as a page of HTML",
    "why": "tell where a step comes from and what runs it, or why it is not there",
    "simulate-event": "tell what a push or a pull request would release, and why",
    "diff": "tell what changed in the pipeline between two documents, directories or revisions",
    "golden": "hold golden workflows against what their inputs compile to now",
    "verify": "tell whether a workflow is what its input compiles to",
    "schema": "print the JSON Schema of a document",
    "completion": "print the script that completes this command line in a shell",
}
"""Name and purpose, in the order of `--help`. A command is `COMMAND` of the module of its name (`-` is `_`)."""

COLUMNS_DEFAULT: Final = 80
"""Where there is no terminal to ask."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    _stand_in_for_closed_streams()
    gc.set_threshold(50_000)  # a command makes many objects, hardly a cycle, and ends soon: looking costs a tenth of it
    atexit.register(gc.freeze)  # as much again, when it has ended
    try:
        arguments = _parsed(argv)
        return _run(arguments.command, arguments)
    except BrokenPipeError:
        from forgec.cli.command import BROKEN_PIPE
        from forgec.cli.output import drop_standard_output

        drop_standard_output()
        return BROKEN_PIPE
    except KeyboardInterrupt:
        from forgec.cli.command import INTERRUPTED

        return INTERRUPTED
    except Exception as error:
        from forgec.cli.command import BUG

        if os.environ.get("FORGE_TRACEBACK") == "1":
            raise
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        advice = "please report it with the input that shows it (FORGE_TRACEBACK=1 tells where)"
        print(f"forgec: internal error: {what}; {advice}", file=sys.stderr)
        return BUG


def _stand_in_for_closed_streams() -> None:
    """To Python they are None, and the next file that is opened would have their number.

    The one in place of standard input or output fails as a closed one does; what standard error says nobody reads.
    """
    for name, flags in (("stdin", os.O_WRONLY), ("stdout", os.O_RDONLY), ("stderr", os.O_WRONLY)):
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(os.open(os.devnull, flags), mode, encoding="utf-8"))  # noqa: PTH123, SIM115


def _parsed(argv: Sequence[str]) -> argparse.Namespace:
    """argparse ends by itself when it has printed help or the version."""
    try:
        try:
            arguments, unknown = _parser(argv).parse_known_args(argv)
            if unknown:  # by the command's own parser, whose usage says what there is
                arguments.usage.error(f"unrecognized arguments: {' '.join(unknown)}")
            return arguments
        except SystemExit:
            sys.stdout.flush()
            raise
    except BrokenPipeError:
        raise
    except OSError as error:
        _end_unwritten(error)


def _end_unwritten(error: OSError) -> NoReturn:
    from forgec.cli.command import FOUND
    from forgec.cli.output import drop_standard_output, unwritable
    from forgec.cli.report import show_error

    drop_standard_output()
    show_error(unwritable(None, error))
    raise SystemExit(FOUND)


def _run(command: "Command", arguments: argparse.Namespace) -> int:
    from forgec.cli.report import Refused, Report, show_error
    from forgec.diagnostic import ForgeError

    report = arguments.report = Report(arguments)
    try:
        code = command.run(arguments)
    except ForgeError as error:
        code = command.error_exit
        report.add(error.diagnostics)
    except Refused:
        code = command.error_exit
    try:
        report.show()
    except ForgeError as error:
        show_error(error)
        return command.error_exit
    return command.error_exit if report.has_errors else code


def _parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="forgec",
        description="Compile the .forge directories of a monorepo to an Argo Workflow.",
        epilog="Exit codes: 0 done, 1 findings, 2 wrong usage.",
        allow_abbrev=False,
        formatter_class=_Formatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    called = next((word for word in argv if not word.startswith("-")), None)
    for name, purpose in COMMANDS.items():
        if argv[:1] == [called] and name != called and called in COMMANDS:
            continue  # nobody will see the others
        subparser = commands.add_parser(
            name,
            help=purpose,
            description=purpose[0].upper() + purpose[1:] + ".",
            allow_abbrev=False,
            formatter_class=_Formatter,
        )
        if name == called:
            _load_msgspec()
            command: Command = importlib.import_module(f"forgec.cli.{name.replace('-', '_')}").COMMAND
            command.add_arguments(subparser)
            subparser.set_defaults(command=command, usage=subparser)
    return parser


def _load_msgspec() -> None:
    """Without `typing_extensions`, which other parts of the platform bring along.

    Msgspec takes two functions of it where it is there, and those of `typing` where it is not; since Python 3.11 they
    do the same. It loads `inspect`, and that takes a tenth of a compilation.
    """
    if "msgspec" in sys.modules or "typing_extensions" in sys.modules:
        return
    sys.modules["typing_extensions"] = None  # type: ignore[assignment]  # the import system's word for "not there"
    try:
        importlib.import_module("msgspec")
    finally:
        del sys.modules["typing_extensions"]


class _Formatter(argparse.HelpFormatter):
    """Finds the width of the terminal without `shutil`, which loads every module for compression.

    argparse makes a formatter for each argument, not only for help.
    """

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2)


def _columns() -> int:
    given = os.environ.get("COLUMNS", "")
    if given.isascii() and given.isdigit() and int(given):
        return int(given)
    try:
        return os.get_terminal_size(sys.__stdout__.fileno()).columns or COLUMNS_DEFAULT  # type: ignore[union-attr]
    except (AttributeError, ValueError, OSError):  # closed, or no terminal
        return COLUMNS_DEFAULT


class _Version(argparse.Action):
    """Reads the installed version only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any, **__: Any) -> None:
        from importlib.metadata import version

        print(f"forgec {version('catalyst-forge')}")
        parser.exit()
