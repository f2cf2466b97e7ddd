"""Programs in Go that judge the project in tests: built once, and found there afterwards.

Each is a folder with its own go.mod, which pins what it is made of, and go.sum, which seals it. What is built lies in
FORGE_TOOLS or else `~/.cache/catalyst-forge/tools`, in a folder named after what it was built from.
"""

import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path


class Unavailable(Exception):
    """The programs are not here and cannot be built; the text says why."""


def built(name: str, source: Path, packages: Mapping[str, str], *, limit_s: float, tags: Sequence[str] = ()) -> Path:
    """The folder of the programs, each built from its package with Go's build tags; one builder at a time. Raises
    Unavailable.

    What a build that ran into its limit has compiled is kept by Go, so the next one takes less.
    """
    go = shutil.which("go")
    if go is None:
        raise Unavailable("Go, which builds it, is not installed")
    sources = b"".join(each.read_bytes() for each in sorted(source.iterdir()))
    folder = tools_folder() / f"{name}-{hashlib.sha256(sources).hexdigest()[:16]}"
    with _locked(folder):
        for program, package in packages.items():
            if not (folder / program).exists():
                _build([go, "build", f"-tags={','.join(tags)}"], source, package, folder / program, limit_s)
    return folder


def tools_folder() -> Path:
    """Where everything is kept that tests install or build for themselves."""
    given = os.environ.get("FORGE_TOOLS")
    return Path(given) if given else Path.home() / ".cache" / "catalyst-forge" / "tools"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(build: Sequence[str], source: Path, package: str, target: Path, limit_s: float) -> None:
    unfinished = target.with_suffix(".new")
    command = ["nice", *build, "-mod=readonly", "-buildvcs=false", "-trimpath", "-o", str(unfinished), package]
    process = subprocess.Popen(
        command,
        cwd=source,
        env={**os.environ, "CGO_ENABLED": "0"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # so that a build that takes too long ends with all of its compilers
    )
    try:
        _, stderr = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"Go did not build it within {limit_s:.0f} s") from None
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    if process.returncode != 0:
        reason = (stderr.strip().splitlines() or ["no reason given"])[-1]
        raise Unavailable(f"Go cannot build it: {reason}")
    unfinished.rename(target)
