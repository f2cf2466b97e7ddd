"""Copying files between a checkout, trees of targets and their artifacts, without ever leaving them.

The input is untrusted: paths with `..`, symbolic links that lead out (in the checkout, or left behind by a command in
the tree that is written to), special files. Reads stay below the source's boundary, writes below the destination's.
"""

import os
import posixpath
import shutil
import stat
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from forge_runtime.link import LINKS_MAX, followed
from forge_runtime.thread import go_on

DEPTH_MAX: Final = 200
"""Directories within directories; a tree that is much deeper cannot even be removed by recursion."""


class PathRefused(Exception):
    """A path leads where it must not, or to nothing; the message is for the user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where COPY reads. Links must stay below `boundary`; `hidden` names files that directory copies leave out.

    `links_checked` is off for what commands of this step wrote: their links are kept as they are, and not followed.
    """

    directory: Path
    boundary: Path
    hidden: frozenset[Path] = frozenset()
    links_checked: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A path (absolute: from `root`) below the tree `root`; relative paths begin at `workdir`."""

    root: Path
    workdir: str
    path: str

    @property
    def inside(self) -> str:
        """The absolute path within the tree; as in a root directory, `..` cannot climb above it."""
        return "/" + posixpath.normpath(posixpath.join("/", self.workdir, self.path)).lstrip("/")

    @property
    def lexical(self) -> Path:
        return self.root / self.inside.lstrip("/")

    @property
    def is_directory(self) -> bool:
        """Whether the text itself says so."""
        return posixpath.basename(self.path) in ("", ".", "..")


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """A COPY: what `pattern` names in `origin`. Directories give their contents, or themselves if they are kept."""

    origin: Origin
    pattern: str
    destination: Destination
    keep_directories: bool
    several: bool = False
    """Whether the command copies more than this, so that the destination has to be a directory."""


def find_sources(origin: Origin, pattern: str) -> list[Path]:
    """The paths that a pattern names, sorted. Raises PathRefused if it leads out; an empty list if nothing is there."""
    relative = posixpath.normpath(pattern.lstrip("/") or ".")
    if relative == ".." or relative.startswith("../"):
        raise PathRefused(f"{pattern!r} lies outside of what can be copied: use an artifact of another target")
    if "**" in relative:
        raise PathRefused(f"{pattern!r}: ** is not supported, name the directory instead")
    if any(character in relative for character in "*?["):
        sources = sorted(path for path in origin.directory.glob(relative) if path not in origin.hidden)
    else:
        source = origin.directory / relative
        sources = [source] if os.path.lexists(source) else []
    for source in sources:
        _require_inside(source, origin.boundary, pattern)
    return sources


def copy(transfer: Transfer, stop: threading.Event) -> int:
    """Copy with the meaning of COPY and return how many sources there were: a file goes into the destination if that
    is a directory, ends with "/" or takes several. Raises PathRefused, Stopped, OSError."""
    origin, destination = transfer.origin, transfer.destination
    sources = find_sources(origin, transfer.pattern)
    target = destination.lexical
    into = destination.is_directory or transfer.several or len(sources) > 1 or target.is_dir()
    for source in sources:
        real = Path(os.path.realpath(source))
        if real.is_dir():
            keep = transfer.keep_directories and source != origin.directory
            place = _directory(target / source.name if keep else target, destination.root)
            _copy_directory(real, origin, place, destination.root, stop)
        else:
            place = target / source.name if into else target
            _copy_file(real, _directory(place.parent, destination.root) / place.name)
    return len(sources)


def clone(source: Path, target: Path, *, stop: threading.Event) -> None:
    """A whole tree, links as they are."""
    origin = Origin(directory=source, boundary=source, links_checked=False)
    _copy_directory(source, origin, _directory(target, target), target, stop)


def clone_closed(source: Path, target: Path, *, stop: threading.Event) -> None:
    """A whole tree for others, who may follow its links. Raises PathRefused if one leads out of the copy."""
    clone(source, target, stop=stop)
    boundary = os.path.realpath(target)
    for folder, directories, files in os.walk(target):
        for name in (*directories, *files):
            go_on(stop)
            path = Path(folder, name)
            if path.is_symlink() and followed(path, boundary) is None:
                raise _leads_out(str(path.relative_to(target)), "what is saved")


def make_directory(destination: Destination) -> Path:
    """The destination as a directory, made where it is missing. Raises PathRefused if a link leads out of the tree."""
    return _directory(destination.lexical, destination.root)


def _copy_directory(source: Path, origin: Origin, target: Path, root: Path, stop: threading.Event) -> None:
    """`target` is a real path below `root`."""
    real_root = Path(os.path.realpath(root))
    pending = [(source, target, 1)]
    while pending:
        source, target, depth = pending.pop()
        if depth > DEPTH_MAX:
            raise PathRefused(f"directories are nested deeper than {DEPTH_MAX}")
        with os.scandir(source) as entries:
            for entry in entries:
                go_on(stop)
                path = Path(entry.path)
                if path in origin.hidden:
                    continue
                if entry.is_symlink():
                    if origin.links_checked:
                        _require_inside(path, origin.boundary, entry.name)
                    _remove_file(target / entry.name)
                    (target / entry.name).symlink_to(path.readlink())
                elif entry.is_dir():
                    pending.append((path, _child(target, entry.name, real_root), depth + 1))
                else:
                    _copy_file(path, target / entry.name)


def _copy_file(source: Path, target: Path) -> None:
    """Replaces what is there, and never writes through a link."""
    if not stat.S_ISREG(source.stat().st_mode):
        raise PathRefused(f"{source.name!r} is no regular file")
    _remove_file(target)
    shutil.copy2(source, target, follow_symlinks=False)


def _remove_file(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        raise PathRefused(f"{path.name!r} would replace a directory")
    path.unlink(missing_ok=True)


def _directory(path: Path, root: Path) -> Path:
    """`path` below `root` with its links resolved, each missing part made. Raises PathRefused if a link leads out."""
    real_root = Path(os.path.realpath(root))
    real_root.mkdir(parents=True, exist_ok=True)
    current = real_root
    for part in path.relative_to(root).parts:
        current = _child(current, part, real_root)
    return current


def _child(parent: Path, name: str, real_root: Path) -> Path:
    """The directory `name` in a real directory below `real_root`."""
    path = parent / name
    if path.is_symlink():
        real = followed(path, str(real_root))
        if real is None:
            raise _leads_out(name, "the target's directory")
        path = Path(real)
    if not path.exists():
        path.mkdir()
    elif not path.is_dir():
        raise PathRefused(f"{name!r} is a file, not a directory")
    return path


def _require_inside(path: Path, boundary: Path, shown: str) -> None:
    if followed(path, os.path.realpath(boundary)) is None:
        raise _leads_out(shown, "the repository")


def _leads_out(shown: str, top: str) -> PathRefused:
    return PathRefused(f"{shown!r} is a link that leads out of {top}, or on through more than {LINKS_MAX} others")
