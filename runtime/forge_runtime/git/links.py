"""Symbolic links of a checkout that lead out of it.

Whoever reads a file of the checkout by its name would read one of the worker. Such a link becomes a plain file that
holds the link's target, as git writes all of them on systems that have no links. Links within the checkout stay.
"""

import os
from pathlib import Path


def close_links(root: Path) -> list[str]:
    """The paths of the links that are plain files now, relative to `root`."""
    top = os.path.realpath(root)
    links = list(_links(top))
    # All are judged before any is changed: one may lead through another.
    out = [link for link in links if not _is_within(os.path.realpath(link), top)]
    for link in out:
        target = Path(link).readlink()
        Path(link).unlink()
        descriptor = os.open(link, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
        with os.fdopen(descriptor, "wb") as file:
            file.write(os.fsencode(target))
    return [os.path.relpath(link, top) for link in out]


def _links(directory: str) -> list[str]:
    found: list[str] = []
    pending = [directory]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_symlink():
                    found.append(entry.path)
                elif entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
    return found


def _is_within(path: str, top: str) -> bool:
    return path == top or path.startswith(top + os.sep)
