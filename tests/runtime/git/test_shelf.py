"""The locks of the cache."""

import asyncio
import os
from pathlib import Path

import pytest

from forge_runtime.git.error import GitError
from forge_runtime.git.shelf import Entry, Shelf
from forge_runtime.process import Program, run_process

LIMIT_S = 30.0


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path, patience_s=LIMIT_S)


async def ignore(_line: str) -> None:
    return None


async def test_lock_lasts_as_long_as_the_command_that_was_given_it(shelf: Shelf, tmp_path: Path) -> None:
    lock = Entry(tmp_path, "a").lock
    os.mkfifo(tmp_path / "end")
    program = Program(argv=("cat", str(tmp_path / "end")), cwd=tmp_path, environment=dict(os.environ))

    async with asyncio.timeout(LIMIT_S):
        async with shelf.exclusive(lock) as held:
            with_lock = Program(argv=program.argv, cwd=tmp_path, environment=program.environment, held=(held,))
            child = asyncio.create_task(run_process(with_lock, timeout_s=LIMIT_S, output=ignore))
            end = await asyncio.to_thread((tmp_path / "end").open, "wb")  # opens once the child has it open
        async with shelf.at_once(lock) as during:
            assert during is None
        end.close()
        await child
        async with shelf.at_once(lock) as after:
            assert after is not None


async def test_lock_that_others_hold_for_too_long_is_an_error_of_the_infrastructure(tmp_path: Path) -> None:
    lock = Entry(tmp_path, "a").lock
    patient, impatient = Shelf(tmp_path, patience_s=LIMIT_S), Shelf(tmp_path, patience_s=0.05)

    async with patient.exclusive(lock):
        with pytest.raises(GitError, match="locked by others") as caught:
            async with impatient.exclusive(lock):
                pass

    assert caught.value.error_class == "infra"
    async with impatient.exclusive(lock):
        pass


async def test_task_that_waits_for_its_turn_too_long_gives_up_as_well(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, patience_s=0.05)
    lock = Entry(tmp_path, "a").lock

    async with shelf.exclusive(lock):
        with pytest.raises(GitError, match="locked by others"):
            async with shelf.exclusive(lock):
                pass


async def test_cancelled_waiter_leaves_the_lock_to_the_next(shelf: Shelf, tmp_path: Path) -> None:
    lock = Entry(tmp_path, "a").lock

    async def wait() -> None:
        async with shelf.exclusive(lock):
            raise AssertionError

    async with shelf.exclusive(lock):
        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    async with asyncio.timeout(LIMIT_S), shelf.exclusive(lock) as held:
        assert held >= 0


async def test_lease_waits_only_while_somebody_is_alone(shelf: Shelf, tmp_path: Path) -> None:
    entry = Entry(tmp_path, "a")

    with shelf.alone(entry) as alone:
        waiting = asyncio.create_task(shelf.lease(entry))
        await asyncio.sleep(0)
        assert alone
        assert not waiting.done()
    async with asyncio.timeout(LIMIT_S):
        first, second = await waiting, await shelf.lease(entry)
    with shelf.alone(entry) as alone:
        assert not alone
    first.release()
    second.release()

    with shelf.alone(entry) as alone:
        assert alone
