"""A worker's own directory on its machine: scratch files and notes of process groups, for one process at a time.

A worker that starts ends what one of its name has left behind. Were that one still there, its steps would be killed
under its hands, and told as the repository's failures.
"""

import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from forge_runtime.settings import BadSettings

WAIT_S: Final = 45.0
"""For one that drains: its grace time of 10 s, unless set otherwise, and what handing back takes."""

LOOK_S: Final = 0.2

_log = logging.getLogger(__name__)


@contextmanager
def only_one(folder: Path, *, wait_s: float = WAIT_S) -> Iterator[None]:
    """Have the directory as long as the block lasts; BadSettings if another process has it for longer than `wait_s`."""
    with ExitStack() as held:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            held.callback(os.close, lock)
            _take(lock, folder, wait_s)
        except OSError as error:
            # Without a disk there is no room for work either, which the worker says as long as that lasts; and there
            # are file systems that have no locks.
            _log.warning("cannot see whether another worker has this directory", extra={"why": str(error)})
        yield


def _take(lock: int, folder: Path, wait_s: float) -> None:
    """The lock belongs to the kernel: it ends with its process, however that ends."""
    end = time.monotonic() + wait_s
    waits = False
    while not _taken(lock):
        if not waits:
            waits = True
            _log.warning("another worker of this name has not ended, waiting", extra={"folder": str(folder)})
        if time.monotonic() >= end:
            raise BadSettings(f"--name {folder.name}: another worker of this name runs, in {folder}; give each its own")
        time.sleep(LOOK_S)


def _taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
