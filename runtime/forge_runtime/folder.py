"""The directories that work is done in: whether there is room for it, and removing what it left behind."""

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

REMOVE_LIMIT_S: Final = 300.0
"""For the slow way; a module cache of 100 000 files takes seconds."""


ROOM_BYTES: Final = 1024 * 1024
"""What is written to see whether anything can be: no promise that a build fits, but a full disk is found out."""


def check_room(path: Path) -> None:
    """OSError unless files can be written below `path`, which is made if it is not there."""
    path.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path) as file:
        file.write(bytes(ROOM_BYTES))


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
