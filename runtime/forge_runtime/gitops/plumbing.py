"""The branch as this worker knows it, and commits made from it: git's plumbing alone, no worktree and no index.

    fetch                refs/heads/<branch>  ->  refs/forge/tip
    cat-file --batch     what the tip has: is it there, what is at a path
    fast-import          one commit for each update, each on the one before  ->  refs/forge/next
    push                 <the last commit>:refs/heads/<branch>, which only a direct descendant of what is there may do

The bare repository is a cache of one process, and kept between its starts. Whatever goes wrong in it is cured by
throwing it away, so the commands here raise `Damaged` for all that is neither the network's nor the server's doing.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from forge_runtime.git.clone_url import CloneUrl
from forge_runtime.git.command import GitFailed, git
from forge_runtime.git.credentials import Credentials, access_refused, connect
from forge_runtime.git.error import GitError
from forge_runtime.gitops.pointer import POINTER_BYTES_MAX
from forgec.adapter.git import git_environment

TRANSFER_TIMEOUT_S: Final = 120.0
"""A GitOps repository holds small files; its history is fetched once."""

COMMAND_TIMEOUT_S: Final = 60.0
MAINTENANCE_TIMEOUT_S: Final = 120.0

_TIP: Final = "refs/forge/tip"
_NEXT: Final = "refs/forge/next"


class Damaged(Exception):
    """A command on our own repository failed."""


class Obstructed(Exception):
    """Something else lies where a pointer belongs: a file where a directory must be, or the other way round."""


class BranchMissing(Exception):
    """The repository has branches, and not this one."""


@dataclass(frozen=True, slots=True)
class Commit:
    """To be made: a message and one file."""

    message: str
    path: str
    content: str
    unix_s: int


@dataclass(frozen=True, slots=True)
class Clone:
    """A bare repository at `path`; `author` is `Name <address>`."""

    path: Path
    url: CloneUrl
    branch: str
    author: str
    credentials: Credentials | None = None

    async def open(self) -> None:
        """Make it if it is not there, else remove the locks of a killed process and pack what has come together."""
        if not self.path.exists():
            self.path.mkdir(parents=True)
            await self._run("init", "--quiet", "--bare")
            return
        for lock in self.path.rglob("*.lock"):
            lock.unlink(missing_ok=True)
        await self.pack()

    async def pack(self) -> None:
        """Every fetch and every push leaves a pack; git decides whether there are too many."""
        limits = ("-c", "gc.auto=2000", "-c", "gc.autoPackLimit=50", "-c", "gc.autoDetach=false")
        await self._run(*limits, "gc", "--auto", "--quiet", timeout_s=MAINTENANCE_TIMEOUT_S)

    async def fetch(self) -> str | None:
        """The id of the branch's tip; None for a repository without any commit. Raises GitError, BranchMissing."""
        flags = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--no-recurse-submodules")
        refspec = f"+refs/heads/{self.branch}:{_TIP}"
        try:
            await self._transfer("fetch", *flags, "--", self.url.text, refspec)
        except GitFailed as failed:
            if not any("couldn't find remote ref" in line for line in failed.output):
                raise
            if await self._has_references():
                raise BranchMissing from None
            return None
        return (await self._run("rev-parse", "--verify", "--end-of-options", f"{_TIP}^{{commit}}")).decode().strip()

    async def read(self, tip: str | None, paths: Iterable[str]) -> dict[str, bytes]:
        """The files that are at these paths. Raises Obstructed where a file could not be put there."""
        wanted = list(dict.fromkeys(paths))
        if tip is None or not wanted:
            return {}
        above = list(dict.fromkeys(parent for path in wanted for parent in _parents(path)))
        asked = [f"info {tip}:{path}\n" for path in (*above, *wanted)]
        answers = (await self._run("cat-file", "--batch-command", stdin="".join(asked).encode())).splitlines()
        if len(answers) != len(asked):
            raise Damaged("git cat-file gave another number of answers than it was asked for")
        kinds = dict(zip((*above, *wanted), map(_kind, answers), strict=True))
        for path, (kind, _) in kinds.items():
            if kind not in (None, "blob" if path in wanted else "tree"):
                raise Obstructed(f'"{path}" is {"a directory" if kind == "tree" else "no directory"}')
        there = [path for path in wanted if kinds[path][0] is not None and kinds[path][1] <= POINTER_BYTES_MAX]
        return dict(zip(there, await self._contents([f"{tip}:{path}" for path in there]), strict=True))

    async def last_change(self, tip: str, path: str) -> str:
        """The commit that gave a file its present content."""
        found = await self._run("rev-list", "--max-count=1", tip, "--", path)
        return found.decode().strip() or tip

    async def commit(self, tip: str | None, commits: Sequence[Commit]) -> list[str]:
        """Their ids, each made on the one before."""
        stream = b"".join(self._stream(tip, number, commit) for number, commit in enumerate(commits, 1))
        # A pack at once: unpacking it would be one more process, and packing is what `pack` is for.
        arguments = (
            "-c",
            "fastimport.unpackLimit=1",
            "fast-import",
            "--quiet",
            "--force",
            "--date-format=raw",
            "--done",
        )
        made = (await self._run(*arguments, stdin=stream + b"done\n")).decode().split()
        if len(made) != len(commits):
            raise Damaged("git fast-import did not tell the commits that it made")
        return made

    async def push(self, commit: str) -> None:
        """Raises GitFailed with the server's reasons, and GitError."""
        await self._transfer(
            "push", "--porcelain", "--no-verify", "--", self.url.text, f"{commit}:refs/heads/{self.branch}"
        )

    def _stream(self, tip: str | None, number: int, commit: Commit) -> bytes:
        message, content = commit.message.encode(), commit.content.encode()
        # The first one of an empty repository comes from nothing: the reference may be left from an earlier try.
        begin = f"reset {_NEXT}\n" + (f"from {tip}\n" if tip else "") + "\n" if number == 1 else ""
        head = f"commit {_NEXT}\nmark :{number}\ncommitter {self.author} {commit.unix_s} +0000\ndata {len(message)}\n"
        file = f"M 100644 inline {commit.path}\ndata {len(content)}\n"
        return (begin + head).encode() + message + b"\n" + file.encode() + content + f"\nget-mark :{number}\n".encode()

    async def _has_references(self) -> bool:
        try:
            await self._transfer("ls-remote", "--quiet", "--exit-code", "--", self.url.text)
        except GitFailed as failed:
            if failed.exit_code == 2:
                return False
            raise
        return True

    async def _transfer(self, *arguments: str) -> None:
        """Raises AccessRefused, which says where credentials belong, and GitFailed, GitError."""
        try:
            async with connect(self.url, self.credentials, scratch=self.path.parent) as connection:
                await git(self.path, *arguments, timeout_s=TRANSFER_TIMEOUT_S, connection=connection)
        except GitFailed as failed:
            if failed.access_is_refused:
                raise access_refused(self.url, self.credentials, str(failed)) from None
            raise

    async def _contents(self, objects: Sequence[str]) -> list[bytes]:
        if not objects:
            return []
        data = await self._run("cat-file", "--batch", stdin="".join(f"{each}\n" for each in objects).encode())
        contents = []
        for _ in objects:
            head, _, data = data.partition(b"\n")
            fields = head.split()
            if len(fields) != 3:
                raise Damaged("git cat-file did not give a file that it has")
            size = int(fields[2])
            contents.append(data[:size])
            data = data[size + 1 :]
        return contents

    async def _run(self, *arguments: str, stdin: bytes = b"", timeout_s: float = COMMAND_TIMEOUT_S) -> bytes:
        """What a command on our own repository prints. Raises Damaged, and GitError where git cannot be run at all."""
        try:
            process = await asyncio.create_subprocess_exec(
                *("git", *arguments),
                cwd=self.path,
                env=git_environment(self.path),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise GitError(f"git cannot be started: {error.strerror}") from None
        try:
            async with asyncio.timeout(timeout_s):
                output, errors = await process.communicate(stdin)
        except TimeoutError:
            raise GitError(f"git took more than {timeout_s:.0f} s on this machine and was stopped") from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if process.returncode != 0:
            said = errors.decode(errors="replace").strip().splitlines()
            reason = said[-1] if said else "no reason given"
            raise Damaged(f"git {' '.join(arguments[:4])} ended with {process.returncode}: {reason}")
        return output


def _kind(answer: bytes) -> tuple[str | None, int]:
    """`<id> <kind> <size>`, or `<name> missing`."""
    fields = answer.decode(errors="replace").split()
    return (fields[1], int(fields[2])) if len(fields) == 3 else (None, 0)


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: index + 1]) for index in range(len(parts))]
