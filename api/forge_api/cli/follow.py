"""Watching a run to its end: a live picture on a terminal, one line a step elsewhere."""

import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from forge_api.cli.client import ApiClient
from forge_api.cli.view import PhaseView, RunView, StepView, duration, view_run, waiting_notes

POLL_S: Final = 0.2
JOBS_POLL_S: Final = 1.0

_STYLES: Final = {
    "succeeded": "green",
    "failed": "bold red",
    "cancelled": "yellow",
    "skipped": "dim",
    "running": "cyan",
    "discovering": "cyan",
}
_WORDS: Final = {"succeeded": "ok", "failed": "FAILED", "cancelled": "stopped", "skipped": "skipped"}


class Screen(Protocol):
    def show(self, run: RunView, notes: list[str]) -> None: ...


def follow(client: ApiClient, run_id: str, console: Console) -> RunView:
    """Show a run until it is over, and return its last view. An API that is away is waited for, a minute at most."""
    live = Live(console=console, refresh_per_second=8, transient=False) if console.is_terminal else None
    screen: Screen = LiveScreen(live) if live is not None else PlainScreen(console.file.write)
    context: AbstractContextManager[Any] = live if live is not None else nullcontext()
    notes: list[str] = []
    jobs_asked = time.monotonic()
    run: RunView | None = None
    with context:
        while True:

            def away(seconds: float, last: RunView | None = run) -> None:
                if last is not None:
                    screen.show(last, [f"the API does not answer ({seconds:.0f}s); asking again"])

            document = client.patiently(lambda: client.run(run_id), away)
            now = datetime.now(UTC)
            run = view_run(document, now)
            if run.over:
                screen.show(run, [])
                return run
            if time.monotonic() - jobs_asked > JOBS_POLL_S:
                jobs_asked = time.monotonic()
                notes = waiting_notes(client.patiently(lambda: client.jobs(run_id), away), now)
            screen.show(run, notes)
            time.sleep(POLL_S)


class PlainScreen:
    """Says each thing once: a step when it ends, a note when it is new."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._said: set[str] = set()

    def show(self, run: RunView, notes: list[str]) -> None:
        for phase in run.phases:
            for step in phase.steps:
                if step.ended and step.status != "skipped":
                    self._once(step.id, f"  {_WORDS[step.status]:<8} {phase.name:<10} {_step_words(step)}")
            if phase.status == "skipped":
                self._once(f"phase {phase.name}", f"  {'skipped':<8} {phase.name}")
        for note in notes:
            self._once(note.partition(":")[0], f"  waiting: {note}")
        sys.stdout.flush()

    def _once(self, key: str, line: str) -> None:
        if key not in self._said:
            self._said.add(key)
            self._write(line.rstrip() + "\n")


class LiveScreen:
    """Phases with bars, and below each what runs or failed."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def show(self, run: RunView, notes: list[str]) -> None:
        head = Text(f"{run.title}  ")
        head.append(run.status, _STYLES.get(run.status, ""))
        head.append(f"  {duration(run.elapsed_s)}", "dim")
        table = Table.grid(padding=(0, 2))
        for phase in run.phases:
            self._phase_rows(table, phase)
        self._live.update(Group(head, table, *(Text(f"  waiting: {note}", "yellow") for note in notes)))

    def _phase_rows(self, table: Table, phase: PhaseView) -> None:
        style = _STYLES.get(phase.status, "dim")
        total = max(1, len(phase.steps))
        table.add_row(
            Text(f"  {phase.name}", style),
            ProgressBar(total=total, completed=phase.done, width=24, complete_style=style, finished_style=style),
            Text("skipped" if phase.status == "skipped" else f"{phase.done}/{len(phase.steps)}", "dim"),
            Text(duration(phase.elapsed_s), "dim"),
        )
        for step in phase.steps:
            if step.status in ("running", "failed"):
                words = Text(f"    {_WORDS.get(step.status, '●')} ", _STYLES[step.status])
                table.add_row(words.append(step.name), "", "", Text(duration(step.elapsed_s), "dim"))


def _step_words(step: StepView) -> str:
    again = f"  (start {step.attempt})" if step.attempt > 1 else ""
    return f"{step.name:<34} {duration(step.elapsed_s):>7}{again}"
