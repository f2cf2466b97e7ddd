"""The directories that work is done in: whether there is room, reading and removing what work left behind, whose fault
it is where that fails."""

import errno
import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import IO, Final

REMOVE_LIMIT_S: Final = 300.0
"""For the slow way; a module cache of 100 000 files takes seconds."""


ROOM_BYTES: Final = 1024 * 1024
"""What is written to see whether anything can be: no promise that a build fits, but a full disk is found out."""


def check_room(path: Path) -> None:
    """OSError unless files can be written below `path`, which is made if it is not there."""
    path.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path) as file:
        file.write(bytes(ROOM_BYTES))


def machine_failed(error: OSError) -> bool:
    """Whether this machine lacks something (room, descriptors, memory) that no change of the repository would give it.

    Such errors say nothing of what was asked for: they go on as they are, and the attempt is made again elsewhere.
    """
    return error.errno in _MACHINE


def open_plain(path: Path) -> IO[bytes]:
    """A plain file that a build left there; never waits. A link or a pipe of theirs would lead elsewhere: OSError."""
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is no plain file", str(path))
    return file


def remove_folder(path: Path) -> None:
    """A directory, whatever it holds; what cannot be removed stays for whoever owns the directory above.

    Builds leave directories that even their owner may not write to (a module cache, for one), and now and then one so
    deep that its path is longer than the system allows: `chmod` and `rm` manage both.
    """
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return
    except (OSError, RecursionError):
        for command in (("chmod", "-R", "u+rwX"), ("rm", "-r", "-f")):
            subprocess.run([*command, "--", path], capture_output=True, timeout=REMOVE_LIMIT_S, check=False)


_MACHINE: Final = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EROFS,
        errno.EIO,
        errno.EMFILE,
        errno.ENFILE,
        errno.EAGAIN,
        errno.ENOMEM,
    }
)
