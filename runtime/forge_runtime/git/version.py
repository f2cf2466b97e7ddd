"""Which git may touch repositories of strangers: one with the fixes of July 2025, or a distribution's with them.

Older ones run code or write files of a repository's choosing (CVE-2024-32002, CVE-2025-48384, CVE-2025-48385 and more;
git's release notes of 2.43.7 and 2.50.1). Distributions put fixes into older versions without changing what
`git --version` says, so of Debian's the package tells; of others nothing does, and whoever runs the worker has to know.
"""

import asyncio
import re
import subprocess
from typing import Final

from forge_runtime.git.error import GitError

VERSION_TIMEOUT_S: Final = 30.0

FIXED: Final = {(2, 43): 7, (2, 44): 4, (2, 45): 4, (2, 46): 4, (2, 47): 3, (2, 48): 2, (2, 49): 1, (2, 50): 1}
"""The first release of each series that has the fixes; later series have them from the start."""

_DEBIAN: Final = re.compile(r"1:2\.39\.5-0\+deb12u([0-9]+)(?![0-9])")
_DEBIAN_FIXED: Final = 3
"""Of Debian 12: the update whose changelog names the four fixes that were missing."""


class GitTooOld(GitError):
    """This git must not be used for repositories of strangers."""

    retryable = False


async def check_git(*, backported: bool = False) -> str:
    """The version of the git on the PATH. Raises GitTooOld, and GitError if there is none.

    `backported`: whoever runs the worker says that an older git has the fixes; it must still be 2.36 or later, for the
    commands that are used here.
    """
    said = await asyncio.to_thread(_said, "git", "--version")
    if said is None:
        raise GitError("git cannot be started: install it, and put it on the PATH of the worker")
    version = parse_version(said)
    if version < (2, 36, 0):
        raise GitTooOld(f"git is too old ({said}): this needs 2.36 or later, and the fixes of 2.50.1")
    if not backported and not is_fixed(version):
        package = await asyncio.to_thread(_said, "dpkg-query", "--show", "--showformat=${Version}", "git")
        if not is_fixed_package(package or ""):
            shown = f"{said}, package {package}" if package else said
            raise GitTooOld(
                f"git is not safe for repositories of strangers ({shown}): it lacks the fixes of 2.50.1 (CVE-2025-48384"
                " and others). Install 2.50.1 or later, or the last release of 2.43 to 2.49; Debian 12 has them in"
                " 1:2.39.5-0+deb12u3. If your distribution has put them into this one, set FORGE_GIT_BACKPORTED=1"
            )
    return said.removeprefix("git version ")


def parse_version(said: str) -> tuple[int, int, int]:
    """(0, 0, 0) for what is no answer to `git --version`."""
    found = re.match(r"git version ([0-9]{1,4})\.([0-9]{1,4})(?:\.([0-9]{1,4}))?", said)
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else (0, 0, 0)


def is_fixed(version: tuple[int, int, int]) -> bool:
    series = version[:2]
    return series > max(FIXED) or version[2] >= FIXED.get(series, version[2] + 1)


def is_fixed_package(package: str) -> bool:
    """Whether Debian put the fixes into it; `package` is its version."""
    found = _DEBIAN.match(package)
    return found is not None and int(found[1]) >= _DEBIAN_FIXED


def _said(*command: str) -> str | None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=VERSION_TIMEOUT_S, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
