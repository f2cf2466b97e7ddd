"""An API on SQLite, the in-memory bus and the in-memory engine, driven step by step: nothing runs in the background."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import msgspec
from fastapi import FastAPI

from forge_api.app import create_app
from forge_api.environment import STANDARD
from forge_api.service.platform import Platform, Ports
from forge_api.settings import ApiSettings
from forge_runtime import subject
from forge_runtime.blob import DirectoryBlob
from forge_runtime.bus.memory import MemoryBus
from forge_runtime.engine.memory import MemoryEngine
from forge_runtime.envelope import Envelope, ended_event, running_event
from forge_runtime.event import Event, EventKind
from forge_runtime.job import DiscoveryData, ErrorRecord, Job, JobRecord, JobResult, JobState, encode, utc_text
from forge_runtime.run import RunRecord, decode_run
from forge_runtime.span import Tracer, Untraced
from forgec.plan.digest import canonical_json, digest_of
from forgec.plan.model import GroupPlan, PhasePlan, Plan, PlanStep, Task, Unit, Wave

TOKEN = "t" * 43
OTHERS = ("worker", "worker-artifact", "worker-release", "developer.dev", "approver.ada", "approver.bob")
"""Beside the operator: whom the files of the tokens' directory are named for."""

ENVIRONMENTS = dict(STANDARD) | {
    "production": msgspec.structs.replace(STANDARD["production"], approvers=("user:ada", "user:bob"))
}
SHA = "a" * 40
REPOSITORY = "acme/shop"


class Clock:
    """A time that moves when told to, and a little with each look, so that no two rows are equally old."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.at += timedelta(milliseconds=1)
        return self.at

    def forward(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass(slots=True, kw_only=True)
class Api:
    """The parts of one API under test."""

    app: FastAPI
    platform: Platform
    client: httpx2.AsyncClient
    bus: MemoryBus
    engine: MemoryEngine
    blob: DirectoryBlob
    clock: Clock

    def by(self, who: str) -> httpx2.AsyncClient:
        """A client of somebody else than the operator; ended with the test."""
        return client_of(self.app, token_of(who))

    async def register(self, repository: str = REPOSITORY, **fields: Any) -> httpx2.Response:
        body = {"clone_url": f"https://github.com/{repository}.git"} | fields
        return await self.client.put(f"/v1/repositories/{repository}", json=body)

    async def post_run(self, **fields: Any) -> httpx2.Response:
        headers = fields.pop("headers", {})
        body = {"repository": REPOSITORY, "commit_sha": SHA, "branch": "main"} | fields
        return await self.client.post("/v1/runs", json=body, headers=headers)

    async def new_run(self, **fields: Any) -> str:
        await self.register()
        response = await self.post_run(**fields)
        assert response.status_code == 201, response.text
        run_id: str = response.json()["id"]
        return run_id

    async def run(self, run_id: str) -> dict[str, Any]:
        response = await self.client.get(f"/v1/runs/{run_id}")
        assert response.status_code == 200, response.text
        document: dict[str, Any] = response.json()
        return document

    async def run_record(self, run_id: str) -> RunRecord:
        entry = await self.bus.runs.get(subject.run_key(run_id))
        assert entry is not None
        return decode_run(entry.value)


def settings(tmp_path: Path, **fields: Any) -> ApiSettings:
    tmp_path.mkdir(exist_ok=True)
    token_file = tmp_path / "api.token"
    token_file.write_text(TOKEN + "\n")
    token_file.chmod(0o600)
    tokens_dir = tmp_path / "tokens"
    tokens_dir.mkdir(exist_ok=True)
    for who in OTHERS:
        (tokens_dir / who).touch(mode=0o600)
        (tokens_dir / who).write_text(token_of(who))
    defaults: dict[str, Any] = {
        "data_dir": tmp_path,
        "token_file": token_file,
        "tokens_dir": tokens_dir,
        "environments": ENVIRONMENTS,
        "database_url": database_url(tmp_path),
        "file_clone": True,
        "nats_credentials": tmp_path / "nats.token",
    }
    return ApiSettings(**defaults | fields)


def database_url(tmp_path: Path) -> str:
    """The database of an API whose folder this is; the fixture `each_database` gives another."""
    return f"sqlite+aiosqlite:///{tmp_path / 'forge.db'}"


def token_of(who: str) -> str:
    return f"token-of-{who}".ljust(43, "-")


@asynccontextmanager
async def open_api(
    tmp_path: Path,
    bus: MemoryBus | None = None,
    engine: MemoryEngine | None = None,
    tracer: Tracer | None = None,
    **fields: Any,
) -> AsyncIterator[Api]:
    """An API whose background work is called by the test; `fields` are of its settings."""
    bus, engine, clock = bus or MemoryBus(), engine or MemoryEngine(), Clock()
    blob = DirectoryBlob(tmp_path / "objects")
    wired = replace(ports(bus, engine, blob, clock), tracer=tracer or Untraced())
    app = create_app(settings(tmp_path, **fields), wired)
    platform: Platform = app.state.platform
    platform.bus = bus
    await platform.database.migrate()
    async with client_of(app) as client:
        try:
            yield Api(app=app, platform=platform, client=client, bus=bus, engine=engine, blob=blob, clock=clock)
        finally:
            await platform.database.close()


def ports(bus: MemoryBus, engine: MemoryEngine, blob: DirectoryBlob, clock: Clock) -> Ports:
    numbers = itertools.count(1)

    async def connect() -> MemoryBus:
        return bus

    return Ports(
        connect=connect,
        engine=engine,
        blob=blob,
        now=clock,
        random=lambda length: next(numbers).to_bytes(length, "big"),
    )


def client_of(app: FastAPI, token: str | None = TOKEN) -> httpx2.AsyncClient:
    """Speaks HTTP to the application; an exception in it is a 500 here, as it is to everybody."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx2.AsyncClient(transport=transport, base_url="http://forge.test", headers=headers)


def sample_plan() -> Plan:
    """Two projects checked together, then one of them tested in two waves; a third phase has no tasks."""
    return Plan(
        groups=(
            GroupPlan(number=1, phases=(_phase("check", 1, web=["lint"], api=["lint"]),)),
            GroupPlan(
                number=2,
                phases=(_phase("test", 2, api=["unit", "smoke"]), PhasePlan(name="docs", units=())),
            ),
        ),
        release=(),
    )


def _phase(name: str, index: int, **steps: list[str]) -> PhasePlan:
    tasks = tuple(
        Task(project=project, path=f"services/{project}", waves=tuple(_wave(name, i) for i, name in enumerate(names)))
        for project, names in steps.items()
    )
    return PhasePlan(name=name, units=(Unit(id=f"g{index:02}-{name}-s001", tasks=tasks),))


def _wave(name: str, index: int) -> Wave:
    step = PlanStep(name=name, action="earthly", target=f"+{name}", timeout_s=60.0)
    return Wave(priority=-index, steps=(step,))


class Story:
    """The jobs of a run, how each went, and what was told of it: records for the bus, events for the projector.

    Starts 10 s apart, each job 5 s long. `starts` of a job above 1: it was begun that often.
    """

    def __init__(self, record: RunRecord, plan: Plan) -> None:
        self.plan = plan
        self.plan_data = canonical_json(plan)
        self.discovery_data = msgspec.json.encode({"schemaVersion": 1, "projects": []})
        self.digest = digest_of(self.plan_data)
        self.run_id = record.run_id
        self._at = 1_800_000_000.0
        envelope = Envelope(record, self._at, self.digest)
        self.discovery = Envelope(record, self._at).discovery_job()
        self.jobs: dict[str, Job] = {
            f"{phase.name}/{task.project}/{step.name}": envelope.ci_job(phase.name, task, step)
            for _, phase, unit in plan.units()
            for task in unit.tasks
            for wave in task.waves
            for step in wave.steps
        }
        self.records: list[JobRecord] = []
        self.events: list[Event] = []

    def discover(self, state: JobState = JobState.SUCCEEDED, starts: int = 1) -> None:
        data = DiscoveryData(
            discovery_digest=digest_of(self.discovery_data),
            plan_digest=self.digest,
            groups=tuple(group.unit_ids for group in self.plan.working_groups),
            release=(),
            projects=2,
        )
        raw = msgspec.to_builtins(data) if state is JobState.SUCCEEDED else None
        self._went(self.discovery, state, starts=starts, data=raw)

    def went(
        self, address: str, state: JobState = JobState.SUCCEEDED, starts: int = 1, *, handed_back: bool = False
    ) -> None:
        """`handed_back`: a worker began the job and drained, which does not count as a start."""
        if handed_back:
            self._at += 10
            record = JobRecord(
                state=JobState.LEASED,
                job=self.jobs[address],
                submitted_at=self._at,
                starts=1,
                worker="worker-0",
                started_at=self._at,
            )
            self.events.append(running_event(record))
        self._went(self.jobs[address], state, starts=starts, data=None)

    def finish(self, status: str = "succeeded") -> Event:
        self._at += 10
        event = Event(kind=EventKind.FINISH, run_id=self.run_id, status=status, at=utc_text(self._at))
        self.events.append(event)
        return event

    async def store(self, bus: MemoryBus) -> None:
        """Put documents and records where workers put them."""
        for data in (self.plan_data, self.discovery_data):
            await bus.put_object(digest_of(data), data)
        for record in self.records:
            await bus.jobs.put(subject.job_key(self.run_id, record.job.job_id), encode(record))

    def _went(self, job: Job, state: JobState, *, starts: int, data: dict[str, Any] | None) -> None:
        record = JobRecord(state=JobState.QUEUED, job=job, submitted_at=self._at)
        for start in range(1, starts + 1):
            self._at += 10
            record = msgspec.structs.replace(
                record, state=JobState.LEASED, starts=start, worker=f"worker-{start}", started_at=self._at
            )
            self.events.append(running_event(record))
        self._at += 5
        error = None
        if state is JobState.FAILED:
            error = ErrorRecord(code="STEP_FAILED", message="exit code 3", component="worker.ci", error_class="user")
        result = JobResult(
            job_id=job.job_id,
            status=state,
            data=data,
            error=error,
            exit_code=3 if error else 0,
            completed_at=utc_text(self._at),
            log_key=f"pipeline-runs/{self.run_id}/logs/{job.job_id}.log",
        )
        record = msgspec.structs.replace(record, state=state, result=result)
        self.records.append(record)
        self.events.append(ended_event(record, self._at))


def statuses(run: dict[str, Any]) -> dict[str, str]:
    """`phase/project/step` -> status, and `phase` -> status."""
    found = {}
    for phase in run["phases"]:
        found[phase["name"]] = phase["status"]
        for task in phase["tasks"]:
            for step in task["steps"]:
                found[f"{phase['name']}/{task['project_name']}/{step['name']}"] = step["status"]
    return found
