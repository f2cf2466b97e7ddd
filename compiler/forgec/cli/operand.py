"""What `forgec diff` compares: a discovery document, a directory, or a revision of a repository, by one word.

-                     a document on standard input
a path that exists    a document, or a directory as it is
anything else         a revision of the repository of `-C`
rev:NAME              a revision, also where a path of that name exists
"""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from forgec.cli.argument import STREAM
from forgec.cli.input import evaluator_of, read_file, shown, trigger_of
from forgec.diagnostic import Code, Diagnostic, ForgeError, Severity, fail
from forgec.discovery.model import Discovery
from forgec.render.escape import escaped

if TYPE_CHECKING:
    from forgec.discovery.trigger import Release

_REVISION: Final = "rev:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operand:
    """`label` is for people to read; `rules`: when each project is released, which a document does not say (None)."""

    label: str
    document: Discovery
    rules: "Mapping[str, Release] | None" = None
    findings: tuple[Diagnostic, ...] = field(default=())


def read_operand(argument: str, arguments: argparse.Namespace) -> Operand:
    """Raises ForgeError with everything that is wrong with it, each message with the operand's name before it."""
    repository = Path(arguments.directory)
    try:
        if argument.startswith(_REVISION):
            return _read_tree(repository, argument.removeprefix(_REVISION), arguments)
        if is_document(argument):
            return _read_document(argument)
        if Path(argument).is_dir():
            return _read_tree(Path(argument), None, arguments)
        _check_revision(argument, repository)
        return _read_tree(repository, argument, arguments)
    except ForgeError as error:
        named = (replace(each, message=f"{shown(argument)}: {each.message}") for each in error.diagnostics)
        raise ForgeError(named) from None


def ambiguity(argument: str, arguments: argparse.Namespace) -> Iterator[Diagnostic]:
    """A path whose name is also a revision's, unless it is written as a path: `./x`, `x/`, `..`, `x.json`."""
    plain = argument == Path(argument).name and not argument.endswith(".json")
    if argument == STREAM or not plain or not Path(argument).exists():
        return
    if _revision_problem(argument, Path(arguments.directory)) is None:
        message = f'"{argument}" is taken as the path, and is a revision as well'
        advice = f"write {_REVISION}{argument} for the revision, ./{argument} for the path"
        yield Diagnostic(Code.OPERAND_AMBIGUOUS, message, help=advice, severity=Severity.WARNING)


def is_document(argument: str) -> bool:
    """A file, or whatever else can be read and is no directory."""
    return argument == STREAM or (Path(argument).exists() and not Path(argument).is_dir())


def _read_document(argument: str) -> Operand:
    from forgec import pipeline

    located = pipeline.read_located(shown(argument), read_file(argument))
    return Operand(label=escaped(shown(argument)), document=located.document, findings=located.findings)


def _read_tree(directory: Path, rev: str | None, arguments: argparse.Namespace) -> Operand:
    from forgec import pipeline
    from forgec.adapter.git import open_tree

    tree, commit = open_tree(directory, rev)
    survey = pipeline.survey(tree, evaluator_of(arguments))
    located = survey.located(trigger_of(arguments, commit))
    return Operand(
        label=escaped(str(directory) if rev is None or commit is None else f"{rev} ({commit[:12]})"),
        document=located.document,
        rules={project.config.name: project.config.release for project in survey.projects},
        findings=located.findings,
    )


def _check_revision(argument: str, repository: Path) -> None:
    """For a word that is no path."""
    from forgec.nearest import did_you_mean

    problem = _revision_problem(argument, repository)
    if problem is not None and problem.code in (Code.COMMIT_NOT_FOUND, Code.NOT_A_REPOSITORY):
        message = f"no file or directory is called so, and {problem.message}"
        near = did_you_mean(argument, (path.name for path in Path().iterdir()))
        where = "the working directory" if repository == Path() else repository
        advice = f"give a path, or a branch, tag or commit of the repository in {where}"
        raise fail(Code.OPERAND_UNKNOWN, message, help=near or advice)


def _revision_problem(name: str, repository: Path) -> Diagnostic | None:
    """Why it is none; None for a revision."""
    from forgec.adapter.git import open_tree

    try:
        open_tree(repository, name)
    except ForgeError as error:
        return error.diagnostics[0]
    return None
