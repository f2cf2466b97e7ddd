"""How fast the API's projector merges a large run's events into its database (SQLite here, in one file, synced).

Two ways of arriving: one event at a time, as from a run whose jobs take their time, and as many together as a batch may
hold, as after the API was away. Each round is a new database with the run's rows in it.
"""

import asyncio
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.api.harness import Api, Story, open_api

from benchmarks.table import Grid
from forge_api.service.outbox import drain
from forge_api.service.projector import BATCH_MAX, project_events
from forgec.plan.model import GroupPlan, PhasePlan, Plan, PlanStep, Task, Unit, Wave

PHASE: Final = "test"
PROJECTS: Final = 250
STEPS: Final = 4
ROUNDS: Final = 3
SINGLE_EVENTS: Final = 200
"""Of those that come one at a time; the rest would only take longer."""


@dataclass(frozen=True, slots=True)
class _Round:
    events: int
    wall_s: float
    cpu_s: float


def projector(folder: Path) -> Grid:
    folder.mkdir()
    rows = []
    for name, together, limit in (("one at a time", 1, SINGLE_EVENTS), (f"{BATCH_MAX} together", BATCH_MAX, None)):
        rounds = [asyncio.run(_round(folder / f"{together}-{turn}", together, limit)) for turn in range(ROUNDS)]
        rates = [each.events / each.wall_s for each in rounds]
        cpu_ms = statistics.median(1000 * each.cpu_s / each.events for each in rounds)
        rows.append([name, f"{statistics.median(rates):.0f} ({min(rates):.0f}-{max(rates):.0f})", f"{cpu_ms:.2f}"])
    return Grid(
        title="Events into the API's database",
        headings=["events/s (min-max)", "CPU an event, ms"],
        rows=rows,
        notes=(
            f"Medians of {ROUNDS} rounds. A run of {PROJECTS * STEPS:,} jobs, each of which begins and ends; its rows"
            " are there. Transactions on SQLite, in this process; reading the events from the bus is not part of it."
        ),
    )


async def _round(folder: Path, together: int, limit: int | None) -> _Round:
    async with open_api(folder) as api:
        run_id = await api.new_run()
        await drain(api.platform)
        story = Story(await api.run_record(run_id), _plan())
        story.discover()
        await story.store(api.bus)
        await project_events(api.platform, run_id, story.events)
        story.events.clear()
        for address in story.jobs:
            story.went(address)
        events = story.events[:limit]
        began, cpu = time.perf_counter(), time.process_time()
        for start in range(0, len(events), together):
            await project_events(api.platform, run_id, events[start : start + together])
        measured = _Round(len(events), time.perf_counter() - began, time.process_time() - cpu)
        told = {f"{event.address.project}/{event.address.step}" for event in events if event.address is not None}
        assert await _succeeded(api, run_id) == told, "an event is not in the database"
        return measured


async def _succeeded(api: Api, run_id: str) -> set[str]:
    phases = (await api.run(run_id))["phases"]
    tasks = [task for phase in phases if phase["name"] == PHASE for task in phase["tasks"]]
    return {
        f"{task['project_name']}/{step['name']}"
        for task in tasks
        for step in task["steps"]
        if step["status"] == "succeeded"
    }


def _plan() -> Plan:
    tasks = tuple(
        Task(
            project=f"p{number:03}",
            path=f"services/p{number:03}",
            waves=tuple(
                Wave(
                    priority=-place,
                    steps=(PlanStep(name=f"s{place}", action="earthly", target="+nothing", timeout_s=60.0),),
                )
                for place in range(STEPS)
            ),
        )
        for number in range(PROJECTS)
    )
    units = tuple(Unit(id=f"g01-test-s{n:03}", tasks=tasks[n * 10 : n * 10 + 10]) for n in range(PROJECTS // 10))
    return Plan(groups=(GroupPlan(number=1, phases=(PhasePlan(name=PHASE, units=units),)),), release=())
