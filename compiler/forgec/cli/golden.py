"""`forgec golden check|update DIR`: hold golden workflows against what their inputs compile to now."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from forgec.cli.argument import path
from forgec.cli.command import DONE, FOUND, USAGE, Command
from forgec.cli.input import add_engine, evaluator_of, read_file
from forgec.cli.output import write, write_files

if TYPE_CHECKING:
    from forgec.diagnostic import Diagnostic
    from forgec.discovery.model import Discovery
    from forgec.golden.case import Case
    from forgec.golden.verdict import Verdict


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("check", "update"), help="compare, or accept what there is now")
    parser.add_argument("directory", type=path, metavar="DIR", help="a case, or a directory of cases")
    add_engine(parser)
    parser.epilog = "Exit codes: 0 as expected or updated, 1 something differs, 2 a case could not be compiled."


def _run(arguments: argparse.Namespace) -> int:
    from forgec.golden.verdict import tell

    if arguments.action == "update":
        _refuse_in_ci()
    folders = _case_folders(Path(arguments.directory))
    verdicts, problems = _judge_all(folders, arguments)
    arguments.report.add(problems)
    stale = [verdict for verdict in verdicts if verdict.stale]
    if arguments.action == "check":
        count = f"{_cases(len(folders))}: {len(verdicts) - len(stale)} as expected, {len(stale)} not"
        count += f", {len(folders) - len(verdicts)} not compiled" if len(verdicts) < len(folders) else ""
        count += f" (forgec golden update {arguments.directory} accepts what there is now)" if stale else ""
        _say(f"{tell(stale)}{count}\n")
        return FOUND if stale else DONE
    arguments.report.settle()
    write_files(
        [(str(folders[verdict.case] / name), data) for verdict in stale for name, data in verdict.stale.items()]
    )
    files = [f"  wrote {folders[verdict.case] / name}\n" for verdict in stale for name in verdict.stale]
    _say(f"{tell(stale)}{_cases(len(folders))}: {len(stale)} updated\n{''.join(files)}")
    return DONE


def _say(text: str) -> None:
    """Golden files and the names of cases are anybody's."""
    from forgec.render.escape import escaped

    write("\n".join(map(escaped, text.split("\n"))).encode())


def _refuse_in_ci() -> None:
    """`CI` is what services set to say that nobody is looking; some people unset it with a word."""
    from forgec.diagnostic import Code, fail

    value = os.environ.get("CI", "")
    if value.lower() not in ("", "0", "false"):
        message = "golden files are the expectation, and are not rewritten where the environment variable CI is set"
        advice = "run it on your own machine, read the difference and commit it"
        raise fail(Code.GOLDEN_IN_CI, message, help=advice)


def _case_folders(root: Path) -> dict[str, Path]:
    """By name: the directory itself where it is a case, or the cases in it."""
    from forgec.diagnostic import Code, fail

    try:
        folders = {root.resolve().name: root} if _is_case(root) else {each.name: each for each in root.iterdir()}
    except OSError as error:
        raise fail(Code.UNREADABLE, f"cannot read {root}: {error.strerror}") from None
    cases = {name: folders[name] for name in sorted(folders) if _is_case(folders[name])}
    if not cases:
        message = f"{root} holds no golden case, so nothing would be compared"
        advice = "a case is a directory with a discovery.json or a case.json in it"
        raise fail(Code.GOLDEN_CASE_MISSING, message, help=advice)
    return cases


def _is_case(folder: Path) -> bool:
    """Expected files alone are one too: of an input that is gone."""
    from forgec.golden.case import CASE_FILE, DOCUMENT_FILE, PLAN_FILE, WORKFLOW_FILE

    return any((folder / name).is_file() for name in (CASE_FILE, DOCUMENT_FILE, PLAN_FILE, WORKFLOW_FILE))


def _judge_all(folders: dict[str, Path], arguments: argparse.Namespace) -> "tuple[list[Verdict], list[Diagnostic]]":
    """The verdicts on the cases that compile, and what is wrong with the others."""
    from forgec.diagnostic import ForgeError

    verdicts = []
    problems: list[Diagnostic] = []
    for name, folder in folders.items():
        try:
            verdicts.append(_judge(name, folder, arguments))
        except ForgeError as error:
            problems += (replace(each, message=f"{name}: {each.message}") for each in error.diagnostics)
    return verdicts, problems


def _judge(name: str, folder: Path, arguments: argparse.Namespace) -> "Verdict":
    from forgec.compilation import compile_document
    from forgec.golden.case import CASE_FILE, DOCUMENT_FILE, PLAN_FILE, WORKFLOW_FILE, read_case
    from forgec.golden.verdict import judge
    from forgec.syntax.document import read_text

    case_file = folder / CASE_FILE
    source = read_text(str(case_file), read_file(str(case_file))) if case_file.is_file() else None
    case = read_case(str(folder), source, has_document=(folder / DOCUMENT_FILE).is_file())
    compiled = compile_document(_document(case, folder, arguments), case.options)
    paths = (folder / expected for expected in (PLAN_FILE, WORKFLOW_FILE))
    return judge(name, {each.name: each.read_bytes() for each in paths if each.is_file()}, compiled)


def _document(case: "Case", folder: Path, arguments: argparse.Namespace) -> "Discovery":
    from forgec import pipeline
    from forgec.golden.case import DOCUMENT_FILE

    if case.directory is None:
        document = folder / DOCUMENT_FILE
        return pipeline.read(str(document), read_file(str(document)))
    from forgec.adapter.directory import DirectoryTree
    from forgec.diagnostic import Code, fail

    directory = folder / case.directory
    if not directory.is_dir():
        message = f'"{case.directory}" is no directory, seen from {folder}'
        raise fail(Code.GOLDEN_CASE_INVALID, message, help="give the repository's path relative to the case")
    return pipeline.discover(DirectoryTree(directory), case.event, evaluator_of(arguments))


def _cases(count: int) -> str:
    return f"{count} case{'' if count == 1 else 's'}"


COMMAND: Final = Command(add_arguments=_add_arguments, run=_run, error_exit=USAGE)
