"""The git checkout that `forge run` is started in: what to build, and what the run will not see."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from forge_api.settings import LOCAL_OWNER
from forgec.adapter.git import git_environment

GIT_TIMEOUT_S: Final = 30.0


Trigger = Literal["manual", "push", "tag"]
"""The event that a run plays; only the last two may release something."""


class NotACheckout(Exception):
    """The directory is no git checkout with a commit, or not what the trigger needs; the message says which of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """`branch` is None on a detached HEAD; `uncommitted` counts changed and untracked paths."""

    root: Path
    commit_sha: str
    branch: str | None
    tags: tuple[str, ...]
    uncommitted: int

    @property
    def repository(self) -> str:
        """`local/<directory>`: the name that this checkout is registered under."""
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", self.root.name).strip("-.")[:100]
        return f"{LOCAL_OWNER}/{name or 'repository'}"

    @property
    def clone_url(self) -> str:
        return self.root.as_uri()

    def run_request(self, trigger: Trigger, tag: str | None = None) -> dict[str, Any]:
        """The body of POST /v1/runs. `tag` chooses among several at HEAD. NotACheckout where there is no branch, or no
        such tag, to push."""
        body = {"repository": self.repository, "commit_sha": self.commit_sha}
        if trigger == "tag":
            return body | {"trigger_type": "push", "ref": f"refs/tags/{self._tag(tag)}"}
        branch = {} if self.branch is None else {"branch": self.branch, "ref": f"refs/heads/{self.branch}"}
        if trigger == "push" and not branch:
            raise NotACheckout(f"{self.root} is on no branch, so there is no push to play; `git switch` to one")
        return body | branch | {"trigger_type": trigger}

    def _tag(self, wanted: str | None) -> str:
        if wanted is not None and wanted not in self.tags:
            raise NotACheckout(f"tag {wanted} is not at HEAD of {self.root} ({self._at_head()})")
        if wanted is None and len(self.tags) != 1:
            raise NotACheckout(f"which tag is pushed must be clear: {self._at_head()}; name one with --tag")
        return wanted or self.tags[0]

    def _at_head(self) -> str:
        return f"at HEAD: {', '.join(self.tags)}" if self.tags else "there is none at HEAD"


def read_checkout(directory: Path) -> Checkout:
    if not directory.is_dir():
        raise NotACheckout(f"{directory} is not a directory")
    root = _git(directory, "rev-parse", "--show-toplevel")
    if root is None:
        raise NotACheckout(f"{directory} is not in a git repository; `git init` and commit, then run again")
    commit = _git(directory, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    if commit is None:
        raise NotACheckout(f"{root} has no commit yet; a run builds a commit, so `git commit` first")
    branch = _git(directory, "symbolic-ref", "--quiet", "--short", "HEAD")
    tags = _git(directory, "tag", "--points-at", "HEAD") or ""
    changed = _git(Path(root), "status", "--porcelain") or ""
    return Checkout(
        root=Path(root),
        commit_sha=commit,
        branch=branch,
        tags=tuple(tags.split()),
        uncommitted=len(changed.splitlines()),
    )


def _git(directory: Path, *arguments: str) -> str | None:
    """What git prints, or None if it fails."""
    try:
        done = subprocess.run(
            ["git", "-C", str(directory), *arguments],
            env=git_environment(),
            capture_output=True,
            text=True,
            timeout=GIT_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:
        raise NotACheckout("git is not installed") from None
    except subprocess.TimeoutExpired:
        raise NotACheckout(f"git did not answer within {GIT_TIMEOUT_S:.0f}s in {directory}") from None
    return done.stdout.strip() if done.returncode == 0 else None
