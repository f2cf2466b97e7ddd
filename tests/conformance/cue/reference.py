"""CUE's reference implementation, as a command and as a process that judges a stream of configurations.

Both are built from the modules that `driver/go.mod` pins and `driver/go.sum` seals, once, into FORGE_TOOLS or else
`~/.cache/catalyst-forge/tools`, in a folder named after what they were built from.
"""

import fcntl
import functools
import hashlib
import json
import os
import select
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DRIVER: Final = Path(__file__).with_name("driver")
BUILD_LIMIT_S: Final = 600.0
"""The first build compiles some 300 packages and may have to load them."""
ANSWER_LIMIT_S: Final = 20.0
"""For one configuration of some lines: it takes a millisecond, or an evaluation that grows without end."""


class Unavailable(Exception):
    """The tools are not here and cannot be built; the text says why."""


@dataclass(frozen=True, slots=True)
class Tools:
    cue: Path
    driver: Path
    version: str


@functools.cache
def tools() -> Tools:
    """Build what is not built yet. Raises Unavailable."""
    go = shutil.which("go")
    if go is None:
        raise Unavailable("Go, which builds it, is not installed")
    sources = sorted(DRIVER.iterdir())
    folder = _cache() / f"cue-{hashlib.sha256(b''.join(each.read_bytes() for each in sources)).hexdigest()[:16]}"
    with _locked(folder):
        for name, package in (("driver", "."), ("cue", "cuelang.org/go/cmd/cue")):
            if not (folder / name).exists():
                _build(go, package, folder / name)
    version = subprocess.run([folder / "driver", "version"], capture_output=True, text=True, check=True, timeout=30)
    return Tools(folder / "cue", folder / "driver", version.stdout.strip().removeprefix("v"))


@dataclass(frozen=True, slots=True)
class Answer:
    """What the reference makes of a package: its data, or why there is none."""

    data: object = None
    error: str | None = None


class Reference:
    """The driver process. One that does not answer in time is ended, and another started."""

    def __init__(self, driver: Path) -> None:
        self._driver = driver
        self._process: subprocess.Popen[bytes] | None = None

    def judge(self, files: Mapping[str, str]) -> Answer | None:
        """None where the reference finds no answer within the limit."""
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(files).encode() + b"\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], ANSWER_LIMIT_S)
        if not ready:
            self.close()
            return None
        answer = json.loads(process.stdout.readline())
        return Answer(error=answer["error"]) if "error" in answer else Answer(data=answer["value"])

    def close(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            with process:  # closes the pipes and waits
                pass

    def _start(self) -> "subprocess.Popen[bytes]":
        self._process = subprocess.Popen([self._driver], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return self._process


def _cache() -> Path:
    given = os.environ.get("FORGE_TOOLS")
    return Path(given) if given else Path.home() / ".cache" / "catalyst-forge" / "tools"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One builder at a time; the others find what it built."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(go: str, package: str, target: Path) -> None:
    unfinished = target.with_suffix(".new")
    command = [go, "build", "-mod=readonly", "-buildvcs=false", "-o", str(unfinished), package]
    try:
        done = subprocess.run(command, cwd=DRIVER, capture_output=True, text=True, check=False, timeout=BUILD_LIMIT_S)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"Go did not build it within {BUILD_LIMIT_S:.0f} s") from None
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise Unavailable(f"Go cannot build it: {reason}")
    unfinished.rename(target)
