"""`forgec why STEP`: the chain from the `.forge` line to the pod, or why there is none."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from forgec.cli.argument import STREAM, path
from forgec.cli.command import DONE, FOUND, Command
from forgec.cli.input import add_trigger, locate_input, survey_directory, trigger_of
from forgec.cli.output import write

if TYPE_CHECKING:
    from forgec.discovery.model import Discovery
    from forgec.why import Answer, Question


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", metavar="PROJECT[/PHASE[/STEP]]|STEP", help="what is asked for")
    parser.add_argument(
        "-i",
        "--input",
        type=path,
        default=".",
        metavar="FILE|DIR|-",
        help="a discovery document, or a repository (default: the working directory)",
    )
    parser.add_argument("--release", action="store_true", help="ask for the project's release instead of its steps")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="what to print (default: text)")
    add_trigger(parser)


def _run(arguments: argparse.Namespace) -> int:
    from forgec import pipeline
    from forgec.manifest.lower import ManifestOptions
    from forgec.plan.model import SHARD_SIZE_DEFAULT
    from forgec.why import Subject, why, why_nothing, why_release

    verdicts = {}
    survey = None
    if arguments.input != STREAM and Path(arguments.input).is_dir():
        survey, commit = survey_directory(Path(arguments.input), arguments)
        trigger = trigger_of(arguments, commit)
        located, verdicts = survey.located(trigger), survey.verdicts(trigger)
    else:
        located = locate_input(arguments)
    plan = pipeline.plan(located.document, shard_size=SHARD_SIZE_DEFAULT, places=located.places)
    workflow = pipeline.lower(plan, ManifestOptions(), dynamic=False)
    subject = Subject(located=located, plan=plan, workflow=workflow, survey=survey)
    if arguments.release:
        return _tell([why_release(subject, arguments.what, verdicts.get(arguments.what))], arguments)
    questions = _questions(arguments, located.document)
    answers = [why(subject, question) for question in questions] or [why_nothing(subject, arguments.what)]
    return _tell(answers, arguments)


def _questions(arguments: argparse.Namespace, document: "Discovery") -> "list[Question]":
    """What is asked: a single word is a project, or else every step of that name; nothing if it is neither."""
    from forgec.why import Question, find_step

    parts = arguments.what.split("/")
    if not 1 <= len(parts) <= 3 or not all(parts):
        arguments.usage.error(f'"{arguments.what}" is not PROJECT, PROJECT/PHASE, PROJECT/PHASE/STEP or STEP')
    if len(parts) == 1 and all(project.name != parts[0] for project in document.projects):
        return find_step(document, parts[0])
    return [Question(*parts)]


def _tell(answers: "list[Answer]", arguments: argparse.Namespace) -> int:
    if arguments.format == "json":
        import json

        write(
            json.dumps({"schemaVersion": 1, "answers": [_record(each) for each in answers]}, indent=2).encode() + b"\n"
        )
    else:
        write("\n\n".join("\n".join(_text(each)) for each in answers).encode() + b"\n")
    return DONE if all(answer.present for answer in answers) else FOUND


def _text(answer: "Answer") -> Iterator[str]:
    from forgec.render.escape import escaped

    yield escaped(answer.subject)
    width = max(len(fact.label) for fact in answer.facts)
    for fact in answer.facts:
        place = f" ({fact.span})" if fact.span else ""
        yield escaped(f"  {fact.label:<{width}}  {fact.text}{place}")


def _record(answer: "Answer") -> dict[str, Any]:
    facts = []
    for fact in answer.facts:
        record: dict[str, Any] = {"label": fact.label, "text": fact.text}
        if fact.span:
            at = fact.span.position
            record |= {"file": fact.span.source.name, "line": at.line, "column": at.column}
        facts.append(record)
    return {"subject": answer.subject, "present": answer.present, "facts": facts}


COMMAND: Final = Command(add_arguments=_add_arguments, run=_run)
