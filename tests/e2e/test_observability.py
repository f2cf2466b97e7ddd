"""One run on a whole platform, looked at from outside: its trace, its log lines, its spans, its metrics."""

import json
import re
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from tests.e2e.platform import Platform, commit_repository, step_statuses, wait_until
from tests.e2e.test_platform import FILES
from tests.nats_server import free_port
from tests.otlp_collector import Collector, collecting

from forge_runtime.trace import parse_traceparent, span_id_of

pytestmark = pytest.mark.timeout(300)

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
CALLER_SPAN = "b7ad6b7169203331"
EARTHFILE = """VERSION 0.8
FROM alpine:3.20

slow:
    RUN env | grep ^TRACEPARENT

quick:
    RUN env | grep ^TRACEPARENT
"""

OF_A_JOB = {
    *("ts", "level", "msg", "component", "run_id", "job_id", "job_type", "repository", "commit_sha"),
    *("phase", "project", "step", "trace_id"),
}
OF_AN_ATTEMPT = OF_A_JOB | {"delivery", "worker"}


class Observed:
    """What one run left behind."""

    def __init__(self, platform: Platform, collector: Collector, answer: Mapping[str, str], run: Mapping[str, Any]):
        self.platform = platform
        self.collector = collector
        self.answer = answer
        self.run = run
        self.run_id: str = run["id"]

    def lines(self, *files: str) -> list[dict[str, Any]]:
        """Log lines of these files that belong to the run."""
        directory = self.platform.home.directory
        texts = [path.read_text() for pattern in files for path in sorted(directory.glob(pattern))]
        lines = [json.loads(line) for text in texts for line in text.splitlines() if line.startswith("{")]
        return [line for line in lines if line.get("run_id") == self.run_id]

    def step_traces(self) -> list[str]:
        """TRACEPARENT of each step, as the step itself saw it."""
        said = self.platform.forge("logs", self.run_id).stdout
        return re.findall(r"TRACEPARENT=(\S+)", said)


@pytest.fixture(scope="module")
def metrics_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory, metrics_port: int) -> Iterator[Observed]:
    folder = tmp_path_factory.mktemp("observed")
    files = FILES | {"a/Earthfile": EARTHFILE, "b/Earthfile": EARTHFILE}
    repository = commit_repository(folder / "seen", files)
    with collecting() as (collector, endpoint):
        platform = Platform(folder / "data", "--metrics-port", str(metrics_port), OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
        platform.start()
        try:
            platform.forge("run", str(repository))  # registers the repository
            answer, run_id = post_run(platform, platform.client.runs(repository="local/seen")[0])
            wait_until(lambda: platform.client.run(run_id)["status"] in ("succeeded", "failed"))
            wait_until(lambda: everything_arrived(collector), what=platform.said)
            yield Observed(platform, collector, answer, platform.client.run(run_id))
        finally:
            platform.stop()


def post_run(platform: Platform, first: Mapping[str, Any]) -> tuple[Mapping[str, str], str]:
    """Headers of the reply, and the run's id."""
    endpoint = platform.home.endpoint()
    assert endpoint is not None
    body = {"repository": first["repository"], "commit_sha": first["commit_sha"], "branch": first["branch"]}
    request = urllib.request.Request(
        f"{endpoint.api}/v1/runs",
        data=json.dumps({key: value for key, value in body.items() if value}).encode(),
        headers={
            "Authorization": f"Bearer {platform.home.api_token.read_text().strip()}",
            "Content-Type": "application/json",
            "traceparent": f"00-{TRACE_ID}-{CALLER_SPAN}-01",
            "X-Request-ID": "seen-from-outside",
        },
    )
    with urllib.request.urlopen(request, timeout=10) as reply:
        return dict(reply.headers), json.load(reply)["id"]


def everything_arrived(collector: Collector) -> bool:
    """Processes send their spans every few seconds."""
    names = [span.name for span in of_trace(collector)]
    return "run" in names and names.count("step") == 3


def of_trace(collector: Collector) -> list[Any]:
    return [span for span in collector.spans if span.trace_id.hex() == TRACE_ID]


def test_one_trace_goes_from_the_request_to_each_step(observed: Observed) -> None:
    assert set(step_statuses(observed.run).values()) == {"succeeded"}, observed.run["error"]
    answered = parse_traceparent(observed.answer["traceparent"])
    steps = [parse_traceparent(text) for text in observed.step_traces()]
    (workflow,) = observed.platform.home.directory.glob(f"engine/*{observed.run_id}/workflow.yaml")
    annotation = re.search(r'forge.io/traceparent: "(\S+)"', workflow.read_text())

    assert answered is not None
    assert answered.trace_id == observed.run["trace_id"] == TRACE_ID
    assert annotation is not None
    assert annotation[1] == f"00-{TRACE_ID}-{span_id_of(observed.run_id)}-01"
    assert {step.trace_id for step in steps if step is not None} == {TRACE_ID}
    spans = [CALLER_SPAN, answered.span_id, span_id_of(observed.run_id), *(step.span_id for step in steps if step)]
    assert len(steps) == 3
    assert len(set(spans)) == 6, "a span for each"


def test_lines_of_the_run_bear_its_trace_in_every_process(observed: Observed) -> None:
    found = {
        "api": observed.lines("logs/api.log"),
        "worker": observed.lines("logs/worker-*.log"),
        "dispatcher": observed.lines("engine/**/main.log"),
    }

    for process, lines in found.items():
        traced = [line for line in lines if "trace_id" in line]
        assert traced, process
        assert {line["trace_id"] for line in traced} == {TRACE_ID}, process


def test_line_that_made_the_run_names_its_request(observed: Observed) -> None:
    (created,) = [line for line in observed.lines("logs/api.log") if line["msg"] == "run created"]

    assert created["request_id"] == "seen-from-outside"
    assert created.keys() >= {"ts", "level", "component", "repository", "commit_sha", "trace_id"}
    assert created["component"] == "api"


def test_lines_of_an_attempt_have_every_field(observed: Observed) -> None:
    lines = observed.lines("logs/worker-*.log")

    assert {line["msg"] for line in lines} >= {"job started", "job ended"}
    for line in lines:
        assert line.keys() >= OF_AN_ATTEMPT, line
        assert line["component"].startswith("worker.")
    assert all("attempt" in line for line in lines if line["msg"] in ("job started", "job ended"))


def test_lines_of_a_dispatcher_about_a_job_have_every_field(observed: Observed) -> None:
    lines = [line for line in observed.lines("engine/**/main.log") if "job_id" in line]

    assert {line["msg"] for line in lines} >= {"job submitted", "job ended"}
    for line in lines:
        assert line.keys() >= OF_A_JOB, line
        assert line["component"] == "dispatcher"


def test_spans_hang_below_each_other_from_the_caller_to_the_step(observed: Observed) -> None:
    spans = of_trace(observed.collector)
    by_id = {span.span_id.hex(): span for span in spans}

    def way_up(span: Any) -> list[str]:
        names = []
        while span is not None:
            names.append(span.name)
            above = span.parent_span_id.hex()
            span = by_id.get(above)
        return [*names, above]

    ways = {tuple(way_up(span)) for span in spans}
    top = ("run", "POST /v1/runs", CALLER_SPAN)
    assert ("step", "attempt", "job", *top) in ways
    assert ("git checkout", "attempt", "job", *top) in ways
    assert ("git fetch", "attempt", "job", *top) in ways
    assert ("queue wait", "job", *top) in ways
    assert len(by_id) == len(spans), "no id twice"


def test_metrics_are_where_the_platform_says(observed: Observed, metrics_port: int) -> None:
    said = re.findall(r"^metrics +(\S+)$", observed.platform.said(), re.MULTILINE)
    texts = []
    for url in said:
        with urllib.request.urlopen(url, timeout=10) as reply:
            texts.append(reply.read().decode())

    assert len(said) == 3
    api, *workers = texts
    assert re.search(r'forge_pipeline_run_duration_seconds_count\{[^}]*status="succeeded"[^}]*\} 2.0', api)
    assert "forge_queue_depth{" in api
    ended = [line for text in workers for line in text.splitlines() if line.startswith("forge_jobs_total{")]
    assert sum(float(line.rpartition(" ")[2]) for line in ended) == 8
    for path in ("livez", "readyz"):
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics_port}/{path}", timeout=10) as reply:
            assert reply.status == 200
