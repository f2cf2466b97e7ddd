"""The trace on the bus: whoever looks at a job's message there sees it without reading the job."""

import asyncio
from pathlib import Path

from msgspec.structs import replace
from nats.aio.msg import Msg
from tests.nats_server import NatsServer
from tests.runtime.workshop import Workshop

from forge_runtime.bus.jetstream import connect
from forge_runtime.bus.provision import provision
from forge_runtime.dispatcher import Exit
from forge_runtime.job import decode_job
from forge_runtime.trace import TraceContext, span_id_of

RUN = TraceContext(trace_id="0af7651916cd43dd8448eb211c80319c", span_id="b7ad6b7169203331")


async def test_message_of_a_job_bears_the_jobs_own_span_as_header(nats_server: NatsServer, tmp_path: Path) -> None:
    bus = await connect(nats_server.settings("worker-ci-0"))
    await provision(bus)
    shop = Workshop(bus, tmp_path)
    shop.run = replace(shop.run, traceparent=str(RUN))
    await shop.prepare({"web": [{"unit": "true"}]})
    seen: asyncio.Queue[Msg] = asyncio.Queue()
    await bus.connection.subscribe("pipeline.>", seen.put)

    async with shop.worker():
        code = await shop.dispatch()
        again = await shop.dispatch()
    message = await asyncio.wait_for(seen.get(), 10)
    record = await shop.record("web/unit")
    await bus.close()

    job = decode_job(message.data)
    assert (code, again, seen.qsize()) == (Exit.SUCCEEDED, Exit.SUCCEEDED, 0)
    assert message.headers is not None
    assert message.headers["traceparent"] == job.traceparent == str(RUN.child(span_id_of(job.job_id)))
    assert record is not None
    assert record.job.traceparent == job.traceparent
