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

    async def outputs(self, project: str, earlier: EarlierStep) -> bytes | None:
        record = await self.ledger.read(self.run_id, job_id(self.run_id, earlier.phase, project, earlier.step))
        if record is None or record.result is None or record.result.data is None:
            return None
        reference = msgspec.convert(record.result.data, CiData).outputs
        return None if reference is None else await self._object(reference)

    async def _object(self, reference: ResultReference) -> bytes:
        data = await self.blob.get(reference.key, length_max=reference.size + 1)
        if data is None:
            raise ResultLost(f"{reference.key} is not in the object store")
        if (len(data), digest_of(data)) != (reference.size, reference.sha256):
            raise ResultLost(f"{reference.key} is not the object of {reference.size} bytes that was stored there")
        return data
