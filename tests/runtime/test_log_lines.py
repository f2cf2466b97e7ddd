"""The lines of one job, as whoever collects them reads them, against the table that the documentation gives."""

import io
import json
import re
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from tests.runtime import samples
from tests.runtime.conftest import OpenWorkshop

from forge_runtime.dispatcher import Exit
from forge_runtime.job import JobState
from forge_runtime.trace import TraceContext, trace_id_of

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "observability.md").read_text(encoding="utf-8")
REQUEST = TraceContext(trace_id="0af7651916cd43dd8448eb211c80319c", span_id="b7ad6b7169203331")
FAILS = "exit 3"


def documented() -> dict[str, str]:
    """Field to where it is found, from the page's last table."""
    table = PAGE.partition("## Log lines\n")[2]
    rows = re.findall(r"^\| ((?:`[\w.]+`(?:, )?)+) \| [^|]+ \| ([^|]+) \|", table, re.MULTILINE)
    return {field: where for fields, where in rows for field in re.findall(r"`([\w.]+)`", fields)}


def lines_of(stream: io.StringIO, job_id: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    return [line for line in lines if line.get("job_id") == job_id]


def test_page_has_every_field() -> None:
    assert documented().keys() == {
        *("ts", "level", "msg", "component", "run_id", "job_id", "job_type", "attempt", "delivery", "repository"),
        *("commit_sha", "phase", "project", "step", "worker", "trace_id", "request_id", "error.code"),
    }


async def test_lines_of_a_failed_job_have_every_field_that_applies(
    open_workshop: OpenWorkshop, stream: io.StringIO
) -> None:
    async with open_workshop({"web": [{"unit": FAILS}]}) as shop:
        shop.run = replace(shop.run, traceparent=str(REQUEST))
        await samples.store_run(shop.bus, shop.run)
        async with shop.worker():
            code = await shop.dispatch()
            record = await shop.reach("web/unit", JobState.FAILED)

    lines = lines_of(stream, record.job.job_id)
    of_worker = [line for line in lines if line["component"] == "worker.tasks"]
    of_dispatcher = [line for line in lines if line["component"] != "worker.tasks"]
    everywhere = {field for field, where in documented().items() if "API" not in where and "workers" not in where}
    of_a_job = {field for field, where in documented().items() if "about a job" in where}
    assert code is Exit.FAILED
    ended_by_worker = next(line for line in of_worker if line["msg"] == "job ended")
    ended_by_dispatcher = next(line for line in of_dispatcher if line["msg"] == "job ended")
    assert ended_by_worker.keys() >= everywhere | of_a_job | {"attempt"}
    assert ended_by_dispatcher.keys() >= (everywhere | of_a_job) - {"worker", "delivery"}
    for line in (ended_by_worker, ended_by_dispatcher):
        assert line["error.code"] == "STEP_FAILED"
        assert line["trace_id"] == trace_id_of(str(REQUEST))
        assert (line["phase"], line["project"], line["step"]) == ("test", "web", "unit")
    assert (ended_by_worker["attempt"], ended_by_worker["delivery"], ended_by_worker["worker"]) == (1, 1, "worker-1")
