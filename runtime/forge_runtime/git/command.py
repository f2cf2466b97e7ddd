"""Running git: argv, time limits, and what its failures mean.

Every command has its own process group and a limit; a command that is cut short or cancelled leaves no child behind.
What git says is kept to its last 8 KiB and stripped of credentials before anybody sees it.
"""

import asyncio
import os
import re
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Final
from urllib.parse import SplitResult, urlsplit

from forgec.adapter.git import git_environment

OUTPUT_BYTES_MAX: Final = 8 * 1024

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


class UrlRefused(GitError):
    """A clone URL that is never passed to git."""

    code = "CONFIG_INVALID"
    error_class = "config"
    retryable = False


class GitFailed(GitError):
    """A command ended with an exit code other than 0; `stderr` is the end of what it said."""

    def __init__(self, command: str, exit_code: int, stderr: str) -> None:
        lines = [line for line in stderr.splitlines() if line.strip()]
        super().__init__(f"git {command} ended with {exit_code}: {lines[-1] if lines else 'no reason given'}")
        self.exit_code = exit_code
        self.stderr = stderr

    @property
    def commit_is_unknown(self) -> bool:
        """The server lacks the object, or gives out only what a branch or tag points to."""
        return re.search(r"not our ref|unadvertised object|couldn't find remote ref", self.stderr) is not None


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
) -> str:
    """Run one command and return what it printed. Raises GitFailed, or GitError after `timeout_s`.

    `url` allows its transport, for a command that fetches. `known` are further repositories that the command uses.
    """
    protocols = (url.protocol,) if url is not None else ()
    process = await _start(
        ["git", "-C", str(repository), *arguments],
        git_environment(repository, *known, protocols=protocols, config=FETCH_CONFIG if url else None),
    )
    try:
        async with asyncio.timeout(timeout_s):
            assert process.stdout is not None
            assert process.stderr is not None
            stdout, stderr, exit_code = await asyncio.gather(
                _tail(process.stdout), _tail(process.stderr), process.wait()
            )
    except TimeoutError:
        raise GitError(f"git {arguments[0]} took more than {timeout_s:.0f} s and was stopped") from None
    finally:
        await _end(process)
    if exit_code != 0:
        raise GitFailed(arguments[0], exit_code, masked(stderr))
    return stdout


def masked(text: str) -> str:
    """Without the user part of URLs, which may be a token."""
    return re.sub(r"(?<=://)[^/@\s]+@", "***@", text)


async def _start(argv: Sequence[str], environment: dict[str, str]) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *argv,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise GitError(f"git cannot be started: {error.strerror}; it must be on the PATH of the worker") from None


async def _tail(stream: asyncio.StreamReader) -> str:
    data = b""
    while chunk := await stream.read(64 * 1024):
        data = (data + chunk)[-OUTPUT_BYTES_MAX:]
    return data.decode(errors="replace")


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill what is left of the process group: git's helpers outlive a git that was killed alone."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


_SCP_LIKE = re.compile(r"(?P<user>[A-Za-z0-9._-]+)@(?P<host>[A-Za-z0-9.-]+):(?P<path>[^/].*)")


def _split(text: str) -> SplitResult:
    match = _SCP_LIKE.fullmatch(text)
    try:
        return urlsplit(f"ssh://{match['user']}@{match['host']}/{match['path']}" if match else text)
    except ValueError:
        raise UrlRefused(f'"{masked(text)}" is not a URL') from None


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
