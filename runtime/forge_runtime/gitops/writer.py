"""Writing pointers to one branch of a GitOps repository, whoever else writes there at the same time.

    put ─▶ waiting ─▶ whoever's turn it is takes all that wait ─▶ fetch ─▶ decide for each ─▶ commits ─▶ push
             ▲                                                      ▲                                     │
             └ more come while that goes on                         └── lost the race: once more ─────────┘

A pointer is a whole file, so nothing is ever merged: after a lost race the commits are made anew on the branch's new
tip, where each update is decided anew as well (`_decide`). Updates of one worker go out together, one commit each and
one push for all, so they never race each other. Other workers do: after each lost race the pause grows, by chance, from
what one try takes, so racers on one machine part within moments, and those far from their server within its seconds.

Nothing here is lost or done twice by being repeated: an update whose pointer is there already makes no commit.
"""

import asyncio
import logging
import random
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar, Final

from forge_runtime.folder import remove_folder
from forge_runtime.git.clone_url import CloneUrl, protocols
from forge_runtime.git.command import GitFailed
from forge_runtime.git.credentials import Credentials
from forge_runtime.git.error import GitError, UrlRefused
from forge_runtime.gitops.message import Update, commit_message
from forge_runtime.gitops.plumbing import BranchMissing, Clone, Commit, Damaged, Obstructed
from forge_runtime.gitops.pointer import Found, Pointer, moment, read_pointer
from forge_runtime.gitops.rejection import Cause, Rejection, read_rejection
from forge_runtime.job import utc_text
from forge_runtime.meter import Meter, PushResult, Unmetered
from forge_runtime.retry import backoff_s

TRIES_MAX: Final = 10
PAUSE_GROWTH: Final = 1.5
PAUSE_S_MAX: Final = 30.0
"""As continuous delivery tools do it; the first pause is as long as a try was, between these two:"""

TRY_S_MIN: Final = 0.05
TRY_S_MAX: Final = 1.0

BATCH_MAX: Final = 100
PUSHES_PER_PACKING: Final = 100

_BRANCH = re.compile(
    r"(?!.*(?:\.\.|//|/\.|\.lock(?:/|\Z)|@\{))[A-Za-z0-9][A-Za-z0-9._/-]{0,198}[A-Za-z0-9_-]|[A-Za-z0-9]"
)

_NEVER: Final = datetime.min.replace(tzinfo=UTC)

_log = logging.getLogger(__name__)


class GitOpsError(Exception):
    """A pointer is not written; the message is fit for people and holds no secret."""

    code: ClassVar[str] = "GITOPS_PUSH_FAILED"
    error_class: ClassVar[str] = "infra"


class GitOpsMisconfigured(GitOpsError):
    """The repository cannot be used as it is named, or does not let us in: people have to see to it."""

    error_class = "config"


class GitOpsDenied(GitOpsError):
    """A rule forbids this pointer: the server's, or ours that an older deployment undoes no newer one."""

    code = "POLICY_DENIED"
    error_class = "policy"


@dataclass(frozen=True, slots=True, kw_only=True)
class GitOpsRepository:
    """Where pointers are written. `author` is what its commits are signed with, `Name <address>`.

    Raises GitOpsMisconfigured for a branch that git would not take for one.
    """

    clone_url: str
    branch: str = "main"
    author: str = "Catalyst Forge <catalyst-forge@localhost>"

    def __post_init__(self) -> None:
        if not _BRANCH.fullmatch(self.branch):
            raise GitOpsMisconfigured(f'"{self.branch[:80]}" is not the name of a branch')
        if not re.fullmatch(r"[^<>\x00-\x1f\x7f]+ <[^<>\x00-\x20\x7f]+>", self.author):
            raise GitOpsMisconfigured("the author of commits is written as: Name <address>")


@dataclass(frozen=True, slots=True)
class Written:
    """The commit that holds the pointer; not `changed` where it was there before."""

    commit_sha: str
    changed: bool


@dataclass(slots=True, eq=False)
class _Entry:
    update: Update
    answer: "asyncio.Future[Written]"
    made: bool = field(default=False, init=False)
    """A commit of ours for it was pushed, perhaps without our hearing that it arrived."""

    def give(self, commit_sha: str, *, changed: bool) -> None:
        if not self.answer.done():
            self.answer.set_result(Written(commit_sha, changed))

    def refuse(self, error: GitOpsError) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class PointerWriter:
    """`root` is a directory of this process alone, kept between its starts. `file` URLs only where allowed."""

    def __init__(
        self,
        repository: GitOpsRepository,
        root: Path,
        *,
        allow_file: bool = False,
        credentials: Credentials | None = None,
        meter: Meter | None = None,
    ) -> None:
        try:
            self._url = CloneUrl(repository.clone_url, protocols=protocols(files=allow_file))
        except UrlRefused as error:
            raise GitOpsMisconfigured(str(error)) from None
        self._clone = Clone(root / "gitops.git", self._url, repository.branch, repository.author, credentials)
        self._meter = meter or Unmetered()
        self._turn = asyncio.Lock()
        self._waiting: list[_Entry] = []
        self._is_open = False
        self._pushes = 0

    async def put(self, update: Update) -> Written:
        """Raises GitOpsError. Cancelling takes the update back, unless it is on its way already."""
        entry = _Entry(update, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        try:
            while not entry.answer.done():
                async with self._turn:
                    if not entry.answer.done():
                        await self._carry_next()
            return entry.answer.result()
        finally:
            entry.answer.cancel()
            if entry in self._waiting:
                self._waiting.remove(entry)

    async def _carry_next(self) -> None:
        """Bring those that wait to their answers; whoever does it may be cancelled, and the next one begins anew."""
        batch: list[_Entry] = []
        try:
            await self._carry(batch)
        finally:
            self._waiting = [entry for entry in batch if not entry.answer.done()] + self._waiting

    def _taken(self) -> list[_Entry]:
        """Those that wait, older deployments first: of two of one pointer the newer one has to stay."""
        self._waiting.sort(key=lambda entry: moment(entry.update.pointer.requested_at) or _NEVER)
        taken, self._waiting = self._waiting[:BATCH_MAX], self._waiting[BATCH_MAX:]
        return taken

    async def _carry(self, batch: list[_Entry]) -> None:
        """An empty batch is filled with those that wait by the time that the branch's tip is known."""
        for attempt in range(1, TRIES_MAX + 1):
            began = time.monotonic()
            try:
                await self._try(batch)
            except _Lost as lost:
                pause_s = _pause_s(attempt, time.monotonic() - began)
                why = str(lost)
            except GitOpsMisconfigured as error:
                return self._refuse(batch, error)
            except _Forbidden as forbidden:
                if len(batch) > 1:  # whose of them it is, the server does not say
                    for entry in batch:
                        if not entry.answer.done():
                            await self._carry([entry])
                    return None
                return self._refuse(batch, GitOpsDenied(f"{self._where} refuses this change: {forbidden}"))
            except (GitError, Damaged) as error:
                if isinstance(error, GitError) and not error.retryable:
                    return self._refuse(batch, GitOpsMisconfigured(f"{self._where}: {error}"))
                pause_s = backoff_s(attempt - 1, random.random(), PAUSE_S_MAX)  # noqa: S311 - spreads load
                why = str(error)
            else:
                return None
            if batch and all(entry.answer.done() for entry in batch):
                return None
            _log.info("pointers not pushed, trying again", extra={"why": why, "attempt": attempt})
            if attempt < TRIES_MAX:
                await asyncio.sleep(pause_s)
        return self._refuse(batch, GitOpsError(f"nothing pushed to {self._where} in {TRIES_MAX} tries: {why}"))

    async def _try(self, batch: list[_Entry]) -> None:
        """Once from the branch's tip to a push. Raises _Lost, _Forbidden, GitOpsMisconfigured, GitError, Damaged."""
        try:
            tip = await self._fetched()
            batch += [] if batch else self._taken()
            commits = await self._commits(tip, [entry for entry in batch if not entry.answer.done()])
        except Damaged:
            await self._start_over()
            raise
        if not commits:
            return
        for entry in commits:
            entry.made = True
        try:
            await self._clone.push(list(commits.values())[-1])
        except GitFailed as failed:
            raise self._why(read_rejection(failed.output), commits) from None
        except GitError:
            self._meter.pointers_pushed(PushResult.FAILED)
            raise
        self._meter.pointers_pushed(PushResult.PUSHED)
        for entry, commit_sha in commits.items():
            entry.give(commit_sha, changed=True)
        self._pushes += 1
        if self._pushes % PUSHES_PER_PACKING == 0:
            await self._clone.pack()

    def _why(self, rejection: Rejection, commits: Iterable[_Entry]) -> Exception:
        """What a failed push comes to. After an answer of the server's nothing of it has arrived."""
        if rejection.cause in (Cause.RACE, Cause.POLICY):
            for entry in commits:
                entry.made = False
        self._meter.pointers_pushed(_RESULTS[rejection.cause])
        match rejection.cause:
            case Cause.RACE:
                return _Lost(rejection.words)
            case Cause.POLICY:
                return _Forbidden(rejection.words)
            case Cause.ACCESS:
                return GitOpsMisconfigured(f"{self._where} does not let this worker in: {rejection.words}")
            case Cause.BROKEN:
                return GitError(f"cannot push to {self._where}: {rejection.words}")

    async def _fetched(self) -> str | None:
        if not self._is_open:
            await self._clone.open()
            self._is_open = True
        try:
            return await self._clone.fetch()
        except BranchMissing:
            message = f"{self._where} is not there, though the repository has commits: name another branch, or make it"
            raise GitOpsMisconfigured(message) from None
        except GitFailed as failed:
            rejection = read_rejection(failed.output)
            if rejection.cause is Cause.ACCESS:
                raise GitOpsMisconfigured(f"{self._where} cannot be read: {rejection.words}") from None
            if failed.damaged:
                raise Damaged(str(failed)) from None
            raise GitError(f"cannot fetch {self._where}: {failed}") from None

    async def _commits(self, tip: str | None, entries: Sequence[_Entry]) -> dict[_Entry, str]:
        """Answer what needs no commit, and make one for each of the others."""
        try:
            files = await self._clone.read(tip, (entry.update.pointer.path for entry in entries))
        except Obstructed as obstructed:
            if len(entries) > 1:
                raise _Forbidden(str(obstructed)) from None
            entries[0].refuse(GitOpsDenied(f"{self._where}: {obstructed}, where the pointer belongs"))
            return {}
        found = {path: read_pointer(data) for path, data in files.items()}
        now = time.time()
        wanted: dict[_Entry, Commit] = {}
        for entry in entries:
            pointer = entry.update.pointer
            before = found.get(pointer.path)
            if before is not None and before.names(pointer):
                await self._found(entry, tip, wanted, before)
            elif before is not None and before.newer_than(pointer):
                entry.refuse(GitOpsDenied(_superseded(pointer, before)))
            else:
                text = pointer.text(utc_text(now))
                wanted[entry] = Commit(commit_message(entry.update, before), pointer.path, text, int(now))
                found[pointer.path] = read_pointer(text.encode())
        if not wanted:
            return {}
        return dict(zip(wanted, await self._clone.commit(tip, list(wanted.values())), strict=True))

    async def _found(self, entry: _Entry, tip: str | None, wanted: dict[_Entry, Commit], before: Found) -> None:
        """The environment has this release. If that is this batch's doing, the answer waits until it is pushed."""
        pointer = entry.update.pointer
        if tip is None or any(commit.path == pointer.path for commit in wanted.values()):
            return
        commit_sha = await self._clone.last_change(tip, pointer.path)
        entry.give(commit_sha, changed=entry.made and before.deployment_id == pointer.deployment_id)

    def _refuse(self, batch: Sequence[_Entry], error: GitOpsError) -> None:
        """Where not even the tip could be had, all that wait have waited for the same."""
        for entry in batch or self._taken():
            entry.refuse(type(error)(str(error)))

    async def _start_over(self) -> None:
        """Our repository is a cache: what is wrong with it need not be known."""
        self._is_open = False
        await asyncio.to_thread(remove_folder, self._clone.path)

    @property
    def _where(self) -> str:
        return f"branch {self._clone.branch} of {self._url}"


_RESULTS: Final = {
    Cause.RACE: PushResult.RACE,
    Cause.POLICY: PushResult.DENIED,
    Cause.ACCESS: PushResult.DENIED,
    Cause.BROKEN: PushResult.FAILED,
}


class _Lost(Exception):
    """Another push came first."""


class _Forbidden(Exception):
    """The server's rules, in its words."""


def _pause_s(attempt: int, try_s: float) -> float:
    """Anything up to a time that grows with the attempts: those who lost together must not come back together."""
    longest_s = min(max(try_s, TRY_S_MIN), TRY_S_MAX) * PAUSE_GROWTH**attempt
    return random.uniform(0.0, min(PAUSE_S_MAX, longest_s))  # noqa: S311 - spreads load, guards nothing


def _superseded(pointer: Pointer, before: Found) -> str:
    return (
        f"{pointer.environment} was given another release of {pointer.project} by a later deployment"
        f" ({before.deployment_id or 'unknown'}, release {before.release[:12]}); deploy this one again if it is wanted"
    )
