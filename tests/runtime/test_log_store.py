"""Where a log lies: parts while the step runs, then one object and its index."""

import asyncio
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from forge_runtime.blob import GET_BYTES_MAX, BlobClass, BlobUnavailable, DirectoryBlob
from forge_runtime.log import StepLog
from forge_runtime.log_store import (
    INDEX_EVERY_BYTES,
    KNOWN_LOGS_MAX,
    PART_BYTES_MAX,
    KnownParts,
    LogIndex,
    LogStore,
    index_key,
    part_key,
    read_log,
)

KEY = "pipeline-runs/run-1/logs/test/web/unit.log"


class WatchedBlob(DirectoryBlob):
    """A directory that tells when a part was written, and may be away for its next writes."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.parts = 0
        self.away = 0
        self.got: list[str] = []
        self.conflicts = 0
        """So often another one is at it, and does not get there."""
        self.answer_lost = False
        self.lost = asyncio.Event()
        self.down = False
        """With `answer_lost`: it is away from then on."""
        self.hangs = False
        self.hanging = asyncio.Event()
        self.deletes_slowly = False
        self.deleting = asyncio.Event()
        self.may_delete = asyncio.Event()
        self._written = asyncio.Event()

    async def put_new(self, key: str, data: bytes, *, cls: BlobClass) -> bool:
        if self.hangs:
            self.hanging.set()
            await asyncio.Event().wait()
        if self.away:
            self.away -= 1
            raise BlobUnavailable("away")
        if self.conflicts:
            self.conflicts -= 1
            return False
        written = await super().put_new(key, data, cls=cls)
        if self.answer_lost:
            self.answer_lost = False
            self.away = 1_000_000 if self.down else 0
            self.lost.set()
            raise BlobUnavailable("the answer was lost")
        self.parts += 1
        self._written.set()
        return written

    async def get(self, key: str, *, start: int = 0, length_max: int = GET_BYTES_MAX) -> bytes | None:
        self.got.append(key)
        return await super().get(key, start=start, length_max=length_max)

    async def delete(self, key: str) -> None:
        if self.deletes_slowly:
            self.deleting.set()
            await self.may_delete.wait()
        await super().delete(key)

    async def part(self, count: int) -> None:
        """Until this many were written."""
        async with asyncio.timeout(10):
            while self.parts < count:
                self._written.clear()
                await self._written.wait()


@pytest.fixture
async def blob(tmp_path: Path) -> WatchedBlob:
    return WatchedBlob(tmp_path / "objects")


async def nowhere(_offset: int, _data: bytes) -> None:
    return


def ticking() -> Callable[[], datetime]:
    ticks = iter(range(10_000_000))
    return lambda: datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=next(ticks))


def step_log(tmp_path: Path, blob: DirectoryBlob, bytes_max: int = 1 << 26) -> StepLog:
    """Parts come at once."""
    return StepLog(
        tmp_path / "spool",
        nowhere,
        lambda: LogStore(blob, KEY, first_part_s=0.0),
        clock=ticking(),
        bytes_max=bytes_max,
    )


async def whole(blob: DirectoryBlob) -> bytes:
    data = await read_log(blob, KEY, start=0, length_max=1 << 26)
    assert data is not None
    return data


async def index_of(blob: DirectoryBlob) -> LogIndex:
    data = await blob.get(index_key(KEY))
    assert data is not None
    return msgspec.json.decode(data, type=LogIndex)


async def test_a_log_can_be_read_while_its_step_runs_and_afterwards(blob: WatchedBlob, tmp_path: Path) -> None:
    log = step_log(tmp_path, blob)
    await log.write("first")
    await blob.part(1)
    so_far = await whole(blob)

    await log.write("second")
    await blob.part(2)
    further = await whole(blob)
    await log.finish()

    assert so_far.endswith(b" first\n")
    assert further.startswith(so_far)
    assert await whole(blob) == further
    assert await blob.get(KEY) == further


async def test_parts_are_gone_when_the_whole_log_is_there(blob: WatchedBlob, tmp_path: Path) -> None:
    log = step_log(tmp_path, blob)
    for number in range(3):
        await log.write(str(number))
        await blob.part(number + 1)

    await log.finish()

    assert sorted(path.name for path in (tmp_path / "objects").rglob("*") if path.is_file()) == [
        "unit.log",
        "unit.log.index.json",
    ]


async def test_parts_hold_whole_lines_and_no_secret_however_it_is_cut(blob: WatchedBlob, tmp_path: Path) -> None:
    line = "x" * 1000 + " hunter22 " + "y" * 1000
    log = step_log(tmp_path, blob)
    log.mask.hide(["hunter22"])
    for _ in range(3 * PART_BYTES_MAX // len(line)):
        await log.write(line)
    await blob.part(3)
    parts = [await blob.get(part_key(KEY, number)) for number in range(3)]

    await log.finish()

    assert all(part is not None and part.endswith(b"\n") and len(part) <= PART_BYTES_MAX for part in parts)
    assert b"".join(part or b"" for part in parts) == (await whole(blob))[: sum(len(part or b"") for part in parts)]
    assert b"hunter22" not in await whole(blob)


@pytest.mark.parametrize(("start", "length"), [(0, 7), (5, 40), (30, 1000), (10_000, 5)])
async def test_a_piece_of_the_parts_is_the_piece_of_the_log(
    blob: WatchedBlob, tmp_path: Path, start: int, length: int
) -> None:
    log = step_log(tmp_path, blob)
    for number in range(4):
        await log.write(f"line {number}")
        await blob.part(number + 1)
    piece = await read_log(blob, KEY, start=start, length_max=length)

    await log.finish()

    assert piece == (await whole(blob))[start : start + length]


async def test_a_store_that_was_away_misses_nothing(blob: WatchedBlob, tmp_path: Path) -> None:
    blob.away = 2
    log = step_log(tmp_path, blob)
    await log.write("kept")

    await blob.part(1)

    assert (await whole(blob)).endswith(b" kept\n")
    await log.finish()


async def test_a_part_whose_answer_was_lost_is_not_stored_twice(blob: WatchedBlob, tmp_path: Path) -> None:
    blob.answer_lost = True
    log = step_log(tmp_path, blob)
    await log.write("first")
    await blob.part(1)
    await log.write("second")
    await blob.part(2)

    so_far = await whole(blob)
    await log.finish()

    assert so_far == await whole(blob)
    assert so_far.count(b"\n") == 2


async def test_a_part_that_is_refused_and_not_there_is_stored_by_the_next_try(
    blob: WatchedBlob, tmp_path: Path
) -> None:
    blob.conflicts = 1
    log = step_log(tmp_path, blob)
    await log.write("first")
    await blob.part(1)

    assert (await whole(blob)).endswith(b" first\n")
    await log.finish()


async def test_a_part_that_arrives_after_its_attempt_is_replaced(blob: WatchedBlob, tmp_path: Path) -> None:
    log = step_log(tmp_path, blob)
    await log.write("first")
    await blob.part(1)
    await DirectoryBlob.put_new(blob, part_key(KEY, 1), b"of an attempt that is long gone\n", cls="log")
    await log.write("second")
    await blob.part(3)

    so_far = await whole(blob)
    await log.finish()

    assert so_far == await whole(blob)
    assert b"long gone" not in so_far


async def test_a_part_whose_answer_was_lost_at_last_is_deleted_too(blob: WatchedBlob, tmp_path: Path) -> None:
    log = step_log(tmp_path, blob)
    await log.write("first")
    await blob.part(1)
    blob.answer_lost = blob.down = True
    await log.write("second")
    await blob.lost.wait()

    await log.finish()

    assert await blob.get(part_key(KEY, 1)) is None


async def test_whoever_reads_on_at_the_end_fetches_the_new_parts_alone(blob: WatchedBlob) -> None:
    known = KnownParts()
    for number in range(40):
        await DirectoryBlob.put_new(blob, part_key(KEY, number), b"%04d\n" % number, cls="log")
    await read_log(blob, KEY, start=0, length_max=1000, known=known)
    await DirectoryBlob.put_new(blob, part_key(KEY, 40), b"0040\n", cls="log")
    blob.got = []

    piece = await read_log(blob, KEY, start=198, length_max=1000, known=known)

    assert piece == b"9\n0040\n"
    assert blob.got == [KEY, *(part_key(KEY, number) for number in (0, 39, 40, 41))]


async def test_what_is_known_of_an_attempt_is_not_taken_for_the_next_one(blob: WatchedBlob) -> None:
    known = KnownParts()
    for text in (b"01\n", b"23\n"):
        await DirectoryBlob.put(blob, part_key(KEY, 0), text, cls="log")
        await DirectoryBlob.put(blob, part_key(KEY, 1), text * 3, cls="log")
        await read_log(blob, KEY, start=3, length_max=1000, known=known)
    await DirectoryBlob.put(blob, part_key(KEY, 0), b"2026 much longer\n", cls="log")

    piece = await read_log(blob, KEY, start=5, length_max=1000, known=known)

    assert piece == b"much longer\n" + b"23\n" * 3


async def test_logs_that_nobody_read_for_long_are_forgotten(blob: WatchedBlob) -> None:
    known = KnownParts()
    first = known.ends(KEY, b"head")
    first.append(1)
    for number in range(KNOWN_LOGS_MAX - 1):
        known.ends(f"{KEY}.{number}", b"head")

    assert known.ends(KEY, b"head") == [1]
    for number in range(KNOWN_LOGS_MAX):
        known.ends(f"{KEY}.{number}", b"head")
    assert known.ends(KEY, b"head") == []


async def test_a_log_of_nobody_is_none(blob: WatchedBlob) -> None:
    assert await read_log(blob, KEY, start=0, length_max=10) is None


async def test_the_index_leads_to_lines_and_their_times(blob: WatchedBlob, tmp_path: Path) -> None:
    log = step_log(tmp_path, blob)
    for number in range(3 * INDEX_EVERY_BYTES // 100):
        await log.write(f"{number} " + "x" * 80)
    await log.finish()

    data, index = await whole(blob), await index_of(blob)

    assert (index.size, index.lines, index.truncated) == (len(data), data.count(b"\n"), False)
    assert index.sha256 == hashlib.sha256(data).hexdigest()
    assert len(index.marks) >= 3
    for mark in index.marks:
        assert data[: mark.offset].count(b"\n") == mark.line
        assert data[mark.offset :].startswith(f"{mark.time} {mark.line} ".encode())


async def test_the_index_says_that_a_log_was_cut_off(blob: WatchedBlob, tmp_path: Path) -> None:
    log = step_log(tmp_path, blob, bytes_max=200)
    for _ in range(20):
        await log.write("too much")
    await log.finish()

    assert (await index_of(blob)).truncated


async def test_a_log_that_was_given_up_stores_nothing_more_and_leaves_no_task(
    blob: WatchedBlob, tmp_path: Path
) -> None:
    blob.hangs = True
    before = asyncio.all_tasks()
    log = step_log(tmp_path, blob)
    await log.write("a part of this is on its way for ever")
    await blob.hanging.wait()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await log.finish()

    await log.abandon()

    assert asyncio.all_tasks() == before


async def test_parts_end_with_the_spool(blob: WatchedBlob, tmp_path: Path) -> None:
    store = LogStore(blob, KEY, first_part_s=0.0)
    before = asyncio.all_tasks()
    store.begin(tmp_path / "no-such-spool")
    begun = asyncio.all_tasks() - before

    async with asyncio.timeout(10):
        await asyncio.gather(*begun)

    assert len(begun) == 1
    assert asyncio.all_tasks() == before


async def test_an_attempt_that_begins_again_is_read_in_place_of_the_one_before(
    blob: WatchedBlob, tmp_path: Path
) -> None:
    before = step_log(tmp_path, blob)
    await before.write("of the attempt before, which was handed back")
    await before.finish()
    log = step_log(tmp_path, blob)
    await log.write("new")
    await blob.part(1)

    so_far, index = await whole(blob), await blob.get(index_key(KEY))
    await log.finish()

    assert so_far.endswith(b" new\n")
    assert so_far.count(b"\n") == 1
    assert index is None
    assert await whole(blob) == so_far


async def test_parts_of_an_earlier_attempt_are_not_taken_for_its_own(blob: WatchedBlob, tmp_path: Path) -> None:
    for number in range(3):
        await DirectoryBlob.put_new(blob, part_key(KEY, number), b"left by the attempt before\n", cls="log")
    log = step_log(tmp_path, blob)
    await log.write("new")
    await blob.part(1)
    so_far = await whole(blob)

    await log.finish()

    assert so_far.endswith(b" new\n")
    assert b"before" not in so_far
    assert await blob.get(part_key(KEY, 0)) is None


async def test_a_reader_never_sees_lines_of_two_attempts(blob: WatchedBlob, tmp_path: Path) -> None:
    before = step_log(tmp_path, blob)
    await before.write("old")
    await before.finish()
    for number in range(3):
        await DirectoryBlob.put_new(blob, part_key(KEY, number), b"old, and not deleted\n", cls="log")
    log = step_log(tmp_path, blob)
    await log.write("new")
    seen = []
    async with asyncio.timeout(10):
        while not seen or b"new" not in (seen[-1] or b""):
            seen.append(await read_log(blob, KEY, start=0, length_max=1000))

    await log.finish()

    assert not [text for text in seen if text is not None and b"old" in text and b"new" in text]


async def test_a_log_that_ends_while_the_earlier_one_is_dropped_is_kept(blob: WatchedBlob, tmp_path: Path) -> None:
    before = step_log(tmp_path, blob)
    await before.write("old")
    await before.finish()
    blob.deletes_slowly = True
    log = step_log(tmp_path, blob)
    await log.write("new")
    await blob.deleting.wait()
    finishing = asyncio.create_task(log.finish())
    await asyncio.sleep(0)

    blob.may_delete.set()
    await finishing

    assert (await whole(blob)).endswith(b" new\n")
    assert (await index_of(blob)).lines == 1
