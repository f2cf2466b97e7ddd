"""Where a step's log lies: in parts while the step runs, then as one object beside its index.

    <step>.log.parts/000000, 000001 ...   each written once, whole lines; read one after another they are the log so far
    <step>.log                            the whole log, from when the attempt has ended; then the parts are deleted
    <step>.log.index.json                 where in it which line begins, and when that was printed

A step that ends soon has no parts: whoever looks on gets its lines from the live subject. Parts of an attempt that died
with its worker stay, and are what is left of its log; the bucket's rules delete them with the logs.
"""

import asyncio
import hashlib
import logging
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from forge_runtime.blob import Blob, BlobUnavailable
from forge_runtime.tasks import end_tasks

PART_BYTES_MAX: Final = 256 * 1024
FIRST_PART_S: Final = 10.0
"""Most steps end before, and cost no part."""

PART_EVERY_S: Final = 2.0
EARLIER_GONE_S: Final = 1.0
"""Until what an earlier attempt left is looked for: steps that end before cost no request for it."""

OLD_S: Final = 60.0
"""From then on parts are as rare as `OLD_PART_EVERY_S`: a request for each costs money, and few look on for so long."""

OLD_PART_EVERY_S: Final = 10.0

INDEX_EVERY_BYTES: Final = 64 * 1024
"""A reader that wants one line reads at most this much of the log, and one line more."""

HEAD_BYTES: Final = 64
"""Of a log's beginning, with the time of its first line: they tell one attempt's log from another's."""

KNOWN_LOGS_MAX: Final = 64
"""Of which the ends of parts are kept: a log of 24 h has some 8,600 of them."""

_log = logging.getLogger(__name__)


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """Line `line` (from 0) begins at byte `offset` and was printed at `time` (RFC 3339 UTC)."""

    line: int
    offset: int
    time: str


class LogIndex(msgspec.Struct, frozen=True, kw_only=True):
    """`truncated`: the step printed more than is kept."""

    version: int = 1
    size: int
    lines: int
    sha256: str
    truncated: bool
    marks: tuple[Mark, ...]


def log_key(run_id: str, phase: str, project: str, step: str, attempt: int) -> str:
    """Where a step's log lies in the object store; `attempt` counts the starts from 1."""
    suffix = "" if attempt == 1 else f".{attempt}"
    return f"pipeline-runs/{run_id}/logs/{phase}/{project}/{step}{suffix}.log"


def part_key(key: str, number: int) -> str:
    return f"{key}.parts/{number:06d}"


def index_key(key: str) -> str:
    return f"{key}.index.json"


class KnownParts:
    """Where the parts of logs end that were read, so that whoever reads on at the end fetches the new ones alone."""

    def __init__(self) -> None:
        self._of: OrderedDict[str, tuple[bytes, list[int]]] = OrderedDict()

    def ends(self, key: str, head: bytes) -> list[int]:
        """To be completed by the reader; those of an earlier attempt, whose log began otherwise, are forgotten."""
        begins, ends = self._of.pop(key, (head, []))
        self._of[key] = found = (head, ends if begins == head else [])
        if len(self._of) > KNOWN_LOGS_MAX:
            self._of.popitem(last=False)
        return found[1]


async def read_log(
    blob: Blob, key: str, *, start: int, length_max: int, known: KnownParts | None = None
) -> bytes | None:
    """At most `length_max` bytes from `start`, of the whole log or of its parts so far; None if there is neither."""
    whole = await blob.get(key, start=start, length_max=length_max)
    if whole is not None:
        return whole
    parts = await _read_parts(blob, key, start, length_max, known or KnownParts())
    if parts is None:  # the attempt may have ended between the two looks
        return await blob.get(key, start=start, length_max=length_max)
    return parts


async def _read_parts(blob: Blob, key: str, start: int, length_max: int, known: KnownParts) -> bytes | None:
    head = await blob.get(part_key(key, 0), length_max=HEAD_BYTES)
    if head is None:
        return None
    ends = known.ends(key, head)
    found = bytearray()
    number = bisect_right(ends, start)
    while len(found) < length_max:
        begin = ends[number - 1] if number else 0
        part = await blob.get(part_key(key, number))
        if part is None:
            break
        if number == len(ends):  # no other reader came first
            ends.append(begin + len(part))
        found += part[max(0, start - begin) :]
        number += 1
    return bytes(found[:length_max])


@dataclass(slots=True)
class IndexMaker:
    """Takes the log's records in their order, and knows its index so far."""

    size: int = field(init=False, default=0)
    lines: int = field(init=False, default=0)
    _marks: list[Mark] = field(init=False, default_factory=list)
    _digest: "hashlib._Hash" = field(init=False, default_factory=hashlib.sha256)

    def add(self, record: bytes, time: str) -> None:
        """One line with its line break."""
        if not self._marks or self.size - self._marks[-1].offset >= INDEX_EVERY_BYTES:
            self._marks.append(Mark(self.lines, self.size, time))
        self.size += len(record)
        self.lines += 1
        self._digest.update(record)

    def index(self, *, truncated: bool) -> LogIndex:
        return LogIndex(
            size=self.size,
            lines=self.lines,
            sha256=self._digest.hexdigest(),
            truncated=truncated,
            marks=tuple(self._marks),
        )


class LogStore:
    """Stores one attempt's log, which a spool file holds. `first_part_s` is shorter where a test cannot wait."""

    def __init__(self, blob: Blob, key: str, *, first_part_s: float = FIRST_PART_S) -> None:
        self.key = key
        self._blob = blob
        self._first_part_s = first_part_s
        self._alone = False
        self._parts = 0
        self._there = 0
        """As many parts may be in the store, with those of an earlier attempt and those whose answer was lost."""
        self._stored = 0
        self._busy = asyncio.Lock()
        self._storing: asyncio.Task[None] | None = None

    def begin(self, spool: Path) -> None:
        """From now on store in parts what the spool comes to hold. Whole lines only are written to it."""
        self._storing = asyncio.create_task(self._store_parts(spool))

    async def finish(self, spool: Path, index: LogIndex) -> None:
        """Store the whole log and its index, and drop the parts. Raises BlobUnavailable; may be called again."""
        if self._storing is not None:
            async with self._busy:  # what is being written or deleted would be so after us
                await end_tasks(self._storing)
        await self._blob.put(self.key, spool, cls="log")
        await self._blob.put(index_key(self.key), msgspec.json.encode(index), cls="log")
        with suppress(BlobUnavailable):  # nobody reads them any more, and the bucket's rules delete them
            await self._drop_parts()

    async def abandon(self) -> None:
        """Store nothing more, also where `finish` did not get that far. What is under way is not waited for."""
        if self._storing is not None:
            await end_tasks(self._storing)

    async def _store_parts(self, spool: Path) -> None:
        for pause_s in self._pauses():
            await asyncio.sleep(pause_s)
            try:
                if not self._alone:
                    await self._drop_earlier()
                else:
                    async with self._busy:
                        await self._store_what_is_new(spool)
            except FileNotFoundError:  # the spool is gone, and with it the attempt
                return
            except (BlobUnavailable, OSError) as error:  # the whole log comes at the end, and says when it cannot
                _log.warning("part of a log not stored, trying again", extra={"why": str(error)})

    def _pauses(self) -> Iterator[float]:
        """First to drop what was there, then to store each part."""
        begun = asyncio.get_running_loop().time()
        yield min(EARLIER_GONE_S, self._first_part_s)
        yield max(0.0, self._first_part_s - EARLIER_GONE_S)
        while True:
            old = asyncio.get_running_loop().time() - begun > OLD_S
            yield OLD_PART_EVERY_S if old else min(PART_EVERY_S, self._first_part_s)

    async def _drop_earlier(self) -> None:
        """A job that a draining worker handed back, or that was put back by hand, begins again with the same key.

        The whole log goes last: until then readers see that, and afterwards nothing, but never lines of both attempts.
        """
        while await self._blob.exists(part_key(self.key, self._there)):
            self._there += 1
        whole = await self._blob.exists(self.key)
        async with self._busy:
            await self._drop_parts()
            if whole:
                await self._blob.delete(index_key(self.key))
                await self._blob.delete(self.key)
        self._alone = True

    async def _drop_parts(self) -> None:
        """From the last, so that what is left is always the log's beginning."""
        while self._there:
            await self._blob.delete(part_key(self.key, self._there - 1))
            self._there -= 1

    async def _store_what_is_new(self, spool: Path) -> None:
        while data := await asyncio.to_thread(_read, spool, self._stored):
            key, self._there = part_key(self.key, self._parts), self._parts + 1
            # False: an earlier try arrived though its answer did not. It had the same bytes, or fewer of them.
            if not await self._blob.put_new(key, data, cls="log"):
                there = await self._blob.get(key)
                if there is None:  # it may be on its way still: S3 refuses one of two at once
                    raise BlobUnavailable(f"{key} is neither taken nor there")
                if not data.startswith(there):  # an earlier attempt's, on its way for longer than that lived
                    await self._blob.delete(key)
                    continue
                data = data[: len(there)]
            self._parts += 1
            self._stored += len(data)


def _read(spool: Path, start: int) -> bytes:
    """The next part: whole lines, or a piece of one that is longer than a part."""
    with spool.open("rb") as file:
        file.seek(start)
        data = file.read(PART_BYTES_MAX)
    whole = data.rfind(b"\n") + 1
    return data[:whole] if whole else data
