"""What earlier jobs of the run came to, read back from where it lies: the message, its record or the object store."""

from dataclasses import dataclass

import msgspec

from forge_runtime.blob import Blob
from forge_runtime.job import ArtifactData, ArtifactResult, CiData, EarlierStep, ResultReference
from forge_runtime.ledger import Ledger
from forgec.ids import job_id
from forgec.plan.digest import digest_of


class ResultLost(Exception):
    """A result is not where it was put, or is not what was put there: the infrastructure's fault, and no job's."""


@dataclass(frozen=True, slots=True)
class StoredResults:
    """The results of one run. Raises ResultLost, and BlobUnavailable or BusUnavailable where it cannot be known yet."""

    ledger: Ledger
    blob: Blob
    run_id: str

    async def artifact(self, result: ArtifactResult) -> ArtifactData:
        if result.data is not None:
            return msgspec.convert(result.data, ArtifactData)
        if result.result_ref is not None:
            return msgspec.json.decode(await self._object(result.result_ref), type=ArtifactData)
        record = await self.ledger.read(self.run_id, result.job_id)
        if record is None or record.result is None or record.result.data is None:
            raise ResultLost(f'artifact "{result.artifact_name}": the record of job {result.job_id} has no result')
        return msgspec.convert(record.result.data, ArtifactData)

    async def left(self, project: str, earlier: EarlierStep) -> ResultReference | None:
        earlier_id = job_id(self.run_id, earlier.phase, project, earlier.step)
        record = await self.ledger.read(self.run_id, earlier_id)
        if record is None or record.result is None:  # a phase begins when all jobs before it have succeeded
            raise ResultLost(f"{earlier.phase}/{earlier.step}: job {earlier_id} has no record of how it ended")
        if record.result.data is None:
            return None
        return msgspec.convert(record.result.data, CiData).outputs

    async def outputs(self, project: str, earlier: EarlierStep) -> bytes | None:
        reference = await self.left(project, earlier)
        return None if reference is None else await self._object(reference)

    async def _object(self, reference: ResultReference) -> bytes:
        data = await self.blob.get(reference.key, length_max=reference.size + 1)
        if data is None:
            raise ResultLost(f"{reference.key} is not in the object store")
        if (len(data), digest_of(data)) != (reference.size, reference.sha256):
            raise ResultLost(f"{reference.key} is not the object of {reference.size} bytes that was stored there")
        return data
