"""Which worktrees a repository of the cache knows: the entries in `worktrees/`, each with its folder's place.

Whoever removes a folder takes its own entry out. That a folder is not to be seen does not mean that it is not there:
workers in containers of their own may share a cache and not their jobs' folders. Only an entry that is older than any
job is one that a killed worker left.
"""

import os
from pathlib import Path
from typing import Final

from forge_runtime.folder import remove_folder
from forge_runtime.git.command import git
from forge_runtime.git.fetch import COMMAND_TIMEOUT_S

AGE_MAX: Final = "2.days.ago"
"""A run has 24 hours at most."""


def forget_worktree(repository: Path, folder: Path) -> None:
    """The folder, by its real path, is gone; the repository's lock is the caller's."""
    named = os.fsencode(folder / ".git")
    for entry in (repository / "worktrees").glob("*"):
        try:
            found = (entry / "gitdir").read_bytes().removesuffix(b"\n") == named
        except OSError:
            continue  # torn: pruned
        if found:
            remove_folder(entry)


async def prune_worktrees(repository: Path, held: int) -> None:
    """Those without a folder that are old, and torn ones. Raises GitError."""
    await git(repository, "worktree", "prune", f"--expire={AGE_MAX}", timeout_s=COMMAND_TIMEOUT_S, held=(held,))
