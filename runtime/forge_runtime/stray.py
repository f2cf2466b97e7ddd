"""Finding processes that left their group: daemons, and whatever else called setsid. Linux, by /proc.

    leader (sh) --- its group ---------------- ends with the group
       '-- setsid ... has MARKER=<token> ----- found by the variable that it inherited
              '-- env -i ... without it ------ found below its parent, while that lives

A process that clears its environment and whose parents have all ended is not found: without a control group of its
own or a container, nothing tells whose it was.
"""

import os
import signal
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

MARKER: Final = "_FORGE_PROCESS"

ROUNDS_MAX: Final = 50
"""Of looking and killing: a process may start another between the two."""

ROUND_PAUSE_S: Final = 0.01

_PROC: Final = Path("/proc")


def kill_strays(token: str, *, spare: Iterable[int] = ()) -> int:
    """Kill all processes of this token, until there are none; returns how many there were."""
    spared = frozenset({*spare, os.getpid()})
    killed: set[int] = set()
    for _ in range(ROUNDS_MAX):
        found = find_strays(token) - spared
        if not found:
            break
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        killed |= found
        time.sleep(ROUND_PAUSE_S)
    return len(killed)


def find_strays(token: str) -> set[int]:
    """The living processes with this token in their environment, and all below them."""
    wanted = f"{MARKER}={token}".encode()
    own = {pid for pid in _pids() if wanted in _environment(pid) and _parent(pid) is not None}
    return own | _below(own, _parents()) if own else own


def stat_fields(pid: int) -> list[str] | None:
    """What /proc tells of a process behind its name: the state, the parent, ...; None where there is no such process.

    Field n of proc(5) is item n - 3. The name is in parentheses, and may hold spaces and parentheses itself.
    """
    try:
        stat = (_PROC / str(pid) / "stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    return stat.rpartition(")")[2].split()


def _below(roots: set[int], parents: Mapping[int, int]) -> set[int]:
    found, news = set(roots), set(roots)
    while news:
        news = {pid for pid, parent in parents.items() if parent in news} - found
        found |= news
    return found


def _parents() -> dict[int, int]:
    return {pid: parent for pid in _pids() if (parent := _parent(pid)) is not None}


def _parent(pid: int) -> int | None:
    """None for one that is gone, or waits only to be reaped."""
    fields = stat_fields(pid)
    return None if fields is None or fields[0] == "Z" else int(fields[1])


def _environment(pid: int) -> list[bytes]:
    try:
        return (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:  # another user's, or gone
        return []


def _pids() -> list[int]:
    try:
        return [int(path.name) for path in _PROC.iterdir() if path.name.isdigit()]
    except OSError:
        return []
