"""The jobs of a run, as their records on the bus tell them."""

from datetime import UTC, datetime

from forge_api.db import query
from forge_api.problem import not_found, unavailable
from forge_api.service.platform import REQUEST_PATIENCE_S, Platform
from forge_api.wire import JobList, JobView
from forge_runtime.bus.port import BusUnavailable
from forge_runtime.envelope import address_of
from forge_runtime.job import JobRecord


async def list_jobs(platform: Platform, run_id: str) -> JobList:
    async with platform.database.read() as session:
        if await query.run(session, run_id) is None:
            raise not_found(f"run {run_id}")
    try:
        records = await platform.ledger(REQUEST_PATIENCE_S).records(run_id)
    except BusUnavailable:
        raise unavailable("NATS") from None
    jobs = [_view(record) for record in records]
    return JobList(jobs=sorted(jobs, key=lambda job: (job.phase, job.name)))


def _view(record: JobRecord) -> JobView:
    address = address_of(record.job)
    until = record.lease_until
    return JobView(
        job_id=record.job.job_id,
        type=record.job.type,
        phase=address.phase,
        name=f"{address.project}/{address.step}",
        status=record.state.value,
        attempt=record.starts,
        worker=record.worker,
        lease_until=None if until is None else datetime.fromtimestamp(until, UTC),
    )
