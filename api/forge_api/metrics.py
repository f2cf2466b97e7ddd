"""Prometheus metrics of the API process: runs, phases, queues, requests, and the jobs that it ends itself.

One registry a process; nothing here is global. Repository, project and run never become labels.
"""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from forge_runtime.bus.port import QueueDepth
from forge_runtime.metrics import JobMetrics, exposition

RUN_BUCKETS_S: Final = (10, 30, 60, 120, 300, 600, 900, 1200, 1800, 2700, 3600, 7200, 14400, 28800, 86400)
"""From a run that fails in its discovery to the limit of 24 h; densest between 5 and 45 min, where people wait."""

PHASE_BUCKETS_S: Final = (1, 5, 10, 30, 60, 120, 300, 600, 900, 1200, 1800, 2700, 3600, 7200, 14400)

REQUEST_BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Up to where the database's lock and the bus give up."""


class ApiMetrics:
    """`jobs` is for the ledgers of this process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self.jobs: Final = JobMetrics(registry)
        self._runs = Histogram(
            "forge_pipeline_run_duration_seconds",
            "A run's creation to its end.",
            ("status", "trigger_type"),
            buckets=RUN_BUCKETS_S,
            registry=registry,
        )
        self._phases = Histogram(
            "forge_phase_duration_seconds",
            "The first step of a phase that began to the last that ended.",
            ("status",),
            buckets=PHASE_BUCKETS_S,
            registry=registry,
        )
        self._depth = Gauge("forge_queue_depth", "Messages of a work queue.", ("pool", "state"), registry=registry)
        self._limit = Gauge("forge_queue_limit", "Messages that a work queue may hold.", ("pool",), registry=registry)
        self._requests = Counter(
            "forge_http_requests_total", "Requests answered.", ("route", "method", "code"), registry=registry
        )
        self._request_duration = Histogram(
            "forge_http_request_duration_seconds",
            "A request's arrival to the end of its answer.",
            ("route",),
            buckets=REQUEST_BUCKETS_S,
            registry=registry,
        )

    def exposition(self) -> tuple[bytes, str]:
        """All of them as text, and its media type."""
        return exposition(self._registry)

    def run_ended(self, status: str, trigger_type: str, took_s: float) -> None:
        self._runs.labels(status, trigger_type).observe(max(0.0, took_s))

    def phase_ended(self, status: str, took_s: float) -> None:
        self._phases.labels(status).observe(max(0.0, took_s))

    def queue(self, pool: str, depth: QueueDepth) -> None:
        self._depth.labels(pool, "pending").set(depth.pending)
        self._depth.labels(pool, "in_flight").set(depth.in_flight)
        self._limit.labels(pool).set(depth.limit)

    def forget_queues(self) -> None:
        """Nobody knows how deep they are now; the last numbers would look like news."""
        self._depth.clear()
        self._limit.clear()

    def request(self, route: str, method: str, code: int, took_s: float) -> None:
        self._requests.labels(route, method, str(code)).inc()
        self._request_duration.labels(route).observe(took_s)
