"""The objects of a git repository, whole: one `cat-file --batch` child answers for all of them.

Many names are asked for at once, and their answers taken as they come: a question that waits for the answer before it
costs two turns of the scheduler, twenty times what git needs for it.
"""

import os
import re
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

READ_TIMEOUT_S: Final = 60.0
"""Of all that is asked at once: far above what a slow disk needs."""


class GitObject(Struct, frozen=True):
    id: str
    kind: str
    content: bytes


class TooLarge(Exception):
    """The content is on its way: the child is of no further use."""


class Objects:
    """The child runs until `close`. After an error it is of no use."""

    def __init__(self, repository: Path, environment: Mapping[str, str]) -> None:
        self._child = subprocess.Popen(
            ("git", "-C", str(repository), "--no-pager", "--no-replace-objects", "cat-file", "--batch"),
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        assert self._child.stderr is not None
        self._questions = self._child.stdin.fileno()
        self._answers = self._child.stdout.fileno()
        self._complaints = self._child.stderr.fileno()
        os.set_blocking(self._questions, False)
        self._poll = select.poll()
        self._poll.register(self._answers, select.POLLIN)
        self._poll.register(self._complaints, select.POLLIN)
        self._unasked = bytearray()
        self._buffer = bytearray()
        self._said = b""

    def read(self, names: Sequence[str], size_max: int) -> list[GitObject | None]:
        """What each name stands for; None if there is no such object, or several.

        Raises OSError, with git's own words if it said any, and TooLarge.
        """
        if any("\n" in name or "\0" in name for name in names):
            return [None if "\n" in name or "\0" in name else self.read([name], size_max)[0] for name in names]
        end = time.monotonic() + READ_TIMEOUT_S
        self._unasked += b"".join(name.encode(errors="surrogateescape") + b"\n" for name in names)
        self._ask()
        return [self._answer(size_max, end) for _ in names]

    def close(self) -> None:
        self._child.kill()
        with self._child:  # closes the pipes and waits
            pass

    def _answer(self, size_max: int, end: float) -> GitObject | None:
        while (line_end := self._buffer.find(b"\n")) < 0:
            self._receive(end)
        header = _HEADER.fullmatch(self._take(line_end + 1))
        if header is None:
            return None
        size = int(header[3])
        if size > size_max:
            raise TooLarge
        while len(self._buffer) <= size:
            self._receive(end)
        content = self._take(size)
        self._take(1)  # the line break after it
        return GitObject(header[1].decode(), header[2].decode(), content)

    def _ask(self) -> None:
        """As much as git takes now: it may wait for us to take an answer first."""
        try:
            while self._unasked:
                del self._unasked[: os.write(self._questions, self._unasked)]
        except BlockingIOError:
            self._poll.register(self._questions, select.POLLOUT)
        except BrokenPipeError:
            raise self._ended() from None

    def _receive(self, end: float) -> None:
        left_s = end - time.monotonic()
        ready = dict(self._poll.poll(left_s * 1000)) if left_s > 0 else {}
        if not ready:
            raise TimeoutError(f"git gave no answer for {READ_TIMEOUT_S:.0f} s")
        if self._questions in ready:
            self._poll.unregister(self._questions)
            self._ask()
        if self._complaints in ready and not self._listen():
            self._poll.unregister(self._complaints)
        if self._answers in ready:
            received = os.read(self._answers, _RECEIVED_BYTES_MAX)
            if not received:
                raise self._ended()
            self._buffer += received

    def _listen(self) -> bool:
        """Whether git may say more about what is wrong. All of it is read, since git waits until it is."""
        heard = os.read(self._complaints, _RECEIVED_BYTES_MAX)
        self._said = (self._said + heard)[-_SAID_BYTES_MAX:]
        return bool(heard)

    def _ended(self) -> OSError:
        """Why git is no longer there, in its own words."""
        self._child.kill()
        while self._listen():
            pass
        lines = self._said.decode(errors="replace").strip().splitlines()
        return ConnectionError(lines[-1] if lines else "git ended early")

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken


_RECEIVED_BYTES_MAX: Final = 256 * 1024
_SAID_BYTES_MAX: Final = 4 * 1024

_HEADER: Final = re.compile(rb"([0-9a-f]{40,64}) ([a-z]+) ([0-9]+)\n")
"""Any other answer repeats the name and ends with a word: `missing`, `ambiguous`."""
