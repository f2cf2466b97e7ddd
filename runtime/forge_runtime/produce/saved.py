"""What a target saved, as it lies in a directory: looked through before anything of it is opened.

Commands of the repository wrote it, so it may hold links that lead out, devices, names that no archive should carry,
or more than any artifact is.
"""

import os
import stat
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from forge_runtime.link import LINKS_MAX, followed
from forge_runtime.produce.product import ProducerFailed
from forge_runtime.thread import go_on

FILES_MAX: Final = 100_000
BYTES_MAX: Final = 8 * 1024**3
DEPTH_MAX: Final = 100
NAME_BYTES_MAX: Final = 255
"""Of one part of a path, in most file systems."""

PATH_BYTES_MAX: Final = 1024
"""Of a whole path, as a key in S3 has it."""

SHOWN: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file, directory or link below the root; `name` is its path there, with slashes."""

    path: Path
    name: str
    mode: int
    size: int

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.mode)


def entries(root: Path, stop: threading.Event) -> Iterator[Entry]:
    """Everything below a directory, in the order of the names. Raises ProducerFailed and Stopped."""
    size = 0
    for count, entry in enumerate(_walk(root, root, stop, 1), 1):
        size += entry.size
        if count > FILES_MAX:
            raise ProducerFailed(f"the target saved more than {FILES_MAX} files")
        if size > BYTES_MAX:
            raise ProducerFailed(f"the target saved more than {BYTES_MAX // 1024**3} GiB")
        yield entry


def only_file(root: Path, stop: threading.Event) -> Entry:
    """The one file that was saved, in whatever directory."""
    found = [entry for entry in entries(root, stop) if not entry.is_directory]
    if not found:
        raise ProducerFailed("the target saved nothing: name the file with SAVE ARTIFACT")
    if len(found) > 1:
        raise ProducerFailed(f"the target saved {len(found)} files where one is expected: {_shown(found)}")
    if found[0].is_link:
        raise ProducerFailed(f"the target saved {found[0].name}, which is a link: save what it leads to")
    return found[0]


def top_entry(root: Path, stop: threading.Event) -> Entry:
    """The one file or directory that was saved, all below it looked through."""
    found = [entry for entry in entries(root, stop) if "/" not in entry.name]
    if not found:
        raise ProducerFailed("the target saved nothing: name a file or directory with SAVE ARTIFACT")
    if len(found) > 1:
        raise ProducerFailed(
            f"the target saved {len(found)} things where one is expected: {_shown(found)}; "
            "save the directory that holds them"
        )
    if found[0].is_link:
        raise ProducerFailed(f"the target saved {found[0].name}, which is a link: save what it leads to")
    return found[0]


def _walk(root: Path, directory: Path, stop: threading.Event, depth: int) -> Iterator[Entry]:
    if depth > DEPTH_MAX:
        raise ProducerFailed(f"the target saved directories that are nested deeper than {DEPTH_MAX}")
    with os.scandir(directory) as scanned:
        found = sorted(scanned, key=lambda entry: entry.name)
    for each in found:
        go_on(stop)
        path = Path(each.path)
        name = path.relative_to(root).as_posix()
        check_name(name)
        status = each.stat(follow_symlinks=False)
        if each.is_symlink():
            _check_link(root, path, name)
            yield Entry(path=path, name=name, mode=status.st_mode, size=0)
        elif stat.S_ISDIR(status.st_mode):
            yield Entry(path=path, name=name, mode=status.st_mode, size=0)
            yield from _walk(root, path, stop, depth + 1)
        elif stat.S_ISREG(status.st_mode):
            yield Entry(path=path, name=name, mode=status.st_mode, size=status.st_size)
        else:
            raise ProducerFailed(f"the target saved {name}, which is neither a file nor a directory")


def check_name(name: str) -> None:
    """ProducerFailed for a name that would be trouble to whoever unpacks or lists it."""
    if not name.isprintable():
        raise ProducerFailed(f"the name {name[:80]!r} holds a character that cannot be printed, or is not UTF-8")
    if len(name.encode()) > PATH_BYTES_MAX or any(len(part.encode()) > NAME_BYTES_MAX for part in name.split("/")):
        raise ProducerFailed(
            f"the name {name[:80]!r} ... is longer than {PATH_BYTES_MAX} bytes, or a part of it than {NAME_BYTES_MAX}"
        )


def _check_link(root: Path, path: Path, name: str) -> None:
    target = path.readlink()
    check_name(str(target))
    if target.is_absolute() or followed(path, os.path.realpath(root)) is None:
        raise ProducerFailed(
            f"the target saved {name}, a link that leads out of what was saved, or on through more than {LINKS_MAX} "
            f"others ({str(target)[:80]!r})"
        )


def _shown(found: list[Entry]) -> str:
    names = ", ".join(entry.name for entry in found[:SHOWN])
    return f"{names}, ..." if len(found) > SHOWN else names
