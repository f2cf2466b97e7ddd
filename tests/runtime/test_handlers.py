"""The handlers of CI and discovery jobs, on real repositories and with the host runner."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.runtime import samples
from tests.runtime.repository import PROJECT_CUE, forge_files, make_repository
from tests.runtime.spans import KeptSpans

from forge_runtime.blob import DirectoryBlob
from forge_runtime.bus.memory import MemoryBus
from forge_runtime.envelope import Envelope
from forge_runtime.git.cache import GitCache
from forge_runtime.job import DiscoveryData, Job, JobState
from forge_runtime.ledger import Ledger
from forge_runtime.log import StepLog
from forge_runtime.log_store import LogStore
from forge_runtime.runner.host import HostRunner
from forge_runtime.secret.aws import AwsSecrets
from forge_runtime.secret.environment import EnvironmentSecrets
from forge_runtime.secret.port import SecretStore
from forge_runtime.secret.resolve import Secrets
from forge_runtime.span import Trace
from forge_runtime.trace import parse_traceparent, trace_id_of
from forge_runtime.worker.ci import TAIL_LINES, CiHandler
from forge_runtime.worker.discovery import DiscoveryHandler
from forge_runtime.worker.handler import JobContext, Outcome
from forge_runtime.worker.results import StoredResults
from forgec.discovery.model import Discovery
from forgec.plan.digest import digest_of, read_plan
from forgec.plan.model import PlanStep, Task

HEADER = "VERSION 0.8\nFROM alpine:3.20\nunit:\n"


class Bench:
    """One attempt of one job of a repository of these files."""

    def __init__(self, folder: Path, files: Mapping[str, str]) -> None:
        self.folder = folder
        url, sha = make_repository(folder / "origin", files)
        self.run = msgspec.structs.replace(
            samples.run_record(samples.new_run_id(), clone_url=url, commit_sha=sha),
            traceparent="00-0102030405060708090a0b0c0d0e0f10-1112131415161718-01",
        )
        self.cache = GitCache(folder / "git", allow_file=True)
        self.documents = MemoryDocuments()
        self.stores: dict[str, SecretStore] = {}
        self.log = ""
        self.spans = KeptSpans()

    def ci_job(self, timeout_s: float = 30.0, secrets: tuple[dict[str, Any], ...] = ()) -> Job:
        step = PlanStep(name="unit", action="earthly", target="+unit", timeout_s=timeout_s, secrets=secrets)
        return Envelope(self.run, 0.0).ci_job("test", Task(project="web", path="web", waves=()), step)

    async def ci(self, timeout_s: float = 30.0, secrets: tuple[dict[str, Any], ...] = ()) -> Outcome:
        async with self._context() as context:
            handler = CiHandler(self.cache, HostRunner(), Secrets(stores=self.stores))
            return await handler.handle(self.ci_job(timeout_s, secrets), context)

    async def discover(self) -> Outcome:
        async with self._context() as context:
            return await DiscoveryHandler(self.cache).handle(Envelope(self.run, 0.0).discovery_job(), context)

    @asynccontextmanager
    async def _context(self) -> AsyncIterator[JobContext]:
        scratch = self.folder / "scratch"
        scratch.mkdir()

        async def send(_offset: int, _data: bytes) -> None:
            return None

        blob = DirectoryBlob(self.folder / "blob")
        log = StepLog(self.folder / "log", send, lambda: LogStore(blob, "log"))
        yield JobContext(
            worker="worker-1",
            component="worker.tasks",
            attempt=1,
            folder=scratch,
            documents=self.documents,
            results=StoredResults(Ledger(MemoryBus(), 0.0), blob, self.run.run_id),
            log=log,
            clock=lambda: 0.0,
            trace=Trace(parse_traceparent(self.run.traceparent), self.spans),
        )
        await log.finish()
        self.log = (await blob.get("log") or b"").decode()


def files_with(text: bytes, folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file() and text in file.read_bytes()]


class MemoryDocuments:
    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}

    async def put(self, digest: str, data: bytes) -> None:
        self.stored[digest] = data


async def test_step_runs_on_the_commit_and_its_output_is_the_log(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {**forge_files(HEADER + "    COPY hello .\n    RUN cat hello\n"), "web/hello": "hello\n"})

    outcome = await bench.ci()

    assert (outcome.status, outcome.exit_code, outcome.error) == (JobState.SUCCEEDED, 0, None)
    assert " hello\n" in bench.log


async def test_step_sees_what_it_belongs_to(tmp_path: Path) -> None:
    bench = Bench(tmp_path, forge_files(HEADER + "    RUN env | grep -E '^(FORGE_|TRACEPARENT)' | sort\n"))

    await bench.ci()

    printed = [line.partition("+unit | ")[2] for line in bench.log.splitlines()]
    assert [line for line in printed if line.startswith(("FORGE_", "TRACEPARENT="))] == [
        f"FORGE_COMMIT={bench.run.commit_sha}",
        "FORGE_PHASE=test",
        "FORGE_PROJECT=web",
        f"FORGE_RUN_ID={bench.run.run_id}",
        printed[-1],
    ]
    assert bench.run.traceparent is not None
    step = parse_traceparent(printed[-1].removeprefix("TRACEPARENT="))
    assert step is not None
    assert step.trace_id == trace_id_of(bench.run.traceparent)
    assert step.span_id not in bench.run.traceparent


async def test_a_steps_secret_reaches_the_command_that_asks_for_it_and_nothing_else(tmp_path: Path) -> None:
    earthfile = (
        HEADER + "    RUN env | grep -c n0t-t0ld || true\n"
        "    RUN --secret TOKEN test $TOKEN = n0t-t0ld\n"
        "    RUN --secret TOKEN echo the token is $TOKEN; exit 7\n"
    )
    bench = Bench(tmp_path, forge_files(earthfile))
    bench.stores["env"] = EnvironmentSecrets({"FORGE_SECRET_CI_NPM": "n0t-t0ld"})

    outcome = await bench.ci(secrets=({"provider": "env", "secretName": "npm", "name": "TOKEN"},))

    assert outcome.exit_code == 7
    assert "+unit | 0" in bench.log
    assert "+unit | the token is ***" in bench.log
    assert not files_with(b"n0t-t0ld", tmp_path / "blob") + files_with(b"n0t-t0ld", tmp_path / "scratch")
    assert "n0t-t0ld" not in str(outcome)


async def test_a_steps_secret_is_hidden_in_what_its_span_says_of_its_failure(tmp_path: Path) -> None:
    bench = Bench(tmp_path, forge_files(HEADER + "    RUN --secret TOKEN exit $TOKEN\n"))
    # A value that the place of every error holds: by itself no other part of a secret gets into one.
    bench.stores["env"] = EnvironmentSecrets({"FORGE_SECRET_CI_TOKEN": "Earthfile"})
    await bench.ci(secrets=({"provider": "env", "secretName": "token", "name": "TOKEN"},))

    (span,) = bench.spans.named("step")
    assert span.error is not None
    assert span.error == "STEP_FAILED: web/***:4:5: RUN exit $TOKEN exited with 2"


@pytest.mark.parametrize(
    ("store", "error_class", "reason"),
    [
        (EnvironmentSecrets({}), "config", 'there is no secret ci/npm at the provider "env"'),
        (None, "config", 'this worker has no secrets of the provider "env"'),
    ],
    ids=["no such secret", "no such provider"],
)
async def test_step_without_its_secret_does_not_run(
    tmp_path: Path, store: SecretStore | None, error_class: str, reason: str
) -> None:
    bench = Bench(tmp_path, forge_files(HEADER + "    RUN echo ran\n"))
    if store is not None:
        bench.stores["env"] = store

    outcome = await bench.ci(secrets=({"provider": "env", "secretName": "npm", "name": "TOKEN"},))

    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.error_class) == ("SECRET_UNRESOLVED", error_class)
    assert reason in outcome.error.message
    assert "ran" not in bench.log


async def test_step_whose_secret_cannot_be_had_now_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    bench = Bench(tmp_path, forge_files(HEADER + "    RUN echo ran\n"))
    bench.stores["aws"] = AwsSecrets("http://127.0.0.1:9")

    outcome = await bench.ci(secrets=({"provider": "aws", "secretName": "npm", "name": "T", "region": "us-east-1"},))

    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.error_class) == ("SECRET_UNRESOLVED", "infra")


async def test_failed_step_tells_its_command_and_its_last_lines(tmp_path: Path) -> None:
    bench = Bench(tmp_path, forge_files(HEADER + "    RUN seq 100; exit 3\n"))

    outcome = await bench.ci()

    assert (outcome.status, outcome.exit_code) == (JobState.FAILED, 3)
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.error_class) == ("STEP_FAILED", "user")
    assert "seq 100" in outcome.error.context["command"]
    tail = outcome.error.context["tail"]
    assert len(tail) == TAIL_LINES
    assert "+unit | 100" in tail


async def test_step_beyond_its_limit_fails_as_a_timeout(tmp_path: Path) -> None:
    bench = Bench(tmp_path, forge_files(HEADER + "    RUN sleep 60\n"))

    outcome = await bench.ci(timeout_s=0.5)

    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.error_class) == ("STEP_TIMEOUT", "timeout")


@pytest.mark.parametrize("leaf", ["ci", "discover"])
async def test_commit_that_cannot_be_had_is_the_jobs_error(tmp_path: Path, leaf: str) -> None:
    bench = Bench(tmp_path, forge_files(HEADER + "    RUN true\n"))
    bench.run = msgspec.structs.replace(bench.run, commit_sha="f" * 40)

    outcome = await (bench.ci() if leaf == "ci" else bench.discover())

    assert outcome.status is JobState.FAILED
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.error_class) == ("COMMIT_NOT_FOUND", "config")


async def test_discovery_stores_the_document_and_its_plan(tmp_path: Path) -> None:
    bench = Bench(tmp_path, forge_files(HEADER + "    RUN true\n"))

    outcome = await bench.discover()

    data = outcome.data
    assert isinstance(data, DiscoveryData)
    assert (data.groups, data.projects) == ((("g01-test-s001",),), 1)
    plan = read_plan(bench.documents.stored[data.plan_digest])
    assert plan.dispatch("g01-test-s001") is not None
    document = bench.documents.stored[data.discovery_digest]
    assert msgspec.json.decode(document, type=Discovery).commit_sha == bench.run.commit_sha
    assert all(digest_of(stored) == digest for digest, stored in bench.documents.stored.items())


async def test_discovery_reports_every_error_and_stores_nothing(tmp_path: Path) -> None:
    project = PROJECT_CUE.replace("+unit", "+unti").replace("test:", "tset:")
    bench = Bench(tmp_path, forge_files(HEADER + "    RUN true\n", project=project))

    outcome = await bench.discover()

    assert outcome.status is JobState.FAILED
    assert outcome.error is not None
    assert outcome.error.error_class == "config"
    assert outcome.error.location is not None
    assert outcome.error.location.file == "web/.forge/project.cue"
    diagnostics = outcome.error.context["diagnostics"]
    assert "FC304" in diagnostics
    assert "FC307" in diagnostics
    assert "FC307" in bench.log
    assert bench.documents.stored == {}
