"""What is seen from outside: metrics, the trace of a request and of its run, and the lines of the log."""

import logging
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.api.harness import REPOSITORY, TOKEN, Api, Story, client_of, open_api, sample_plan
from tests.runtime.spans import KeptSpans

from forge_api.db import query
from forge_api.db.tables import Run
from forge_api.observation import NO_ROUTE
from forge_api.service.outbox import drain
from forge_api.service.projector import project_events
from forge_api.service.queues import measure_queues
from forge_runtime import subject
from forge_runtime.bus.port import BusUnavailable
from forge_runtime.job import JobType
from forge_runtime.sweeper import Sweeper
from forge_runtime.trace import parse_traceparent, span_id_of

TRACE_ID = "0102030405060708090a0b0c0d0e0f10"
CALLER = f"00-{TRACE_ID}-1112131415161718-01"


def sample(text: str, name: str, **labels: str) -> float | None:
    """One value of what a scraper reads."""
    wanted = {f'{label}="{value}"' for label, value in labels.items()}
    for line in text.splitlines():
        series, _, value = line.rpartition(" ")
        found, _, inside = series.partition("{")
        if found == name and set(inside.rstrip("}").split(",")) - {""} == wanted:
            return float(value)
    return None


async def scrape(api: Api) -> str:
    response = await api.client.get("/metrics")
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/plain")
    return response.text


async def test_metrics_ask_for_no_token(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api, client_of(api.app, token=None) as stranger:
        response = await stranger.get("/metrics")

    assert response.status_code == 200
    assert "forge_http_requests_total" in response.text


async def test_request_is_counted_by_route_and_not_by_address(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api, client_of(api.app, token=None) as stranger:
        run_id = await api.new_run()
        await api.run(run_id)
        await api.client.get("/v1/nowhere")
        await stranger.get(f"/v1/runs/{run_id}")
        await api.client.request("BREW", "/v1/runs")
        text = await scrape(api)

    requests = "forge_http_requests_total"
    assert sample(text, requests, route="/v1/runs/{run_id}", method="GET", code="200") == 1
    assert sample(text, requests, route="/v1/runs", method="POST", code="201") == 1
    assert sample(text, requests, route=NO_ROUTE, method="GET", code="404") == 1
    assert sample(text, requests, route=NO_ROUTE, method="GET", code="401") == 1
    assert 'method="BREW"' not in text
    assert sample(text, "forge_http_request_duration_seconds_count", route="/v1/runs/{run_id}") == 1
    assert not [line for line in text.splitlines() if run_id in line or REPOSITORY in line]


async def test_error_that_nobody_expected_is_counted_and_names_its_trace(
    tmp_path: Path,
) -> None:
    async with open_api(tmp_path) as api:
        database = api.platform.database
        api.platform.database = None  # type: ignore[assignment]  # a bug of ours
        response = await api.client.get("/v1/runs", headers={"traceparent": CALLER})
        text = await scrape(api)
        api.platform.database = database

    assert response.status_code == 500
    assert response.json()["error"]["details"]["trace_id"] == TRACE_ID
    assert TRACE_ID in response.headers["traceparent"]
    assert sample(text, "forge_http_requests_total", route="/v1/runs", method="GET", code="500") == 1


async def test_run_and_its_phases_are_measured_once_at_their_end(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        story = await begun(api)
        story.discover()
        for address in story.jobs:
            story.went(address)
        finish = story.finish()
        await story.store(api.bus)
        for event in story.events:
            await project_events(api.platform, story.run_id, [event])
        once = await scrape(api)

        await project_events(api.platform, story.run_id, [*story.events, finish])

        again = await scrape(api)

    runs, phases = "forge_pipeline_run_duration_seconds_count", "forge_phase_duration_seconds_count"
    for text in (once, again):
        assert sample(text, runs, status="succeeded", trigger_type="manual") == 1
        assert sample(text, phases, status="succeeded") == 3  # discovery, check, test
        assert sample(text, phases, status="skipped") is None


async def test_cancelled_run_is_measured_where_nothing_of_it_ran(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        run_id = await api.new_run(trigger_type="push")
        api.clock.forward(42)
        await api.client.delete(f"/v1/runs/{run_id}")
        text = await scrape(api)

    labels = {"status": "cancelled", "trigger_type": "push"}
    assert sample(text, "forge_pipeline_run_duration_seconds_count", **labels) == 1
    assert sample(text, "forge_pipeline_run_duration_seconds_sum", **labels) == pytest.approx(42, abs=1)
    assert sample(text, "forge_phase_duration_seconds_count", status="cancelled") is None


async def test_end_that_was_rolled_back_is_not_measured(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        run_id = await api.new_run()

        with pytest.raises(RuntimeError):
            await end_and_fail(api, run_id)

        assert "forge_pipeline_run_duration_seconds_count" not in await scrape(api)


async def test_queues_are_measured_and_forgotten_when_nobody_can_ask(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        await api.bus.publish_job(subject.job_subject(JobType.CI, "run", "job"), b"")
        await measure_queues(api.platform)
        known = await scrape(api)
        await api.bus.close()

        with pytest.raises(BusUnavailable):
            await measure_queues(api.platform)

        unknown = await scrape(api)

    assert sample(known, "forge_queue_depth", pool="tasks", state="pending") == 1
    assert sample(known, "forge_queue_depth", pool="tasks", state="in_flight") == 0
    assert sample(known, "forge_queue_limit", pool="tasks") == subject.queue_of(JobType.CI).messages_max
    assert sample(unknown, "forge_queue_depth", pool="tasks", state="pending") is None


async def test_job_that_the_sweeper_ends_is_counted_by_the_api(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        story = await begun(api)
        job = story.jobs["check/web/lint"]
        ledger = api.platform.ledger(1.0)
        await ledger.open(job)
        api.clock.forward(job.limits.schedule_to_start_s + 1)

        await Sweeper(ledger, active_runs=no_runs).sweep(story.run_id)

        text = await scrape(api)

    assert sample(text, "forge_jobs_total", type="ci", status="expired", **{"class": "infra"}) == 1


async def test_request_goes_on_the_trace_of_its_caller(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        response = await api.client.get("/v1/runs", headers={"traceparent": CALLER})

    answered = parse_traceparent(response.headers["traceparent"])
    assert answered is not None
    assert answered.trace_id == TRACE_ID
    assert answered.span_id not in CALLER


@pytest.mark.parametrize("header", [None, "nonsense", f"00-{'0' * 32}-1112131415161718-01", "two"])
async def test_request_without_a_trace_that_is_one_begins_its_own(tmp_path: Path, header: str | None) -> None:
    headers = [("traceparent", CALLER), ("traceparent", CALLER)] if header == "two" else [("traceparent", header or "")]
    async with open_api(tmp_path) as api:
        answers = [await api.client.get("/v1/runs", headers=headers) for _ in range(2)]

    contexts = [parse_traceparent(answer.headers["traceparent"]) for answer in answers]
    trace_ids = {context.trace_id for context in contexts if context is not None}
    assert len(trace_ids) == 2
    assert TRACE_ID not in trace_ids


async def test_run_is_a_span_below_its_request_in_record_and_annotation(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        await api.register()
        response = await api.post_run(headers={"traceparent": CALLER})
        run_id = response.json()["id"]
        await drain(api.platform)
        record = await api.run_record(run_id)
        (manifest,) = api.engine.manifests.values()

    assert response.json()["trace_id"] == TRACE_ID
    assert record.traceparent == f"00-{TRACE_ID}-{span_id_of(run_id)}-01"
    assert f'forge.io/traceparent: "{record.traceparent}"' in manifest


def test_run_of_before_traces_were_kept_has_one_that_its_id_names() -> None:
    run = Run(id="018f0000-0000-7000-8000-00000000002a", traceparent=None)

    assert str(run.trace) == "00-018f000000007000800000000000002a-800000000000002a-01"


async def test_spans_of_request_and_run_hang_together(tmp_path: Path) -> None:
    spans = KeptSpans()
    async with open_api(tmp_path, tracer=spans) as api:
        await api.register()
        response = await api.post_run(headers={"traceparent": CALLER})
        await api.client.delete(f"/v1/runs/{response.json()['id']}")

    asked = next(span for span in spans.kept if span.name == "POST /v1/runs")
    run = next(span for span in spans.kept if span.name == "run")
    assert (asked.context.trace_id, asked.parent, asked.served) == (TRACE_ID, "1112131415161718", True)
    assert str(asked.context) == response.headers["traceparent"]
    assert (run.context.trace_id, run.parent) == (TRACE_ID, asked.context.span_id)
    assert run.context.span_id == span_id_of(response.json()["id"])
    assert run.attributes["forge.result"] == "cancelled"


async def test_writes_and_failures_are_logged_and_reads_and_probes_are_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "forge_api.observation")
    async with open_api(tmp_path) as api:
        await api.register()
        await api.client.get("/v1/runs")
        await api.client.get("/v1/nowhere")
        await api.client.get("/metrics")
        await api.client.get("/healthz")

    lines = [(line.msg, vars(line)["method"], vars(line)["code"]) for line in caplog.records]
    assert lines == [("request", "PUT", 201), ("request", "GET", 404)]
    assert TOKEN not in caplog.text


async def begun(api: Api) -> Story:
    await api.new_run()
    await drain(api.platform)
    (run,) = (await api.client.get("/v1/runs")).json()["runs"]
    story = Story(await api.run_record(run["id"]), sample_plan())
    await story.store(api.bus)
    return story


async def no_runs() -> Sequence[str]:
    return ()


async def end_and_fail(api: Api, run_id: str) -> None:
    """A transaction that ends the run and then breaks."""
    async with api.platform.database.write() as session:
        run = await query.run(session, run_id, lock=True)
        assert run is not None
        run.status, run.completed_at = "failed", api.clock()
        await session.flush()
        raise RuntimeError("a bug")
