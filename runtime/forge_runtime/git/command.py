"""Running git: argv, time limits, and what its failures mean.

Every command has a time limit; one that is cut short or cancelled leaves no child behind, and no lock file, since git
removes those on SIGTERM. Of what git says the last lines are kept, without credentials.
"""

import re
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final
from urllib.parse import SplitResult, urlsplit

from forge_runtime.process import Program, run_process
from forgec.adapter.git import git_environment

OUTPUT_LINES_MAX: Final = 50

FETCH_CONFIG: Final = {"http.lowSpeedLimit": "1000", "http.lowSpeedTime": "60", "protocol.version": "2"}
"""A server that sends less than 1 kB/s for a minute is gone."""


class GitError(Exception):
    """Git could not do it now; the same may succeed later. The message is fit for people and holds no secret."""

    code: ClassVar[str] = "GIT_FETCH_FAILED"
    error_class: ClassVar[str] = "infra"
    retryable: ClassVar[bool] = True


class CommitNotFound(GitError):
    """The repository is there and does not hold the commit."""

    code = "COMMIT_NOT_FOUND"
    error_class = "config"
    retryable = False


class ObjectRefused(GitError):
    """The repository holds an object that git does not let in, since its checkout could do harm."""

    code = "CONFIG_INVALID"
    error_class = "config"
    retryable = False


class UrlRefused(GitError):
    """A clone URL that is never passed to git."""

    code = "CONFIG_INVALID"
    error_class = "config"
    retryable = False


class GitFailed(GitError):
    """A command ended with an exit code other than 0; `output` is the end of what it said."""

    def __init__(self, command: str, exit_code: int, output: tuple[str, ...]) -> None:
        said = [line for line in output if line.strip()]
        super().__init__(f"git {command} ended with {exit_code}: {said[-1] if said else 'no reason given'}")
        self.exit_code = exit_code
        self.output = output

    @property
    def commit_is_unknown(self) -> bool:
        """The server lacks the object, or gives out only what a branch or tag points to."""
        return any(_UNKNOWN_COMMIT.search(line) for line in self.output)

    @property
    def refused_object(self) -> str | None:
        """What git's check of received objects found, if that is why it failed: "object <id>: <fault>"."""
        found = [match[1] for line in self.output if (match := _REFUSED_OBJECT.match(line))]
        return found[0] if found else None


_REFUSED_OBJECT: Final = re.compile(r"(?:remote: )?error: (object [0-9a-f]{40,64}: .+)")
_UNKNOWN_COMMIT: Final = re.compile(r"not our ref|unadvertised object|couldn't find remote ref")


def protocols(*, files: bool) -> tuple[str, ...]:
    """The transports that a clone URL may name: encrypted ones, and `file` where this machine's may be named."""
    return ("https", "ssh", "file") if files else ("https", "ssh")


class CloneUrl:
    """A checked clone URL: `https://host/path`, `ssh://user@host/path`, `user@host:path`, or `file:///path`.

    `canonical` is one text for all spellings of one repository: it names the cache entry.
    """

    def __init__(self, text: str, *, protocols: Sequence[str]) -> None:
        self.text = text
        parts = _split(text)
        self.protocol = parts.scheme
        self.path = parts.path
        _refuse_unsafe(text, parts, protocols)
        self.canonical = f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/').removesuffix('.git')}"

    def __str__(self) -> str:
        return masked(self.text)


async def git(
    repository: Path, *arguments: str, timeout_s: float, url: CloneUrl | None = None, known: Sequence[Path] = ()
) -> None:
    """Run one command to its end. Raises GitFailed, or GitError after `timeout_s`.

    `url` allows its transport, for a command that fetches. `known` are further repositories that the command uses.
    """
    said: deque[str] = deque(maxlen=OUTPUT_LINES_MAX)

    async def keep(line: str) -> None:
        said.append(masked(line))

    protocols = (url.protocol,) if url is not None else ()
    environment = git_environment(repository, *known, protocols=protocols, config=FETCH_CONFIG if url else None)
    program = Program(argv=("git", *arguments), cwd=repository, environment=environment)
    try:
        end = await run_process(program, timeout_s=timeout_s, output=keep)
    except FileNotFoundError:
        raise GitError(f"git cannot be started in {repository}: is git on the PATH of the worker?") from None
    except OSError as error:
        raise GitError(f"git cannot be started: {error.strerror}") from None
    if end.exit_code is None:
        raise GitError(f"git {arguments[0]} took more than {timeout_s:.0f} s and was stopped")
    if end.exit_code != 0:
        raise GitFailed(arguments[0], end.exit_code, tuple(said))


def masked(text: str) -> str:
    """Without the user part of URLs, which may be a token."""
    return re.sub(r"(?<=://)[^/@\s]+@", "***@", text)


_SCP_LIKE = re.compile(r"(?P<user>[A-Za-z0-9._-]+)@(?P<host>[A-Za-z0-9.-]+):(?P<path>[^/].*)")


def _split(text: str) -> SplitResult:
    match = _SCP_LIKE.fullmatch(text)
    try:
        parts = urlsplit(f"ssh://{match['user']}@{match['host']}/{match['path']}" if match else text)
        parts.port  # noqa: B018 - refuses one that is no port
    except ValueError:
        raise UrlRefused(f'"{masked(text)}" is not a URL') from None
    return parts


_UNSAFE = re.compile(r"[\x00-\x20\x7f]|/-")


def _refuse_unsafe(text: str, parts: SplitResult, protocols: Sequence[str]) -> None:
    """What git, ssh or a remote helper could take for an option or a command, and credentials: argv would show them."""
    shown = masked(text)
    if parts.scheme not in protocols:
        raise UrlRefused(f'clone URL "{shown}": only {", ".join(protocols)} are allowed')
    if (
        (parts.scheme == "file") == bool(parts.netloc)
        or not parts.path.startswith("/")
        or parts.query
        or parts.fragment
    ):
        raise UrlRefused(f'clone URL "{shown}" does not name a host and a path')
    if _UNSAFE.search(text) or (parts.hostname or "").startswith("-") or (parts.username or "").startswith("-"):
        raise UrlRefused(f'clone URL "{shown}" holds a part that git could take for an option')
    if parts.password is not None or (parts.scheme == "https" and parts.username is not None):
        raise UrlRefused(f'clone URL "{shown}" holds credentials; give them to the worker instead')
