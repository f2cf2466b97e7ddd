"""What is done about a repository of the cache that is damaged: the mildest thing first.

    git complains ─▶ lock files of the dead and old lost worktrees removed, `fsck --connectivity-only`
                       │ sound: tried again                 │ unsound, or the same complaint after that
                       ▼                                    ▼
                     goes on                              condemned: whoever has a lease goes on with it, nobody else
                                                          gets it; cloned anew; deleted when nobody uses it any more

Nothing is changed under whoever uses it, and nothing is lost: a cache holds only copies.
"""

import logging
from pathlib import Path
from typing import Final

from forge_runtime.git.command import GitFailed, git
from forge_runtime.git.error import GitError
from forge_runtime.git.shelf import Entry, Shelf
from forge_runtime.git.worktrees import prune_worktrees

FSCK_TIMEOUT_S: Final = 300.0

_log = logging.getLogger(__name__)


async def repair(shelf: Shelf, entry: Entry, failed: GitFailed, *, again: bool) -> None:
    """Make the entry usable or condemn it. `again`: it was repaired for the same caller before.

    What a fetch says may be the server's own damage, so it condemns only what our own check finds unsound, or what is
    named as ours: the check does not read contents.
    """
    async with shelf.exclusive(entry.lock) as held:
        if not entry.is_there or entry.is_condemned:
            return
        repository = entry.repository
        removed = remove_stale_locks(repository)
        sound = await _is_sound(repository, held)
        ours = failed.command != "fetch" or any(f"/{repository.name}/" in line for line in failed.output)
        facts = {"repository": entry.name, "why": str(failed), "locks_removed": removed or None}
        if sound and (removed or not again or not ours):
            _log.warning("repository of the git cache mended", extra=facts)
            return
        entry.condemn()
        _log.warning("repository of the git cache condemned; it is cloned anew", extra=facts)


def remove_stale_locks(repository: Path) -> int:
    """Lock files that nobody can own, since the lock of the repository is ours; how many.

    Those of worktrees belong to their jobs, which fill them without it. git's own children hold our lock until they
    end, so not even one whose worker was killed is still at it.
    """
    worktrees = repository / "worktrees"
    found = [path for path in repository.rglob("*.lock") if not path.is_relative_to(worktrees)]
    found += [path for path in (repository / "gc.pid",) if path.exists()]
    for path in found:
        path.unlink(missing_ok=True)
    return len(found)


async def _is_sound(repository: Path, held: int) -> bool:
    """Whether every object that a reference needs is there, as far as names and packs tell; contents are not read."""
    try:
        await prune_worktrees(repository, held)
        check = ("fsck", "--connectivity-only", "--no-dangling", "--no-progress")
        await git(repository, *check, timeout_s=FSCK_TIMEOUT_S, held=(held,))
    except GitError:
        return False
    return True
