"""Prometheus metrics of jobs and of workers. Repository, project and run are in log lines and traces, never labels.

A process has one registry, and hands it on; nothing here is global.
"""

from contextlib import AbstractContextManager
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from forge_runtime.job import JobRecord, JobState
from forge_runtime.meter import CacheResult, PushResult, SlotState

DURATION_BUCKETS_S: Final = (1, 2.5, 5, 10, 30, 60, 120, 300, 600, 900, 1200, 1800, 2700, 3600, 7200)
"""From a lint of a second to the longest limits. Those of the job types (10, 15, 30, 45 min) are bounds of buckets, so
that what lies above a limit, or close below it, can be read off exactly."""

WAIT_BUCKETS_S: Final = (0.01, 0.05, 0.25, 1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200)
"""A free worker has a job within milliseconds; 30 s is a lost worker's lease, 1 h and 2 h the limits of the wait."""

NO_CLASS: Final = "none"
"""The label `class` of a job that has no error."""


def new_registry() -> CollectorRegistry:
    """With what the operating system says of this process: CPU time, memory, open files."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry


class JobMetrics:
    """A JobObserver: ends of jobs and dead letters, by whoever wrote them (workers, and the API's sweeper)."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._jobs = Counter(
            "forge_jobs_total", "Jobs that ended, by how.", ("type", "status", "class"), registry=registry
        )
        self._duration = Histogram(
            "forge_job_duration_seconds",
            "Last start of a job to its end.",
            ("type", "status"),
            buckets=DURATION_BUCKETS_S,
            registry=registry,
        )
        self._dead_letters = Counter("forge_dead_letters_total", "Dead letters written.", ("pool",), registry=registry)

    def changed(self, before: JobRecord, after: JobRecord, now: float) -> None:
        if not after.state.terminal or before.state.terminal:
            return
        error = after.result.error if after.result is not None else None
        error_class = NO_CLASS if error is None else error.error_class
        self._jobs.labels(after.job.type, after.state, error_class).inc()
        if before.state is JobState.LEASED and before.started_at is not None:
            self._duration.labels(after.job.type, after.state).observe(max(0.0, now - before.started_at))

    def buried(self, pool: str) -> None:
        self._dead_letters.labels(pool).inc()


class WorkerMetrics(JobMetrics):
    """Also a Meter: what only a worker knows."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self._wait = Histogram(
            "forge_job_queue_wait_seconds",
            "A job's entry into its queue, or return to it, to its next start.",
            ("type",),
            buckets=WAIT_BUCKETS_S,
            registry=registry,
        )
        self._slots = Gauge(
            "forge_worker_slots",
            "Slots that work for a pool, and slots that would take its next job.",
            ("pool", "state"),
            registry=registry,
        )
        self._redeliveries = Counter(
            "forge_job_redeliveries_total", "Messages handed out again.", ("pool",), registry=registry
        )
        self._leases_lost = Counter(
            "forge_lease_lost_total", "Attempts that lost their job to another.", ("pool",), registry=registry
        )
        self._offers = Counter(
            "forge_job_offers_total",
            "Jobs offered to the worker of their project's earlier step.",
            ("pool", "result"),
            registry=registry,
        )
        self._cache = Counter(
            "forge_git_cache_requests_total", "Commits asked for, by what they cost.", ("result",), registry=registry
        )
        self._runners = Gauge(
            "forge_earthly_runner_up", "Whether a build daemon may be given steps.", ("runner",), registry=registry
        )
        self._pushes = Counter(
            "forge_gitops_push_attempts_total",
            "Pushes to the GitOps repository, by what came of them.",
            ("result",),
            registry=registry,
        )

    def changed(self, before: JobRecord, after: JobRecord, now: float) -> None:
        super().changed(before, after, now)
        if before.state is JobState.QUEUED and after.state is JobState.LEASED:
            self._wait.labels(after.job.type).observe(max(0.0, now - before.submitted_at))

    def slot(self, pool: str, state: SlotState) -> AbstractContextManager[None]:
        return self._slots.labels(pool, state).track_inprogress()

    def redelivered(self, pool: str) -> None:
        self._redeliveries.labels(pool).inc()

    def lease_lost(self, pool: str) -> None:
        self._leases_lost.labels(pool).inc()

    def offered(self, pool: str, taken: bool) -> None:
        self._offers.labels(pool, "taken" if taken else "kept").inc()

    def cache_asked(self, result: CacheResult) -> None:
        self._cache.labels(result).inc()

    def runner_up(self, runner: str, up: bool) -> None:
        self._runners.labels(runner).set(up)

    def pointers_pushed(self, result: PushResult) -> None:
        self._pushes.labels(result).inc()


def exposition(registry: CollectorRegistry) -> tuple[bytes, str]:
    """All metrics as text, and its media type."""
    return generate_latest(registry), CONTENT_TYPE_LATEST
