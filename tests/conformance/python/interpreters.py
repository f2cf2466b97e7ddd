"""The Pythons of this machine, each with the compiler's dependencies in a folder of its own.

What is installed lies in FORGE_TOOLS or else `~/.cache/catalyst-forge/tools`, in a folder named after the interpreter
and the versions, which are the ones that these tests run with. The compiler itself is not installed: it is run from
its sources.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Final

from tests.go_tool import Unavailable, tools_folder

DEPENDENCIES: Final = ("msgspec", "lark", "google-re2")
OLDEST: Final = (3, 11)
INSTALL_LIMIT_S: Final = 90

_ABOUT = "import json, sys; print(json.dumps([sys.implementation.name, *sys.version_info[:3]]))"


def interpreters() -> dict[str, Path]:
    """By version, those that may run the compiler and are not the one that runs the tests."""
    found = {}
    for path in _candidates():
        done = subprocess.run([path, "-I", "-c", _ABOUT], capture_output=True, text=True, timeout=30, check=False)
        if done.returncode == 0:
            name, *numbers = json.loads(done.stdout)
            if name == "cpython" and (numbers[0], numbers[1]) >= OLDEST and tuple(numbers) != sys.version_info[:3]:
                found.setdefault(".".join(map(str, numbers)), path)
    return dict(sorted(found.items()))


def dependencies(path: Path, name: str) -> Path:
    """The folder of the dependencies for an interpreter; Unavailable where they cannot be installed."""
    wanted = [f"{package}=={version(package)}" for package in DEPENDENCIES]
    key = hashlib.sha256(" ".join(wanted).encode()).hexdigest()[:16]
    folder = tools_folder() / f"python-{name}-{key}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as unfinished:
            _install(path, wanted, Path(unfinished) / "packages")
            with suppress(OSError):  # another test run was faster
                (Path(unfinished) / "packages").rename(folder)
    return folder


def _candidates() -> list[Path]:
    known = [Path.home() / ".pyenv" / "versions", Path.home() / ".local" / "share" / "uv" / "python"]
    managed = [path for folder in known for path in sorted(folder.glob("*/bin/python3"))]
    on_path = [shutil.which(f"python{OLDEST[0]}.{minor}") for minor in range(OLDEST[1], OLDEST[1] + 10)]
    return [*map(Path, filter(None, on_path)), *managed, Path("/usr/bin/python3")]


def _install(path: Path, packages: list[str], folder: Path) -> None:
    options = [
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
        "--retries=1",
        "--timeout=10",
        "--only-binary",
        ":all:",
        "--target",
        str(folder),
    ]
    try:
        done = subprocess.run(
            [path, "-m", "pip", "install", *options, *packages],
            capture_output=True,
            text=True,
            timeout=INSTALL_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"pip did not install its packages within {INSTALL_LIMIT_S} s") from None
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise Unavailable(f"pip cannot install its packages: {reason}")
