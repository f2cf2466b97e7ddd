"""The cue command as the engine that evaluates `.forge` files, for those who want all of CUE.

A file of a repository may be anybody's, so cue gets it alone: in a folder of its own that is a module of its own, with
an empty home, no registry, no environment, and limits of time, memory and output. On the limit it is killed with all
that it started. Nothing of the repository but the one file is there to be read.
"""

import contextlib
import os
import re
import resource
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from forgec.adapter.cue_place import place_values
from forgec.adapter.cue_report import read_complaints
from forgec.diagnostic import Code, ForgeError, fail
from forgec.discovery.evaluate import evaluate_builtin
from forgec.source import Source
from forgec.syntax.data import Node, StructNode
from forgec.syntax.document import SIZE_BYTES_MAX, parse_json

VERSION_MIN: Final = (0, 17)
"""What the two engines are compared with; older ones evaluate some texts to other values."""

TIME_LIMIT_S: Final = 20.0
"""For one file: 50 ms are usual, most of it the start of the process."""

MEMORY_BYTES_MAX: Final = 4 * 1024**3
"""Of address space, of which the Go runtime reserves much more than it uses."""

_MODULE: Final = 'module: "forge.local/module"\nlanguage: version: "v0.17.0"\n'
_FILE: Final = "./input.cue"
_ATTRIBUTE: Final = re.compile(r"@(?:artifact|repo)\(")
_ADVICE: Final = "install v0.17 or later and put it on the PATH, or use the built-in evaluator"
_REST_LIMIT_S: Final = 5.0
"""For what was killed to be gone."""


def cue_evaluator() -> "CueCommand":
    """The command on the PATH. Raises ForgeError where there is none, or none that will do."""
    path = shutil.which("cue")
    if path is None:
        raise fail(Code.CUE_MISSING, "there is no cue command on the PATH", help=_ADVICE)
    command = CueCommand(Path(path).resolve())
    command.check_version()
    return command


@dataclass(frozen=True, slots=True)
class CueCommand:
    """Calling it evaluates a file (`forgec.discovery.evaluate.Evaluate`)."""

    path: Path
    time_limit_s: float = TIME_LIMIT_S

    def __call__(self, source: Source) -> StructNode:
        if _ATTRIBUTE.search(source.text) is not None:
            # JSON has no attributes, and a value that waits for one is none: cue evaluates, we read what it waits for.
            return _read_evaluated(self._output(source, "eval", "-A", "-E"), source)
        return _read_output(self._output(source, "export", "-E", "--out", "json"), source)

    def _output(self, source: Source, *command: str) -> bytes:
        with _private_module() as folder:
            (folder / _FILE).write_text(source.text, encoding="utf-8", newline="")
            ended = self._run([*command, _FILE], folder, source)
        if ended.code == 1:
            raise ForgeError(read_complaints(ended.stderr.decode(errors="replace"), _FILE, source))
        if ended.code != 0:
            raise fail(Code.CUE_FAILED, f"cue ended with {_how(ended)}", source.span(0, 0))
        return ended.stdout

    def check_version(self) -> None:
        """Raises ForgeError where it is too old, or does not say how old it is."""
        with _private_module() as folder:
            ended = self._run(["version"], folder, None)
        found = re.match(rb"cue version v(\d+)\.(\d+)", ended.stdout)
        if found is None:
            raise fail(Code.CUE_VERSION, f"{self.path} does not tell its version", help=_ADVICE)
        if (int(found[1]), int(found[2])) < VERSION_MIN:
            wanted = ".".join(str(number) for number in VERSION_MIN)
            message = f"{self.path} is of v{int(found[1])}.{int(found[2])}; v{wanted} or later is needed"
            raise fail(Code.CUE_VERSION, message, help=_ADVICE)

    def _run(self, arguments: Sequence[str], folder: Path, source: Source | None) -> "_Ended":
        span = source.span(0, 0) if source else None
        try:
            process = subprocess.Popen(
                [str(self.path), *arguments],
                cwd=folder,
                env=_environment(folder),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise fail(Code.CUE_FAILED, f"{self.path} cannot be started: {error.strerror}", span) from None
        try:
            _limit_memory(process.pid)
            return _collect(process, time.monotonic() + self.time_limit_s)
        except TimeoutError:
            message = f"cue found no answer within {self.time_limit_s:g} s"
            raise fail(Code.CUE_FAILED, message, span) from None
        except _TooMuch:
            message = f"cue printed more than the limit of {SIZE_BYTES_MAX // 1024**2} MB"
            raise fail(Code.CUE_FAILED, message, span) from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            for stream in (process.stdout, process.stderr):
                assert stream is not None
                stream.close()
            process.wait(_REST_LIMIT_S)


class _TooMuch(Exception):
    pass


@dataclass(frozen=True, slots=True)
class _Ended:
    code: int
    stdout: bytes
    stderr: bytes


@contextlib.contextmanager
def _private_module() -> Iterator[Path]:
    """A folder that is a module, beside an empty home: cue looks for neither any further up."""
    with tempfile.TemporaryDirectory(prefix="forgec-cue-") as private:
        folder = Path(private, "module")
        (folder / "cue.mod").mkdir(parents=True)
        (folder / "cue.mod" / "module.cue").write_text(_MODULE, encoding="utf-8")
        Path(private, "home").mkdir()
        yield folder


def _environment(folder: Path) -> Mapping[str, str]:
    """All that cue knows: a private home, and that there is no registry to ask. GOMAXPROCS: one file needs no more."""
    home = str(folder.with_name("home"))
    return {
        "HOME": home,
        "TMPDIR": home,
        "CUE_CACHE_DIR": f"{home}/cache",
        "CUE_CONFIG_DIR": f"{home}/config",
        "CUE_REGISTRY": "none",
        "LC_ALL": "C",
        "GOMAXPROCS": "2",
    }


def _limit_memory(pid: int) -> None:
    """Where the system can do it to another process: a Go program killed for memory ends like one that crashed."""
    prlimit = getattr(resource, "prlimit", None)
    if prlimit is not None:
        with contextlib.suppress(ProcessLookupError):
            prlimit(pid, resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))


def _collect(process: "subprocess.Popen[bytes]", deadline: float) -> _Ended:
    """Both streams to their ends, and the exit code. Raises TimeoutError, _TooMuch."""
    assert process.stdout is not None
    assert process.stderr is not None
    streams = {process.stdout: bytearray(), process.stderr: bytearray()}
    with selectors.DefaultSelector() as selector:
        for stream in streams:
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError
            for key, _ in ready:
                stream = next(each for each in streams if each is key.fileobj)
                chunk = os.read(key.fd, 65536)
                if not chunk:
                    selector.unregister(stream)
                streams[stream] += chunk
                if len(streams[stream]) > SIZE_BYTES_MAX:
                    raise _TooMuch
    try:
        code = process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
    return _Ended(code, bytes(streams[process.stdout]), bytes(streams[process.stderr]))


def _how(ended: _Ended) -> str:
    lines = ended.stderr.decode(errors="replace").strip().splitlines()
    end = f"signal {-ended.code}" if ended.code < 0 else f"exit code {ended.code}"
    return f"{end}: {lines[0][:200]}" if lines else end


def _read_output(output: bytes, source: Source) -> StructNode:
    """Raises ForgeError where the data is no struct, or more than a document may hold (numbers, depth)."""
    return _placed(parse_json, output, source)


def _read_evaluated(output: bytes, source: Source) -> StructNode:
    """What cue printed as CUE, values with their attributes, read by the evaluator that knows ours. Raises ForgeError
    also for a value that waits for nothing."""
    return _placed(evaluate_builtin, output, source)


def _placed(read: Callable[[Source], Node], output: bytes, source: Source) -> StructNode:
    try:
        node = read(Source(source.name, output.decode(errors="replace")))
    except ForgeError as error:
        raise ForgeError([replace(each, span=source.span(0, 0), related=()) for each in error.diagnostics]) from None
    placed = place_values(node, source)
    if not isinstance(placed, StructNode):
        raise fail(Code.WRONG_TYPE, "a file holds fields, not a single value", source.span(0, 0))
    return placed
