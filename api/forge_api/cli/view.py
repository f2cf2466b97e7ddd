"""What a run looks like, from the API's document of it: rows of text, before any screen.

Shared by the live screen (a terminal) and the plain one (a log): both say the same things in the same words.
Texts of the repository are shown without control characters, since whoever wrote them is not trusted.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from forgec.ids import DISCOVERY_PHASE, RELEASE_PHASE
from forgec.units import format_duration

TERMINAL: Final = frozenset({"succeeded", "failed", "cancelled", "skipped"})
SILENT_LEASE_S: Final = 17.0
"""A healthy worker renews its 30 s lease every 10 s, so less than 20 s are never left; 3 s allow for a busy machine."""

_TITLES: Final = {DISCOVERY_PHASE: "discovery", RELEASE_PHASE: "release"}


@dataclass(frozen=True, slots=True, kw_only=True)
class StepView:
    """One step: `name` is `project/step`, of discovery the step alone; `elapsed_s` its run time so far."""

    id: str
    phase: str
    name: str
    status: str
    elapsed_s: float | None
    attempt: int
    worker: str | None
    exit_code: int | None
    error: Mapping[str, Any] | None

    @property
    def ended(self) -> bool:
        return self.status in TERMINAL


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseView:
    name: str
    group: int
    status: str
    elapsed_s: float | None
    steps: tuple[StepView, ...]

    @property
    def done(self) -> int:
        """Steps that ran to their end; stopped and skipped ones did not."""
        return sum(step.status in ("succeeded", "failed") for step in self.steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    id: str
    title: str
    status: str
    elapsed_s: float
    phases: tuple[PhaseView, ...]
    error: Mapping[str, Any] | None
    releases: tuple[Mapping[str, Any], ...] = ()
    warnings: tuple[Mapping[str, Any], ...] = ()

    @property
    def over(self) -> bool:
        return self.status in TERMINAL

    def steps(self) -> Iterator[StepView]:
        for phase in self.phases:
            yield from phase.steps


def view_run(run: Mapping[str, Any], now: datetime) -> RunView:
    """The view of an API document at a time (aware; it ends the clocks of what still runs)."""
    branch = run.get("branch") or run.get("tag") or run.get("ref") or "detached"
    phases = sorted(run.get("phases") or [], key=lambda phase: (phase["group_number"], phase["name"]))
    return RunView(
        id=run["id"],
        title=clean(f"{run['repository']} {branch} {run['commit_sha'][:10]} ({run['trigger_type']})"),
        status=run["status"],
        elapsed_s=_elapsed(run.get("created_at"), run.get("completed_at"), now) or 0.0,
        phases=tuple(_view_phase(phase, now) for phase in phases),
        error=run.get("error"),
        releases=tuple(run.get("releases") or ()),
        warnings=tuple(run.get("warnings") or ()),
    )


def waiting_notes(jobs: Sequence[Mapping[str, Any]], now: datetime) -> list[str]:
    """What a person should know of jobs whose worker fell silent, or who wait for a worker at all."""
    notes = []
    for job in jobs:
        until = job.get("lease_until")
        if job.get("status") != "leased" or until is None:
            continue
        left_s = (datetime.fromisoformat(until) - now).total_seconds()
        if left_s < SILENT_LEASE_S:
            what = clean(str(job.get("name") or job["job_id"]))
            when = f"in {left_s:.0f}s" if left_s > 0 else "now"
            notes.append(f"{clean(str(job.get('worker')))} does not answer: {what} goes to another worker {when}")
    return notes


def failure_report(run: RunView) -> list[str]:
    """The first failure in full: project, step, phase, command, place, and the end of its log."""
    failed = [step for step in run.steps() if step.status == "failed"]
    if not failed:
        return [clean(f"{run.error.get('code')}: {run.error.get('message')}")] if run.error else []
    first = _first_failure(failed, run.error)
    error = first.error or {}
    context = error.get("context") or {}
    place = error.get("location") or {}
    lines = [f"{clean(first.name)} failed in phase {first.phase}" + _exit_code_words(first.exit_code)]
    if context.get("command"):
        lines.append(f"  command  {clean(str(context['command']))}")
    if place.get("file"):
        lines.append(f"  place    {clean(str(place['file']))}" + (f":{place['line']}" if place.get("line") else ""))
    if error.get("message"):
        lines.append(f"  because  {clean(str(error['message']))}")
    report = str(context.get("diagnostics") or "").splitlines() or context.get("tail") or []
    lines += [f"  | {clean(str(line))}".rstrip() for line in report]
    others = [clean(step.name) for step in failed if step is not first]
    if others:
        lines.append(f"  also failed: {', '.join(others)}")
    return lines


def release_report(run: RunView) -> list[str]:
    """What the run released, under which names, and which commit deploys it where."""
    lines = []
    for release in run.releases:
        names = ", ".join(clean(str(alias)) for alias in release["aliases"])
        partial = "  (partial: a publisher failed)" if release["partial"] else ""
        lines.append(f"released {clean(release['project'])} as {names}{partial}")
        lines.append(f"  image     {clean(release['oci_uri'])}")
        lines.append(f"            {clean(release['oci_digest'])}")
        for deployment in release["deployments"]:
            commit = deployment.get("gitops_commit_sha")
            how = f"commit {clean(commit)}" if commit else deployment["status"]
            lines.append(f"  {clean(deployment['environment']):<8}  {how}")
    for warning in run.warnings:
        lines.append(f"warning: {clean(warning['project'])}/{clean(warning['step'])}: {clean(str(warning['message']))}")
    return lines


def clean(text: str) -> str:
    """One line without control and direction characters, so that no text can draw over a terminal."""
    return "".join(character if character.isprintable() else "�" for character in text.replace("\t", "    "))


def _view_phase(phase: Mapping[str, Any], now: datetime) -> PhaseView:
    name = _TITLES.get(phase["name"], phase["name"])
    steps = [
        StepView(
            id=step["id"],
            phase=name,
            name=f"{task['project_name']}/{step['name']}" if phase["name"] != DISCOVERY_PHASE else step["name"],
            status=step["status"],
            elapsed_s=_elapsed(step.get("started_at"), step.get("completed_at"), now),
            attempt=step.get("attempt") or 1,
            worker=step.get("worker"),
            exit_code=step.get("exit_code"),
            error=step.get("error"),
        )
        for task in phase.get("tasks") or []
        for step in task.get("steps") or []
    ]
    return PhaseView(
        name=name,
        group=phase["group_number"],
        status=phase["status"],
        elapsed_s=_elapsed(phase.get("started_at"), phase.get("completed_at"), now),
        steps=tuple(steps),
    )


def _first_failure(failed: Sequence[StepView], error: Mapping[str, Any] | None) -> StepView:
    """The one that the run's error speaks of, if it says so; siblings may fail while they are stopped."""
    context = (error or {}).get("context") or {}
    for step in failed:
        if context.get("step_id") == step.id:
            return step
    return failed[0]


def _exit_code_words(code: int | None) -> str:
    return f" with exit code {code}" if code is not None else ""


def _elapsed(started: str | None, ended: str | None, now: datetime) -> float | None:
    if started is None:
        return None
    until = datetime.fromisoformat(ended) if ended else now
    return max(0.0, (until - datetime.fromisoformat(started)).total_seconds())


def duration(seconds: float | None) -> str:
    return format_duration(seconds) if seconds is not None else ""
