"""CUE's reference implementation, as a command and as a process that judges a stream of configurations.

Both are built from the modules that `driver/go.mod` pins.
"""

import json
import resource
import select
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.go_tool import built
from tests.judge import cases

DRIVER: Final = Path(__file__).with_name("driver")
BUILD_LIMIT_S: Final = cases(60, full=600)
"""The first build compiles some 300 packages, which takes a minute on two cores, and may have to load them."""
ANSWER_LIMIT_S: Final = 10.0
"""For one configuration of some lines: it takes a millisecond, or an evaluation that grows without end."""
MEMORY_BYTES_MAX: Final = 4 * 1024**3
"""Of address space, for the same reason."""


@dataclass(frozen=True, slots=True)
class Tools:
    cue: Path
    driver: Path
    version: str


def tools() -> Tools:
    """Built where they are not there yet. Raises Unavailable."""
    packages = {"driver": ".", "cue": "cuelang.org/go/cmd/cue"}
    folder = built("cue", DRIVER, packages, limit_s=BUILD_LIMIT_S)
    version = subprocess.run([folder / "driver", "version"], capture_output=True, text=True, check=True, timeout=30)
    return Tools(folder / "cue", folder / "driver", version.stdout.strip().removeprefix("v"))


@dataclass(frozen=True, slots=True)
class Answer:
    """What the reference makes of a package: its data, or why there is none."""

    data: object = None
    error: str | None = None


class Reference:
    """The driver process. One that does not answer in time, or ends, is followed by another."""

    def __init__(self, driver: Path) -> None:
        self._driver = driver
        self._process: subprocess.Popen[bytes] | None = None

    def judge(self, files: Mapping[str, str]) -> Answer | None:
        """None where the reference finds no answer within the limits."""
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(files).encode() + b"\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], ANSWER_LIMIT_S)
        line = process.stdout.readline() if ready else b""
        if not line:
            self.close()
            return None
        answer = json.loads(line)
        return Answer(error=answer["error"]) if "error" in answer else Answer(data=answer["value"])

    def close(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            with process:  # closes the pipes and waits
                pass

    def _start(self) -> "subprocess.Popen[bytes]":
        pipe = subprocess.PIPE
        process = subprocess.Popen([self._driver], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
        resource.prlimit(process.pid, resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
        self._process = process
        return process
