"""The tools that are compared with, and where they are; None for one that is not on this machine."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "catalyst-forge" / "bench"
INSTALL_LIMIT_S: Final = 900

PYTHON: Final = sys.executable
FORGEC: Final = str(Path(sys.executable).parent / "forgec")


def peers() -> Path | None:
    """The `bin` folder of an environment with the peers, made the first time; None where they cannot be had."""
    requirements = HERE / "peers" / "requirements.txt"
    folder = CACHE / "peers"
    stamp = folder / "requirements.txt"
    if stamp.exists() and stamp.read_bytes() == requirements.read_bytes():
        return folder / "bin"
    print("installing the peers to compare with (a minute or two) ...", file=sys.stderr)
    try:
        _run(PYTHON, "-m", "venv", "--clear", str(folder))
        _run(str(folder / "bin/pip"), "install", "-q", "--disable-pip-version-check", "-r", str(requirements))
        _run(str(folder / "bin/python"), "-m", "compileall", "-q", str(folder / "lib"))
    except (OSError, subprocess.SubprocessError) as error:
        print(f"not compared with peers: {error}", file=sys.stderr)
        return None
    shutil.copy(requirements, stamp)
    return folder / "bin"


def cue() -> str | None:
    """The `cue` command: the one that the conformance tests built, or on the PATH."""
    built = (str(path.parent) for path in sorted((CACHE.parent / "tools").glob("cue-*/cue")))
    return shutil.which("cue", path=os.pathsep.join([*built, os.environ.get("PATH", "")]))


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, timeout=INSTALL_LIMIT_S, stdout=subprocess.DEVNULL)
