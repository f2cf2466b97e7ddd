"""Input: a repository's directory, a discovery document, or one on standard input, as a Discovery.

A document is read without `pathlib`, whose import takes longer.
"""

import argparse
import contextlib
import os
import sys
from typing import TYPE_CHECKING, Final

from forgec.cli.argument import STREAM, branch, full_ref, path, tag
from forgec.diagnostic import Code, fail

if TYPE_CHECKING:
    from pathlib import Path

    from forgec.discovery.discover import Survey
    from forgec.discovery.evaluate import Evaluate
    from forgec.discovery.model import Discovery
    from forgec.discovery.places import Located
    from forgec.discovery.trigger import Trigger

_TRIGGER_DEFAULT: Final = "manual"
_ENGINE_DEFAULT: Final = "builtin"


def add_input(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", type=path, metavar="FILE|DIR|-", help="a discovery document, or a repository")
    add_trigger(parser)


def add_trigger(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("of a directory")
    add_revision(group)
    add_event(group)


def add_revision(group: "argparse._ArgumentGroup | argparse.ArgumentParser") -> None:
    """Which files of a directory are read, and by what."""
    group.add_argument("--rev", help="read this commit, branch or tag instead of the files as they are")
    add_engine(group)


def add_engine(group: "argparse._ArgumentGroup | argparse.ArgumentParser") -> None:
    group.add_argument(
        "--cue-engine",
        choices=("builtin", "cue"),
        default=_ENGINE_DEFAULT,
        help="what evaluates .forge: the compiler itself (default), or the cue command, for all of CUE",
    )


def add_event(group: "argparse._ArgumentGroup") -> None:
    """The event that a directory is evaluated for."""
    group.add_argument(
        "--trigger",
        choices=("push", "pull_request", "manual"),
        help="the event to assume (default: manual, which releases nothing)",
    )
    event = group.add_mutually_exclusive_group()
    event.add_argument("--ref", type=full_ref, help="the event's full ref, such as refs/heads/main")
    event.add_argument("--branch", type=branch, help="the event's branch")
    event.add_argument("--tag", type=tag, help="the event's tag")


def shown(argument: str) -> str:
    return "<stdin>" if argument == STREAM else argument


def read_input(arguments: argparse.Namespace) -> "Discovery":
    """The document that `arguments.input` names; its warnings join the report."""
    return locate_input(arguments).document


def locate_input(arguments: argparse.Namespace) -> "Located":
    """The same with the places of what it says."""
    from forgec import pipeline

    if arguments.input != STREAM and os.path.isdir(arguments.input):  # noqa: PTH112
        from pathlib import Path

        return locate_directory(Path(arguments.input), arguments)
    refuse_event(arguments, f"{arguments.input} is a discovery document")
    limited = not getattr(arguments, "no_limits", False)
    data = read_file(arguments.input, limited=limited)
    located = pipeline.read_located(shown(arguments.input), data, limited=limited)
    arguments.report.add(located.findings)
    arguments.report.add_carried(located.carried)
    return located


def read_file(argument: str, *, limited: bool = True) -> bytes:
    """A file or standard input; if `limited`, of what is larger than any document only so much that this shows."""
    from forgec.syntax.document import SIZE_BYTES_MAX

    try:
        with contextlib.nullcontext(sys.stdin.buffer) if argument == STREAM else open(argument, "rb") as file:  # noqa: PTH123
            return file.read(SIZE_BYTES_MAX + 1 if limited else -1)
    except OSError as error:
        raise fail(Code.UNREADABLE, f"cannot read {shown(argument)}: {error.strerror}") from None


def locate_directory(directory: "Path", arguments: argparse.Namespace) -> "Located":
    """A repository, as it is or at `--rev`, evaluated for the event of the arguments; its warnings join the report."""
    survey, commit = survey_directory(directory, arguments)
    return survey.located(trigger_of(arguments, commit))


def survey_directory(directory: "Path", arguments: argparse.Namespace) -> "tuple[Survey, str | None]":
    """A repository, as it is or at `--rev`, before the event; and the commit's id. Its warnings join the report.

    Without the pipeline, whose other stages a command may have no use for.
    """
    from forgec.adapter.git import open_tree
    from forgec.discovery.discover import survey
    from forgec.discovery.evaluate import evaluate_builtin

    tree, commit = open_tree(directory, arguments.rev)
    found = survey(tree, evaluator_of(arguments) or evaluate_builtin)
    arguments.report.add(found.findings)
    return found, commit


def evaluator_of(arguments: argparse.Namespace) -> "Evaluate | None":
    """None is the built-in one."""
    if arguments.cue_engine == _ENGINE_DEFAULT:
        return None
    from forgec.adapter.cue import cue_evaluator

    return cue_evaluator()


def trigger_of(arguments: argparse.Namespace, commit: str | None) -> "Trigger":
    """The event that discovery is to assume; a ref gives its branch or tag, and a branch or tag its ref."""
    from forgec.discovery.trigger import Trigger

    ref, of_branch, of_tag = arguments.ref, arguments.branch, arguments.tag
    if ref is not None:
        of_branch = ref.removeprefix("refs/heads/") if ref.startswith("refs/heads/") else None
        of_tag = ref.removeprefix("refs/tags/") if ref.startswith("refs/tags/") else None
    elif of_branch is not None:
        ref = f"refs/heads/{of_branch}"
    elif of_tag is not None:
        ref = f"refs/tags/{of_tag}"
    if arguments.trigger == "push" and of_branch is None and of_tag is None:
        arguments.usage.error("--trigger push needs a --branch, a --tag, or a --ref of either")
    if arguments.trigger is None and ref is not None:
        arguments.report.note(
            f"this is a {_TRIGGER_DEFAULT} run of {ref}, which releases nothing; a push is --trigger push"
        )
    return Trigger(
        commit_sha=commit, ref=ref, branch=of_branch, tag=of_tag, trigger_type=arguments.trigger or _TRIGGER_DEFAULT
    )


def refuse_event(arguments: argparse.Namespace, why: str) -> None:
    """A discovery document says itself which commit and event it is of."""
    given = [name for name in ("rev", "ref", "branch", "tag") if getattr(arguments, name, None) is not None]
    given += ["trigger"] if arguments.trigger not in (None, _TRIGGER_DEFAULT) else []
    given += ["cue-engine"] if getattr(arguments, "cue_engine", _ENGINE_DEFAULT) != _ENGINE_DEFAULT else []
    if given:
        arguments.usage.error(f"--{given[0]} goes with a directory; {why}")
