"""A step's log: what is kept, what is hidden, what is sent while it runs."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from forge_runtime.blob import BlobUnavailable, DirectoryBlob
from forge_runtime.log import BATCH_BYTES_MAX, StepLog
from forge_runtime.log_store import LogStore, log_key

NOW = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)
STAMP = "2026-03-01T12:00:00.250Z"


class Live:
    """Receives batches, and tells when one came."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, bytes]] = []
        self.came = asyncio.Event()

    async def send(self, offset: int, data: bytes) -> None:
        self.batches.append((offset, data))
        self.came.set()


def stored(blob: DirectoryBlob, key: str = "log") -> str:
    data = asyncio.run(blob.get(key))
    assert data is not None
    return data.decode()


@pytest.fixture
def blob(tmp_path: Path) -> DirectoryBlob:
    return DirectoryBlob(tmp_path / "objects")


def test_the_object_holds_every_line_with_its_time(blob: DirectoryBlob, tmp_path: Path) -> None:
    async def scenario() -> None:
        log = StepLog(tmp_path / "spool", Live().send, lambda: LogStore(blob, "log"), clock=lambda: NOW)
        await log.write("one")
        await log.write("zwei ü")
        await log.finish()

    asyncio.run(scenario())

    assert stored(blob) == f"{STAMP} one\n{STAMP} zwei ü\n"
    assert not (tmp_path / "spool").exists()


def test_secrets_are_hidden_everywhere(blob: DirectoryBlob, tmp_path: Path) -> None:
    live = Live()
    secrets = ["pass", "password1", "-----BEGIN\nabc123\n", ""]

    async def scenario() -> tuple[str, ...]:
        log = StepLog(tmp_path / "spool", live.send, lambda: LogStore(blob, "log"), clock=lambda: NOW)
        log.mask.hide(secrets)
        await log.write("a password1 b pass c")
        await log.write("abc123")
        await log.finish()
        return log.tail(2)

    tail = asyncio.run(scenario())

    assert tail == ("a *** b *** c", "***")
    assert stored(blob) == f"{STAMP} a *** b *** c\n{STAMP} ***\n"
    assert b"".join(data for _, data in live.batches).decode() == stored(blob)


def test_a_message_of_several_lines_is_as_many_lines_of_the_log(blob: DirectoryBlob, tmp_path: Path) -> None:
    async def scenario() -> tuple[str, ...]:
        log = StepLog(tmp_path / "spool", Live().send, lambda: LogStore(blob, "log"), clock=lambda: NOW)
        await log.write("it failed:\n2020-01-01T00:00:00.000Z nothing did\n")
        await log.finish()
        return log.tail(2)

    tail = asyncio.run(scenario())

    assert stored(blob) == f"{STAMP} it failed:\n{STAMP} 2020-01-01T00:00:00.000Z nothing did\n{STAMP} \n"
    assert json.loads(stored(blob, "log.index.json"))["lines"] == 3
    assert tail == ("2020-01-01T00:00:00.000Z nothing did", "")


def test_live_batches_are_the_object_cut_at_their_offsets(blob: DirectoryBlob, tmp_path: Path) -> None:
    live = Live()

    async def scenario() -> None:
        log = StepLog(tmp_path / "spool", live.send, lambda: LogStore(blob, "log"), clock=lambda: NOW)
        for number in range(5000):
            await log.write(f"line {number} " + "x" * (number % 97))
        await log.write("y" * 3 * BATCH_BYTES_MAX)
        await log.finish()

    asyncio.run(scenario())

    data = stored(blob).encode()
    assert len(live.batches) > 5
    assert all(len(batch) <= BATCH_BYTES_MAX for _, batch in live.batches)
    assert all(data[offset : offset + len(batch)] == batch for offset, batch in live.batches)
    assert b"".join(batch for _, batch in live.batches) == data


def test_a_single_line_is_sent_without_waiting_for_more(blob: DirectoryBlob, tmp_path: Path) -> None:
    live = Live()

    async def scenario() -> None:
        log = StepLog(tmp_path / "spool", live.send, lambda: LogStore(blob, "log"), clock=lambda: NOW)
        await log.write("first")
        await asyncio.wait_for(live.came.wait(), 5)
        live.came.clear()
        await log.write("second")
        await asyncio.wait_for(live.came.wait(), 5)
        await log.finish()

    asyncio.run(scenario())

    assert [data.decode().split()[1] for _, data in live.batches] == ["first", "second"]


def test_a_log_above_its_limit_ends_with_a_line_that_says_so(blob: DirectoryBlob, tmp_path: Path) -> None:
    async def scenario() -> tuple[str, ...]:
        log = StepLog(tmp_path / "spool", Live().send, lambda: LogStore(blob, "log"), clock=lambda: NOW, bytes_max=1000)
        for number in range(100):
            await log.write(f"line {number:03d}")
        await log.finish()
        return log.tail(1)

    tail = asyncio.run(scenario())

    lines = stored(blob).splitlines()
    assert lines[-1].endswith("the log is longer than 1000 bytes: what follows is not kept")
    assert sum("longer than" in line for line in lines) == 1
    assert len(lines) == 1000 // len(f"{STAMP} line 000\n") + 1
    assert tail == ("line 099",)


def test_finishing_can_be_repeated_after_the_store_was_unavailable(blob: DirectoryBlob, tmp_path: Path) -> None:
    in_the_way = tmp_path / "objects"
    in_the_way.write_text("not a directory")

    async def scenario() -> None:
        log = StepLog(tmp_path / "spool", Live().send, lambda: LogStore(blob, "log"), clock=lambda: NOW)
        await log.write("kept")
        with pytest.raises(BlobUnavailable):
            await log.finish()
        in_the_way.unlink()
        await log.finish()

    asyncio.run(scenario())

    assert stored(blob) == f"{STAMP} kept\n"


@pytest.mark.parametrize(
    ("attempt", "key"),
    [(1, "pipeline-runs/r/logs/test/web/unit.log"), (3, "pipeline-runs/r/logs/test/web/unit.3.log")],
)
def test_each_attempt_has_a_log_of_its_own(attempt: int, key: str) -> None:
    assert log_key("r", "test", "web", "unit", attempt) == key
