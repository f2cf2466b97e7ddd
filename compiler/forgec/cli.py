"""The `forgec` command: arguments, files and exit codes around the pipeline.

Exit codes: 0 done; 1 findings, each with its place, on standard error; 2 wrong usage; 70 a mistake of the compiler
itself; 130 interrupted. Output goes to standard output or, whole or not at all, to the file of `-o`.

Imports of the stages stand in the functions that need them: `forgec --help` costs little more than the interpreter,
and a JSON document is compiled without loading the CUE parser.
"""

import argparse
import contextlib
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from forgec.diagnostic import Code, Diagnostic, ForgeError, fail

if TYPE_CHECKING:
    from forgec.discovery.model import Discovery
    from forgec.discovery.trigger import Trigger

DONE: Final = 0
FOUND: Final = 1
BUG: Final = 70  # EX_SOFTWARE of sysexits.h
INTERRUPTED: Final = 128 + 2
BROKEN_PIPE: Final = 128 + 13

STREAM: Final = "-"
"""Names standard input or standard output where a file is asked for."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    try:
        arguments = _parser().parse_args(argv)
        command: Callable[[argparse.Namespace], None] = arguments.command
        command(arguments)
    except ForgeError as error:
        _report(error.diagnostics)
        return FOUND
    except BrokenPipeError:
        _drop_standard_output()
        return BROKEN_PIPE
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        if os.environ.get("FORGE_TRACEBACK") == "1":
            raise
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        advice = "please report it with the input that shows it (FORGE_TRACEBACK=1 tells where)"
        print(f"forgec: internal error: {what}; {advice}", file=sys.stderr)
        return BUG
    return DONE


def _discover(arguments: argparse.Namespace) -> None:
    from forgec.discovery.model import to_json

    path = Path(arguments.directory)
    if arguments.directory == STREAM or path.is_file():
        what = "standard input" if arguments.directory == STREAM else f"the file {path}"
        arguments.usage.error(f"discover reads a directory, not {what} (compile and check read documents)")
    _write(to_json(_discovery_of_directory(path, arguments)), arguments.output)


def _check(arguments: argparse.Namespace) -> None:
    from forgec import pipeline
    from forgec.manifest.lower import ManifestOptions
    from forgec.plan.model import SHARD_SIZE_DEFAULT

    discovery = _discovery(arguments)
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
    _write(f"{_shown(arguments.input)}: no errors ({summary})\n".encode(), None)


def _compile(arguments: argparse.Namespace) -> None:
    from forgec import pipeline
    from forgec.discovery.model import to_json
    from forgec.manifest.lower import ManifestOptions
    from forgec.plan.model import SHARD_SIZE_DEFAULT

    if arguments.dynamic and arguments.emit != "workflow":
        arguments.usage.error("--dynamic is a form of the workflow; it does not go with --emit " + arguments.emit)
    given = {} if arguments.image is None else {"image": arguments.image}
    options = ManifestOptions(run_id=arguments.run_id, **given)
    discovery = _discovery(arguments)
    plan = pipeline.plan(discovery, shard_size=arguments.shard_size or SHARD_SIZE_DEFAULT)
    workflow = pipeline.lower(plan, options, dynamic=arguments.dynamic)
    emitters: dict[str, Callable[[], bytes]] = {
        "discovery": lambda: to_json(discovery),
        "plan": lambda: pipeline.emit_plan(plan),
        "workflow": lambda: pipeline.emit(workflow),
    }
    _write(emitters[arguments.emit](), arguments.output)


def _discovery(arguments: argparse.Namespace) -> "Discovery":
    """The document that the argument names: by a directory, by a JSON file, or on standard input."""
    from forgec import pipeline
    from forgec.syntax.document import SIZE_BYTES_MAX

    path = Path(arguments.input)
    if arguments.input != STREAM and path.is_dir():
        return _discovery_of_directory(path, arguments)
    _refuse_trigger(arguments)
    name = _shown(arguments.input)
    try:
        with contextlib.nullcontext(sys.stdin.buffer) if arguments.input == STREAM else path.open("rb") as file:
            data = file.read(SIZE_BYTES_MAX + 1)  # of an endless stream as well, what is too much is known soon
    except OSError as error:
        raise fail(Code.UNREADABLE, f"cannot read {name}: {error.strerror}") from None
    discovery = pipeline.read(name, data)
    _warn(discovery)
    return discovery


def _shown(argument: str) -> str:
    return "<stdin>" if argument == STREAM else argument


def _discovery_of_directory(path: Path, arguments: argparse.Namespace) -> "Discovery":
    from forgec import pipeline
    from forgec.adapter.git import open_tree

    tree, commit = open_tree(path, arguments.rev)
    discovery = pipeline.discover(tree, _trigger(arguments, commit))
    _warn(discovery)
    return discovery


def _trigger(arguments: argparse.Namespace, commit: str | None) -> "Trigger":
    """The event that discovery is to assume; a ref gives its branch or tag, and a branch or tag its ref."""
    from forgec.discovery.trigger import Trigger

    ref, branch, tag = arguments.ref, arguments.branch, arguments.tag
    if ref is not None:
        branch = ref.removeprefix("refs/heads/") if ref.startswith("refs/heads/") else None
        tag = ref.removeprefix("refs/tags/") if ref.startswith("refs/tags/") else None
    elif branch is not None:
        ref = f"refs/heads/{branch}"
    elif tag is not None:
        ref = f"refs/tags/{tag}"
    if arguments.trigger == "push" and branch is None and tag is None:
        arguments.usage.error("--trigger push needs a --branch, a --tag, or a --ref of either")
    return Trigger(commit_sha=commit, ref=ref, branch=branch, tag=tag, trigger_type=arguments.trigger)


def _refuse_trigger(arguments: argparse.Namespace) -> None:
    """A discovery document says itself which commit and event it is of."""
    given = [name for name in ("rev", "ref", "branch", "tag") if getattr(arguments, name) is not None]
    given += ["trigger"] if arguments.trigger != _TRIGGER_DEFAULT else []
    if given:
        arguments.usage.error(f"--{given[0]} goes with a directory; {arguments.input} is a discovery document")


def _write(data: bytes, path: str | None) -> None:
    try:
        if path is None:
            sys.stdout.buffer.write(data)
            sys.stdout.flush()
        else:
            _write_file(data, Path(path).resolve())
    except BrokenPipeError:
        raise
    except OSError as error:
        if path is None:
            _drop_standard_output()
        raise fail(
            Code.UNWRITABLE, f"cannot write {'to standard output' if path is None else path}: {error.strerror}"
        ) from None


def _write_file(data: bytes, target: Path) -> None:
    """Whole or not at all: a reader of the file never sees a part, and an error leaves what was there."""
    if target.exists() and not target.is_file():  # a device or a pipe cannot be replaced
        target.write_bytes(data)
        return
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _drop_standard_output() -> None:
    """What is left in its buffer would fail once more, with a complaint, when the interpreter flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _report(diagnostics: Sequence[Diagnostic]) -> None:
    from forgec.render import render_text

    color = sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    sys.stderr.write(render_text(diagnostics, color=color))


def _warn(discovery: "Discovery") -> None:
    """The document holds places as numbers, not the text they are in, so a warning is one line."""
    from forgec.render import escaped

    for warning in discovery.warnings:
        place = ":".join(str(part) for part in (warning.file, warning.line, warning.column) if part is not None)
        text = f"{warning.message} ({place})" if place else warning.message
        print(escaped(f"warning[{warning.code}]: {text}"), file=sys.stderr)


_TRIGGER_DEFAULT: Final = "manual"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="forgec",
        description="Compile the .forge directories of a monorepo to an Argo Workflow.",
        epilog="Exit codes: 0 done, 1 findings, 2 wrong usage.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    discover = _command(
        commands, "discover", _discover, "evaluate a directory's .forge and print the discovery document"
    )
    discover.add_argument("directory", type=_path, metavar="DIR")
    _add_trigger(discover)
    _add_output(discover)

    check = _command(commands, "check", _check, "find everything that would keep a run from starting")
    check.add_argument("input", type=_path, metavar="FILE|DIR|-", help="a discovery document, or a repository")
    _add_trigger(check)

    compile_ = _command(commands, "compile", _compile, "print the workflow of a repository or a discovery document")
    compile_.add_argument("input", type=_path, metavar="FILE|DIR|-", help="a discovery document, or a repository")
    compile_.add_argument(
        "--emit",
        choices=("workflow", "plan", "discovery"),
        default="workflow",
        help="what to print (default: the workflow)",
    )
    compile_.add_argument("--dynamic", action="store_true", help="the form whose first step is discovery")
    compile_.add_argument("--run-id", type=_run_id, metavar="UUID", help="the run that the workflow belongs to")
    compile_.add_argument("--shard-size", type=_shard_size, metavar="N", help="tasks that one dispatcher carries")
    compile_.add_argument("--image", help="container image of the dispatchers")
    _add_trigger(compile_)
    _add_output(compile_)
    return parser


def _command(
    commands: Any, name: str, command: Callable[[argparse.Namespace], None], purpose: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=purpose, description=purpose[0].upper() + purpose[1:] + ".", allow_abbrev=False
    )
    parser.set_defaults(command=command, usage=parser)
    return parser


def _add_trigger(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("of a directory")
    group.add_argument("--rev", help="read this commit, branch or tag instead of the files as they are")
    group.add_argument(
        "--trigger",
        choices=("push", "pull_request", "manual"),
        default=_TRIGGER_DEFAULT,
        help="the event to assume (default: manual, which releases nothing)",
    )
    event = group.add_mutually_exclusive_group()
    event.add_argument("--ref", help="the event's full ref, such as refs/heads/main")
    event.add_argument("--branch", help="the event's branch")
    event.add_argument("--tag", help="the event's tag")


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o",
        "--output",
        type=lambda path: None if path == STREAM else _path(path),
        metavar="FILE",
        help="replace this file instead of printing",
    )


def _path(text: str) -> str:
    """An empty path would be the working directory, and is most often a variable that is not set."""
    if not text:
        raise argparse.ArgumentTypeError("the path is empty")
    return text


def _run_id(text: str) -> str:
    from forgec import ids

    if not ids.is_run_id(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a UUID in lower case")
    return text


def _shard_size(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,5}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 999999")
    return int(text)


class _Version(argparse.Action):
    """Reads the installed version only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any, **__: Any) -> None:
        from importlib.metadata import version

        print(f"forgec {version('catalyst-forge')}")
        parser.exit()
