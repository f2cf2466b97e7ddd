"""`forgec simulate-event DIR --branch X --tag Y --pull-request`: what each event would release, and why."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from forgec.cli.argument import branch, path, tag
from forgec.cli.command import DONE, Command
from forgec.cli.input import add_revision, survey_directory
from forgec.cli.output import write

if TYPE_CHECKING:
    from forgec.discovery.discover import Survey
    from forgec.discovery.trigger import Trigger


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", type=path, metavar="DIR")
    add_revision(parser)
    parser.add_argument(
        "--branch", type=branch, action="append", default=[], metavar="NAME", help="a push of this branch"
    )
    parser.add_argument("--tag", type=tag, action="append", default=[], metavar="NAME", help="a push of this tag")
    parser.add_argument("--pull-request", action="store_true", help="a pull request")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="what to print (default: text)")


def _run(arguments: argparse.Namespace) -> int:
    events = list(_events(arguments))
    if not events:
        arguments.usage.error("give an event: --branch NAME, --tag NAME or --pull-request")
    survey, _ = survey_directory(Path(arguments.directory), arguments)
    outcomes: list[tuple[str, list[dict[str, Any]]]]
    outcomes = [(name, _projects(survey, trigger)) for name, trigger in events]
    if arguments.format == "json":
        import json

        records = [{"event": name, "projects": projects} for name, projects in outcomes]
        write(json.dumps({"schemaVersion": 1, "events": records}, indent=2).encode() + b"\n")
    else:
        from forgec.render.escape import escaped  # patterns, branches and paths are anybody's

        write("\n\n".join("\n".join(map(escaped, _text(*outcome))) for outcome in outcomes).encode() + b"\n")
    return DONE


def _events(arguments: argparse.Namespace) -> "Iterator[tuple[str, Trigger]]":
    from forgec.discovery.trigger import Trigger

    for name in arguments.branch:
        yield f"push of branch {name}", Trigger(trigger_type="push", branch=name)
    for name in arguments.tag:
        yield f"push of tag {name}", Trigger(trigger_type="push", tag=name)
    if arguments.pull_request:
        yield "pull request", Trigger(trigger_type="pull_request")


def _projects(survey: "Survey", trigger: "Trigger") -> list[dict[str, Any]]:
    verdicts = survey.verdicts(trigger)
    return [
        {
            "name": project.config.name,
            "path": project.path,
            "released": verdicts[project.config.name].reason is not None,
            "why": verdicts[project.config.name].why,
            "artifacts": sorted(project.config.artifacts),
            "deployed": verdicts[project.config.name].reason is not None and bool(project.config.deployment.resources),
        }
        for project in survey.projects
    ]


def _text(event: str, projects: list[dict[str, Any]]) -> Iterator[str]:
    released = sum(project["released"] for project in projects)
    yield f"{event}: {released} of {len(projects)} project{'' if len(projects) == 1 else 's'} released"
    width = max((len(project["name"]) for project in projects), default=0)
    for project in projects:
        mark = "released    " if project["released"] else "not released"
        yield f"  {project['name']:<{width}}  {mark}  {project['why']}{_stages(project) if project['released'] else ''}"


def _stages(project: dict[str, Any]) -> str:
    artifacts = f"artifacts {', '.join(project['artifacts'])}" if project["artifacts"] else "no artifacts"
    return f"; {artifacts}, {'deployed' if project['deployed'] else 'not deployed'}"


COMMAND: Final = Command(add_arguments=_add_arguments, run=_run)
