"""`forgec verify WORKFLOW`: whether a workflow is what its input compiles to, or what its receipt says."""

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from forgec.cli.argument import path
from forgec.cli.command import DONE, FOUND, USAGE, Command
from forgec.cli.input import add_trigger, read_input, refuse_event
from forgec.cli.output import write
from forgec.cli.receipt import load_receipt, make_receipt

if TYPE_CHECKING:
    from forgec.compilation import Compiled
    from forgec.verify import Check, Receipt


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("workflow", type=path, metavar="WORKFLOW", help="the file that was compiled")
    parser.add_argument(
        "-i", "--input", type=path, metavar="FILE|DIR|-", help="the document or repository to compile again"
    )
    parser.add_argument(
        "--receipt",
        type=path,
        metavar="FILE",
        help="what compile --receipt left; without one the default options are assumed",
    )
    add_trigger(parser)
    parser.epilog = "Exit codes: 0 nothing differs, 1 something does, 2 it could not be verified."


def _run(arguments: argparse.Namespace) -> int:
    from forgec.compilation import Options, compile_document
    from forgec.render.escape import escaped
    from forgec.verify import State, verify

    if arguments.input is None and arguments.receipt is None:
        arguments.usage.error("nothing to verify it against: give an --input, a --receipt, or both")
    if arguments.input is None:
        refuse_event(arguments, "there is no --input")
    workflow = _read(arguments.workflow)
    receipt = None if arguments.receipt is None else load_receipt(arguments.receipt)
    recompiled = compiled = None
    if arguments.input is not None:
        document = read_input(arguments)
        options = Options() if receipt is None else receipt.options
        compiled = compile_document(document, options)
        recompiled = make_receipt(document, compiled, options)
    checks = verify(workflow, receipt=receipt, recompiled=recompiled)
    lines = [line for check in checks for line in _lines(check)]
    lines += _remarks(checks, receipt, recompiled)
    if compiled is not None:
        lines += _difference(workflow, checks, compiled)
    differs = [check.what for check in checks if check.state is State.DIFFERS]
    lines.append(f"{arguments.workflow}: {'not verified: ' + ', '.join(differs) if differs else 'verified'}")
    write("".join(f"{escaped(line)}\n" for line in lines).encode())
    return FOUND if differs else DONE


def _read(name: str) -> bytes:
    """Of any size: a digest is of all of it."""
    from pathlib import Path

    from forgec.diagnostic import Code, fail

    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise fail(Code.UNREADABLE, f"cannot read {name}: {error.strerror}") from None


def _lines(check: "Check") -> Iterator[str]:
    """One for a digest that nobody contradicts, else one more for each that says something."""
    from forgec.verify import State

    if check.state is State.DIFFERS:
        yield f"{check.what:<8}differs"
        yield from (f"        {who:<11}{digest}" for who, digest in check.digests.items())
    elif check.state is State.SAME:
        yield f"{check.what:<8}same     {next(iter(check.digests.values()))}"
    else:
        said = [f"{digest} ({who} only)" for who, digest in check.digests.items()]
        yield f"{check.what:<8}unknown  {said[0] if said else 'nothing says what it was'}"


def _remarks(checks: "tuple[Check, ...]", receipt: "Receipt | None", recompiled: "Receipt | None") -> Iterator[str]:
    """What may be the cause of a difference."""
    from forgec.verify import State

    if all(check.state is not State.DIFFERS for check in checks):
        return
    if receipt is None:
        yield "compiled again with the default options: a receipt (forgec compile --receipt) would hold the real ones"
    elif recompiled is not None and receipt.compiler != recompiled.compiler:
        yield f"compiled by forgec {receipt.compiler}, and again by {recompiled.compiler}"


def _difference(workflow: bytes, checks: "tuple[Check, ...]", compiled: "Compiled") -> list[str]:
    """The lines in which the file is not what was compiled, where its plan is the same."""
    from forgec.diff.lines import unified
    from forgec.verify import State

    states = {check.what: check.state for check in checks}
    if states["plan"] is State.DIFFERS or workflow == compiled.workflow:
        return []
    return unified(workflow, compiled.workflow, labels=("file", "recompiled"))


COMMAND: Final = Command(add_arguments=_add_arguments, run=_run, error_exit=USAGE)
