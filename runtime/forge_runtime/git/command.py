"""Running git: argv, time limits, and what its failures mean.

Every command has a time limit; one that is cut short or cancelled leaves no child behind, and no lock file, since git
removes those on SIGTERM. It has a limit of memory too, and ends when we are killed. Of what git says the last lines are
kept, without credentials.
"""

import os
import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from forge_runtime.git.clone_url import CloneUrl, masked
from forge_runtime.git.error import GitError, TimeLimit
from forge_runtime.mask import Mask
from forge_runtime.process import Program, run_process
from forgec.adapter.git import git_environment

OUTPUT_LINES_MAX: Final = 50

ADDRESS_SPACE_BYTES: Final = 4 * 1024**3
"""Of each process of a command: git holds whole objects in memory, however large strangers made them."""

_MEMORY_SETTINGS: Final = {
    # Packs are mapped in parts, so that one larger than the memory can be read.
    "core.packedGitWindowSize": "64m",
    "core.packedGitLimit": "1g",
    "pack.windowMemory": "64m",  # of each thread that looks for deltas
}


class GitFailed(GitError):
    """A command ended with an exit code other than 0; `output` is the end of what it said.

    `damaged`: a repository of ours is no longer what git wrote, or a lock file is in the way.
    """

    def __init__(self, command: str, exit_code: int, output: tuple[str, ...], *, damaged: bool = False) -> None:
        super().__init__(f"git {command} ended with {exit_code}: {_reason(output)}")
        self.command = command
        self.exit_code = exit_code
        self.output = output
        self.damaged = damaged or (self._says(_DAMAGE) and not self.disk_is_full and not self.lacks_memory)

    @property
    def commit_is_unknown(self) -> bool:
        """The server lacks the object, or gives out only what a branch or tag points to."""
        return self._says(_UNKNOWN_COMMIT)

    @property
    def access_is_refused(self) -> bool:
        return self._says(_REFUSED)

    @property
    def repository_is_unknown(self) -> bool:
        """By an answer of HTTP; a server behind ssh tells the same of one that it cannot read just now."""
        return self._says(_UNKNOWN_REPOSITORY)

    @property
    def disk_is_full(self) -> bool:
        return self._says(_FULL)

    @property
    def is_too_large(self) -> bool:
        """It met the limit of a file's size."""
        return self._says(_TOO_LARGE)

    @property
    def lacks_memory(self) -> bool:
        """It met the limit of memory: a few kilobytes of pack can stand for an object of gigabytes."""
        return self._says(_OUT_OF_MEMORY)

    @property
    def file_is_refused(self) -> bool:
        """A checkout met a path that is too long for the file system, or a link that it cannot hold."""
        return self.command == "reset" and self._says(_REFUSED_FILE)

    @property
    def refused_object(self) -> str | None:
        """What git's check of received objects found, if that is why it failed: "object <id>: <fault>"."""
        found = [match[1] for line in self.output if (match := _REFUSED_OBJECT.match(line))]
        return found[0] if found else None

    def _says(self, pattern: re.Pattern[str]) -> bool:
        return any(pattern.search(line) for line in self.output)


def _reason(output: Sequence[str]) -> str:
    """The first complaint: what follows are its consequences, and advice."""
    said = [line for line in output if line.strip()]
    complaints = [line for line in said if not re.match(r"warning:|hint:|remote:|\*\*\*", line)]
    return (complaints or said[-1:] or ["no reason given"])[0]


_REFUSED_OBJECT: Final = re.compile(r"(?:remote: )?error: (object [0-9a-f]{40,64}: .+)")
_UNKNOWN_COMMIT: Final = re.compile(r"not our ref|unadvertised object|couldn't find remote ref")
_UNKNOWN_REPOSITORY: Final = re.compile(r"repository '.*' not found|returned error: (404|410)")
_FULL: Final = re.compile(r"No space left on device|Disk quota exceeded")
_TOO_LARGE: Final = re.compile(r"File too large")
_OUT_OF_MEMORY: Final = re.compile(
    r"^(?!remote:).*([Oo]ut of memory|(mmap failed|cannot be mapped).*: Cannot allocate memory)"
)
_REFUSED_FILE: Final = re.compile(
    r"File name too long|unable to create symlink .*: No such file or directory"
    r"|cannot create directory at '.{4000}"  # git's line ends after 4,096 bytes, before it tells why
)
_REFUSED: Final = re.compile(
    r"Authentication failed for|could not read (Username|Password)|returned error: 40[013]"
    r"|Permission denied \(|Host key verification failed|Too many authentication failures"
)
_DAMAGE: Final = re.compile(
    r"^(?!remote:).*("
    r"bad (tree )?object|(loose object|packed object) .* is corrupt|packfile .* (cannot be|does not match|is far too)"
    r"|not a git repository: |not a git repository \(|unable to (read|unpack) |could not read [0-9a-f]{40}"
    r"|(index|multi-pack-index|commit-graph)( file)? .*(too small|too short|size|corrupt|match)|non-monotonic index"
    r"|inflate: data stream error|is not a GIT packfile|missing (blob|tree|commit)|failed to (read|unpack tree) object"
    r"|unable to resolve reference|bad (ref|reference|config)\b|unknown object type"
    r"|Unable to create '.*\.lock': File exists"
    r")"
)
"""The texts of git 2.39; what says the server of its own repository begins with "remote:"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """How a command may speak with a server: see credentials.connect.

    `bytes_max` bounds each file that the command writes; what a fetch brings is one file.
    """

    url: CloneUrl
    config: Mapping[str, str] = field(default_factory=dict)
    mask: Mask = field(default_factory=Mask, repr=False)
    bytes_max: int | None = None


def server_arguments(url: CloneUrl) -> tuple[str, ...]:
    """Of a fetch: a server that is a child of ours has no limit of memory, as others have none of ours.

    It takes no settings that would let it keep to one.
    """
    return ("--upload-pack=ulimit -S -v unlimited; git upload-pack",) if url.protocol == "file" else ()


async def git(
    repository: Path,
    *arguments: str,
    timeout_s: float,
    connection: Connection | None = None,
    known: Sequence[Path] = (),
    held: Sequence[int] = (),
) -> None:
    """Run one command to its end. Raises GitFailed, TimeLimit, or GitError if there is no git.

    `connection` allows the transport of its URL. `known` are further repositories that the command uses. `held` are
    locks that have to last as long as the command, which is not much longer than we do if we are killed.
    """
    mask = Mask()
    environment = git_environment(repository, *known, config=_MEMORY_SETTINGS)
    file_bytes_max = None
    if connection is not None:
        mask, file_bytes_max = connection.mask, connection.bytes_max
        known = (*known, *_local_source(connection.url))
        allowed, config = (connection.url.protocol,), {**_MEMORY_SETTINGS, **connection.config}
        environment = git_environment(repository, *known, protocols=allowed, config=config)
    said: deque[str] = deque(maxlen=OUTPUT_LINES_MAX)
    command = _Command(
        arguments=arguments,
        repository=repository,
        environment=environment,
        mask=mask,
        held=tuple(held),
        file_bytes_max=file_bytes_max,
    )
    await _run(command, timeout_s, lambda line: said.append(masked(line)), said)


async def git_lines(
    repository: Path, *arguments: str, timeout_s: float, line: Callable[[str], None], known: Sequence[Path] = ()
) -> None:
    """The same for a command whose output is wanted; what `line` raises ends it and is raised."""
    said: deque[str] = deque(maxlen=OUTPUT_LINES_MAX)

    def keep(text: str) -> None:
        said.append(masked(text))
        line(text)

    environment = git_environment(repository, *known, config=_MEMORY_SETTINGS)
    command = _Command(arguments=arguments, repository=repository, environment=environment)
    await _run(command, timeout_s, keep, said)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Command:
    arguments: tuple[str, ...]
    repository: Path
    environment: Mapping[str, str]
    mask: Mask = field(default_factory=Mask, repr=False)
    held: tuple[int, ...] = ()
    file_bytes_max: int | None = None

    def program(self, alive: int) -> Program:
        """`alive` is the end to read of a pipe that nobody writes to, and that breaks when we end."""
        size = "unlimited" if self.file_bytes_max is None else str(-(-self.file_bytes_max // _ULIMIT_BLOCK_BYTES))
        limits = (str(ADDRESS_SPACE_BYTES // 1024), size, str(alive))
        return Program(
            argv=("sh", "-c", _LAUNCH, "sh", *limits, "git", *self.arguments),
            cwd=self.repository,
            environment=self.environment,
            mask=self.mask,
            held=(*self.held, alive),
        )


async def _run(command: _Command, timeout_s: float, line: Callable[[str], None], said: deque[str]) -> None:
    async def output(text: str) -> None:
        line(text)

    name, place = command.arguments[0], command.repository
    missing = f"git cannot be started in {place}: is git on the PATH of the worker?"
    alive, ours = os.pipe()
    try:
        end = await run_process(command.program(alive), timeout_s=timeout_s, output=output)
    except FileNotFoundError:
        raise GitError(missing) from None
    except OSError as error:
        raise GitError(f"git cannot be started: {error.strerror}") from None
    finally:
        os.close(ours)
        os.close(alive)
    if end.exit_code is None:
        raise TimeLimit(f"git {name} took more than {timeout_s:.0f} s and was stopped")
    if end.exit_code == _NOT_FOUND:
        raise GitError(missing)
    if end.exit_code != 0:
        raise GitFailed(name, end.exit_code, tuple(said))


_LAUNCH: Final = """\
trap "" 25
ulimit -S -v "$1" 2>/dev/null
ulimit -f "$2" || exit
(trap "" TERM; exec <"/dev/fd/$3"; read -r _; kill -TERM 0; sleep 1; kill -KILL 0) &
shift 3
exec "$@"
"""
"""Sets the limits, and beside git, in its process group, a watch that ends the group when we are gone.

git's own children (`gc` has some) would outlive their parent, and with them our locks. Without SIGXFSZ (25), which
would end a child of git that then could not say why.
"""

_NOT_FOUND: Final = 127
"""POSIX, sh: there is no such command. git itself ends with other codes."""

_ULIMIT_BLOCK_BYTES: Final = 512
"""POSIX, sh: the unit of `ulimit -f`."""


def _local_source(url: CloneUrl) -> tuple[Path, ...]:
    source = Path(url.path)
    return (source, source / ".git") if url.protocol == "file" else ()
