"""An attempt of a job as a handler sees it, without a worker around it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from forge_runtime.blob import DirectoryBlob
from forge_runtime.bus.memory import MemoryBus
from forge_runtime.job import Job
from forge_runtime.ledger import Ledger
from forge_runtime.log import StepLog
from forge_runtime.log_store import LogStore
from forge_runtime.worker.handler import Handler, JobContext, Outcome
from forge_runtime.worker.results import StoredResults


@dataclass(slots=True)
class Attempts:
    """`log` is what the last one wrote."""

    folder: Path
    log: str = ""
    now: float = 0.0
    _count: int = field(default=0, init=False)

    async def run(self, handler: Handler, job: Job) -> Outcome:
        async with self.context(job) as context:
            return await handler.handle(job, context)

    @asynccontextmanager
    async def context(self, job: Job) -> AsyncIterator[JobContext]:
        self._count += 1
        own = self.folder / f"attempt-{self._count}"
        own.mkdir(parents=True)
        blob = DirectoryBlob(own / "blob")

        async def send(_offset: int, _data: bytes) -> None:
            return None

        log = StepLog(own / "log", send, lambda: LogStore(blob, "log"))
        yield JobContext(
            worker="worker-1",
            component="worker.releases",
            attempt=self._count,
            folder=own / "scratch",
            documents=_NoDocuments(),
            results=StoredResults(Ledger(MemoryBus(), 0.0), blob, job.run_id),
            log=log,
            clock=lambda: self.now,
        )
        await log.finish()
        self.log = (await blob.get("log") or b"").decode()


class _NoDocuments:
    async def put(self, digest: str, data: bytes) -> None:
        raise AssertionError(f"{digest} is stored by no release")
