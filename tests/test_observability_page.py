"""docs/observability.md against the code: every metric, every label, no other."""

import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from forge_api.metrics import ApiMetrics
from forge_runtime.metrics import JobMetrics, WorkerMetrics

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "observability.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(forge_\w+)` \| (\w+) \| ([^|]*) \|", re.MULTILINE)

Metric = tuple[str, str, tuple[str, ...]]
"""Name, type and labels."""


def told(heading: str) -> set[Metric]:
    """The rows of the table below a heading."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return {(name, kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in ROW.findall(section)}


def registered(registry: CollectorRegistry) -> set[Metric]:
    """Ours: what the client library says of the process is its own."""
    collectors: list[Any] = list(registry._collector_to_names)
    return {
        (f"{each._name}_total" if each._type == "counter" else each._name, each._type, each._labelnames)
        for each in collectors
        if hasattr(each, "_labelnames")
    }


def jobs_only() -> set[Metric]:
    registry = CollectorRegistry()
    JobMetrics(registry)
    return registered(registry)


def test_page_tells_the_metrics_that_both_processes_have() -> None:
    assert told("Metrics of workers and of the API") == jobs_only()


def test_page_tells_the_metrics_of_workers() -> None:
    registry = CollectorRegistry()
    WorkerMetrics(registry)

    assert told("Metrics of workers") == registered(registry) - jobs_only()


def test_page_tells_the_metrics_of_the_api() -> None:
    registry = CollectorRegistry()
    ApiMetrics(registry)

    assert told("Metrics of the API") == registered(registry) - jobs_only()


@pytest.mark.parametrize("expression", re.findall(r"^\| [^|]+ \| `([^`]*forge_[^`]*)`", PAGE, re.MULTILINE))
def test_alert_asks_for_metrics_that_there_are(expression: str) -> None:
    known = {name for heading in PAGE.split("\n## ")[1:] for name, _, _ in told(heading.partition("\n")[0])}
    asked = {name.removesuffix("_bucket") for name in re.findall(r"forge_\w+", expression)}

    assert asked <= known


def test_no_label_names_a_run_or_whose_it_is() -> None:
    labels = {
        label
        for heading in PAGE.split("\n## ")[1:]
        for *_, names in told(heading.partition("\n")[0])
        for label in names
    }

    assert labels.isdisjoint({"repository", "project", "run", "run_id", "commit_sha", "branch", "step"})
