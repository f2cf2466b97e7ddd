"""Removing what a build left behind."""

import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path


def remove_folder(path: Path) -> None:
    """A directory, whatever it holds; what cannot be removed stays for whoever owns the directory above."""
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return
    except OSError:
        # Builds leave directories that even their owner may not write to (a module cache, for one).
        for directory, _, _ in os.walk(path):
            with suppress(OSError):
                os.chmod(directory, stat.S_IRWXU)  # noqa: PTH101 - os.walk speaks of names
        shutil.rmtree(path, ignore_errors=True)
