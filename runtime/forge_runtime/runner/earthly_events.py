"""What the build CLI says itself, told apart from what the commands of an Earthfile print.

On its output the two cannot be told apart for certain: `RUN --raw-output` prints without a target's name in front, and
so may look like any line of the CLI. The CLI can also write all that happens as JSON, a line each
(`--logstream-debug-file`), and there every piece of text has the id of the command that it came from; the CLI's own is
none of a target's. As a file this would grow with all that a build prints. So it is a pipe, and nothing is kept of it
but names of images.

    CLI --JSON lines--> pipe --> of "_generic:default" --> "Image ... output as NAME"
"""

import asyncio
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

LINE_BYTES_MAX: Final = 1024 * 1024
"""A longer line is none of the CLI's own, and passed over."""

IMAGES_MAX: Final = 100

_READ_BYTES: Final = 64 * 1024
_DRAIN_READS_MAX: Final = 64
"""A pipe holds 64 KiB on Linux, or what somebody enlarged it to; who writes after the CLI's end is not listened to."""


@dataclass(slots=True)
class OwnWords:
    """`images`: the names under which the CLI handed images to the container engine, as its summary lists them."""

    images: list[str] = field(default_factory=list)
    _pending: bytearray = field(default_factory=bytearray)
    _too_long: bool = False

    def take(self, data: bytes) -> None:
        *ends, rest = data.split(b"\n")
        for end in ends:
            line, whole = self._pending + end, not self._too_long
            self._pending, self._too_long = bytearray(), False
            if whole and len(line) <= LINE_BYTES_MAX and _OWN in line:
                self._event(bytes(line))
        self._pending += rest
        if len(self._pending) > LINE_BYTES_MAX:
            self._pending, self._too_long = bytearray(), True

    def _event(self, line: bytes) -> None:
        try:
            log = _DECODER.decode(line).delta_log
        except (msgspec.DecodeError, RecursionError):
            return
        if log is None or log.command_id != _OWN.decode():
            return
        # The CLI writes each line of its summary at once. A line within a longer text may be the Earthfile's.
        match = _IMAGE.fullmatch(log.data.decode(errors="replace"))
        if match and match[1] not in self.images and len(self.images) < IMAGES_MAX:
            self.images.append(match[1])


@contextmanager
def own_words(pipe: Path | None) -> Iterator[OwnWords]:
    """While the CLI writes to the pipe, which is made here. Complete at the end of the block; OSError."""
    words = OwnWords()
    if pipe is None:
        yield words
        return
    os.mkfifo(pipe, 0o600)
    # For writing too, or opening it would wait for the CLI, and end of file come with each that closes it.
    descriptor = os.open(pipe, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    loop = asyncio.get_running_loop()
    try:
        loop.add_reader(descriptor, _read, descriptor, words)
        try:
            yield words
        finally:
            loop.remove_reader(descriptor)
            for _ in range(_DRAIN_READS_MAX):
                if not _read(descriptor, words):
                    break
    finally:
        os.close(descriptor)


def _read(descriptor: int, words: OwnWords) -> bool:
    with suppress(BlockingIOError):
        words.take(os.read(descriptor, _READ_BYTES))
        return True
    return False


class _Log(Struct, rename="camel"):
    command_id: str = ""
    data: bytes = b""


class _Event(Struct, rename="camel"):
    delta_log: _Log | None = None


_OWN: Final = b"_generic:default"
_DECODER: Final = msgspec.json.Decoder(_Event)
_IMAGE: Final = re.compile(r"Image \S+ output as (\S+)\n?")
