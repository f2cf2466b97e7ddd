"""Child processes that end when they must: one process group each, a time limit, and nothing left behind.

    run_process -> leader (sh) ----- its group: every child that did not ask for a group of its own
                     |  stdout and stderr, one pipe
                     v
                  lines, at most 16 KiB each -> output

A group ends in one way, whatever the cause (exit, time limit, cancellation, an error of ours): SIGTERM where the leader
still runs, one second of grace, SIGKILL to all that is left, and the leader reaped. A child that made itself a session
(setsid, a daemon) is outside the group; those of a marked program are found all the same, see `stray.py`.
"""

import asyncio
import contextlib
import itertools
import os
import re
import secrets
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from forge_runtime.mask import Mask
from forge_runtime.stray import MARKER, kill_strays, stat_fields

LINE_BYTES_MAX: Final = 16 * 1024
"""A longer line is cut into several: a program that prints no line break must not fill our memory."""

GRACE_S: Final = 1.0
"""Between SIGTERM and SIGKILL: a cancelled run has to be over within 2 s."""

REAP_S: Final = 5.0
"""After SIGKILL the kernel needs moments; a process that outlives this hangs in a system call."""

_READ_BYTES: Final = 64 * 1024

_LINES_A_TURN: Final = 256
"""Of what was read, handed on before others have their turn: leases are renewed in the same loop."""

_KILLED_PIPE_S: Final = 0.5
"""For what a program that was killed has left in its pipe; one that ended by itself has the grace time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to start. The environment is exactly the given one; standard input is empty.

    `mask` hides the secrets that it knows in the output, also where a long line is cut. `held` are descriptors that
    the program and its children keep open: a lock among them lasts until the last of these ends, even if we do first.

    A `marked` program gets one variable more, by which children are found that leave its group. Of a `legible` one the
    output is text for people: of a line that overwrites itself (progress with carriage returns) what stood there at
    last, no sequences that move a cursor, and a symbol for NUL. Colours stay.
    """

    argv: tuple[str, ...]
    cwd: Path
    environment: Mapping[str, str]
    mask: Mask = field(default_factory=Mask, repr=False)
    held: tuple[int, ...] = ()
    marked: bool = False
    legible: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessEnd:
    """`exit_code` is negative for a signal (-9: SIGKILL), and None if the time limit ended the process."""

    exit_code: int | None

    @property
    def timed_out(self) -> bool:
        return self.exit_code is None


class Piece(str):
    """Of the output what is not a whole line as it was printed: a part of one, or one that was made legible.

    Whoever tells by a line's beginning who printed it must not ask one of these.
    """

    __slots__ = ()


async def run_process(
    program: Program,
    *,
    timeout_s: float,
    output: Callable[[str], Awaitable[None]],
    groups: Path | None = None,
    grace_s: float = GRACE_S,
) -> ProcessEnd:
    """Run a program to its end and hand its output on line by line, stdout and stderr as they come; see `Piece`.

    `groups` is a directory where the group is noted while it lives, for `kill_stale_groups`. Raises OSError if the
    program cannot be started. Cancelling ends the group before this returns.
    """
    token = secrets.token_hex(8) if program.marked else ""
    marker = {MARKER: token} if token else {}
    read_fd, write_fd = os.pipe()
    # A pipe of our own: asyncio's wait() would wait for its pipes too, which a background child may hold open.
    try:
        process = await asyncio.create_subprocess_exec(
            *program.argv,
            cwd=program.cwd,
            env={**program.environment, **marker},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=write_fd,
            stderr=write_fd,
            start_new_session=True,
            pass_fds=program.held,
        )
    except BaseException:
        os.close(read_fd)
        raise
    finally:
        os.close(write_fd)
    exited = asyncio.ensure_future(process.wait())
    reading = asyncio.ensure_future(_read_lines(read_fd, output, program))
    note: Path | None = None
    try:
        note = note_group(groups, process.pid, token) if groups else None
        await _first_to_end(exited, reading, timeout_s)
        exit_code = exited.result() if exited.done() else None
    finally:
        try:
            await settle(asyncio.ensure_future(_end_group(process.pid, token, exited, reading, grace_s)))
        finally:
            if note:
                note.unlink(missing_ok=True)
    if not reading.cancelled():
        reading.result()
    return ProcessEnd(exit_code=exit_code)


async def settle(task: asyncio.Future[Any]) -> None:
    """Wait until a task is done, through cancellations of ours: they are raised afterwards, its own outcome is not."""
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError


def note_group(directory: Path, pid: int, token: str = "") -> Path:
    """Note a group by its leader, for `kill_stale_groups`; whoever sees the group end removes the file."""
    directory.mkdir(parents=True, exist_ok=True)
    note = directory / f"{pid}.group"
    note.write_text(f"{pid} {_start_time(pid)} {token}".rstrip(), encoding="ascii")
    return note


def kill_stale_groups(directory: Path) -> int:
    """Kill the groups that a killed process left behind, and forget them; returns how many there were.

    A note holds the leader's process id and start time, so that a process which got the same id later is spared, and
    the token of a marked program. Missed is what was started in the moment before its note, and of a program without
    a token a group whose leader ended with the worker.
    """
    killed = 0
    for note in sorted(directory.glob("*.group")):
        pid, started, token = [*note.read_text(encoding="ascii", errors="replace").split(" "), "", ""][:3]
        found = pid.isdigit() and started != "" and _start_time(int(pid)) == started
        if found:
            _signal_group(int(pid), signal.SIGKILL)
        strays = kill_strays(token) if token else 0
        killed += 1 if found or strays else 0
        note.unlink(missing_ok=True)
    return killed


async def _first_to_end(exited: asyncio.Future[Any], reading: asyncio.Future[Any], timeout_s: float) -> None:
    """Wait for the leader's exit or the limit; an error of the reader ends the wait as well."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await asyncio.wait({exited, reading}, return_when=asyncio.FIRST_COMPLETED)
            if not exited.done() and reading.exception() is None:  # output closed early, the leader goes on
                await asyncio.wait({exited})


async def _end_group(
    pid: int, token: str, exited: asyncio.Future[int], reading: asyncio.Future[None], grace_s: float
) -> None:
    pipe_s = GRACE_S if exited.done() else _KILLED_PIPE_S
    if not exited.done():
        _signal_group(pid, signal.SIGTERM)
        await asyncio.wait({exited}, timeout=grace_s)
    if token:  # while their parents live: some are found in no other way
        await asyncio.to_thread(kill_strays, token)
    _signal_group(pid, signal.SIGKILL)
    await asyncio.wait({exited}, timeout=REAP_S)
    # What the pipe still holds is read; only an escaped child can keep it open longer.
    await asyncio.wait({reading}, timeout=pipe_s)
    reading.cancel()
    await asyncio.wait({reading})


async def _read_lines(read_fd: int, output: Callable[[str], Awaitable[None]], program: Program) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=_READ_BYTES)
    pipe = os.fdopen(read_fd, "rb", buffering=0)
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    mask, shown = program.mask, _legible if program.legible else _as_it_is
    try:
        hidden = pending = b""  # of the line that goes on: what is masked already, and what is not
        begun = False  # whether a part of that line was handed on
        numbers = itertools.count(1)
        while chunk := await reader.read(_READ_BYTES):
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                if next(numbers) % _LINES_A_TURN == 0:
                    await asyncio.sleep(0)
                printed = hidden + mask.data(line.removesuffix(b"\r"))
                for piece in _pieces(printed, shown(printed, mask), begun):
                    await output(piece)
                hidden, begun = b"", False
            if len(pending) > LINE_BYTES_MAX:
                cut = mask.cut(pending)
                hidden, pending = hidden + mask.data(pending[:cut]), pending[cut:]
                while len(hidden) > LINE_BYTES_MAX:
                    await output(Piece(_text(shown(hidden[:LINE_BYTES_MAX], mask))))
                    hidden, begun = hidden[LINE_BYTES_MAX:], True
        if hidden or pending:
            printed = hidden + mask.data(pending)
            for piece in _pieces(printed, shown(printed, mask), begun):
                await output(piece)
    finally:
        transport.close()


def _as_it_is(line: bytes, _mask: Mask) -> bytes:
    return line


def _legible(line: bytes, mask: Mask) -> bytes:
    """A masked line as a person would see it; what comes together where something was dropped is masked again."""
    if not _CONTROL.search(line):
        return line
    last = next((part for part in reversed(line.split(b"\r")) if part), b"")
    return mask.data(_MOVES.sub(b"", last).replace(b"\0", _NUL))


def _pieces(printed: bytes, shown: bytes, begun: bool) -> list[str]:
    whole = not begun and shown == printed and len(shown) <= LINE_BYTES_MAX
    texts = [_text(shown[at : at + LINE_BYTES_MAX]) for at in range(0, len(shown) or 1, LINE_BYTES_MAX)]
    return texts if whole else [Piece(text) for text in texts]


def _text(line: bytes) -> str:
    return line.decode("utf-8", errors="replace")


_CONTROL: Final = re.compile(rb"[\0\r\x1b]")
_MOVES: Final = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-ln-~]")
"""Of the control sequences all but those that end in "m", which are colours."""

_NUL: Final = "\N{SYMBOL FOR NULL}".encode()


def _signal_group(pid: int, number: signal.Signals) -> None:
    """The id of a group is not given away while a member lives; an empty group is the aim, not an error."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _start_time(pid: int) -> str:
    """Clock ticks between boot and the process's start, from /proc; "" where there is no such process (or no /proc)."""
    fields = stat_fields(pid)
    return "" if fields is None else fields[19]
