"""What an attempt built, kept until its job is over: the attempt after it publishes that, and builds nothing else.

    artifact-staging/<release>/<project>/<artifact>/<run>/product.json     what it is; written last
                                                          /file            the file itself

Few builds give the same bytes twice, and a place that has the first attempt's file takes no other of its name. Another
run builds anew: it is asked for where something was wrong. Images are not kept: their tags move to what came last.
"""

import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from forge_runtime.blob import Blob, BlobUnavailable
from forge_runtime.produce.image import digest_of_file
from forge_runtime.produce.product import Archive, Binary, Product
from forge_runtime.thread import in_thread

PART_BYTES: Final = 8 * 1024 * 1024

_log = logging.getLogger(__name__)


class _Staged(Struct, frozen=True):
    kind: str
    file: str
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Staging:
    """Of one artifact in one run; `place` is where its keys begin. A store that fails costs the keeping, no more."""

    blob: Blob
    place: str

    async def keep(self, product: Product) -> None:
        if not isinstance(product, Binary | Archive):
            return
        fields = {field.name: getattr(product, field.name) for field in dataclasses.fields(product)}
        path = fields.pop("path")
        staged = _Staged(kind=type(product).__name__, file=path.name, fields=fields)
        try:
            await self.blob.put(f"{self.place}/file", path, cls="staging")
            await self.blob.put(f"{self.place}/product.json", msgspec.json.encode(staged), cls="staging")
        except BlobUnavailable as error:
            _log.warning("artifact not staged", extra={"why": str(error)})

    async def found(self, folder: Path) -> Product | None:
        """What an earlier attempt kept, as a file in `folder`; None where it kept nothing, or not all of it."""
        try:
            data = await self.blob.get(f"{self.place}/product.json")
            return None if data is None else await self._fetched(msgspec.json.decode(data, type=_Staged), folder)
        except (BlobUnavailable, msgspec.MsgspecError, TypeError) as error:
            _log.warning("staged artifact not read", extra={"why": str(error)})
            return None

    async def forget(self) -> None:
        try:
            for name in ("product.json", "file"):
                await self.blob.delete(f"{self.place}/{name}")
        except BlobUnavailable as error:
            _log.warning("staged artifact not removed", extra={"why": str(error)})

    async def _fetched(self, staged: _Staged, folder: Path) -> Product | None:
        path = folder / Path(staged.file).name
        kind: type[Binary | Archive] = Binary if staged.kind == Binary.__name__ else Archive
        product = kind(path=path, **staged.fields)
        with path.open("xb") as file:
            while file.tell() < product.size:
                part = await self.blob.get(f"{self.place}/file", start=file.tell(), length_max=PART_BYTES)
                if not part:
                    return None
                file.write(part)
        if await in_thread(lambda stop: digest_of_file(path, stop)) != product.digest:
            return None
        if isinstance(product, Binary):
            path.chmod(0o755)
        return product
