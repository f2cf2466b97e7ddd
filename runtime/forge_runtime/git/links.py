"""Symbolic links of a checkout that lead out of it.

Whoever reads a file of the checkout by its name would read one of the worker. Such a link becomes a plain file that
holds the link's target, as git writes all of them on systems that have no links. Links within the checkout stay, but
for circles and chains that Linux would not follow to their end.
"""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

from forge_runtime.link import followed
from forge_runtime.thread import go_on


def close_links(root: Path, stop: threading.Event) -> list[str]:
    """The paths of the links that are plain files now, relative to `root`. Raises Stopped."""
    top = os.path.realpath(root)
    # All are judged before any is changed: one may lead through another.
    out = [link for link in _links(top, stop) if followed(link, top) is None]
    for link in out:
        go_on(stop)
        target = Path(link).readlink()
        Path(link).unlink()
        descriptor = os.open(link, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
        with os.fdopen(descriptor, "wb") as file:
            file.write(os.fsencode(target))
    return [os.path.relpath(link, top) for link in out]


def _links(directory: str, stop: threading.Event) -> Iterator[str]:
    pending = [directory]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                go_on(stop)
                if entry.is_symlink():
                    yield entry.path
                elif entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
