"""Archives that others packed, read without trusting them, and archives of our own, the same for the same files.

    read_archive(path)  -> entries, one after the other, each with its bytes      tar, tar.gz, tar.bz2, zip
    unpack(path, into)  -> the files below a directory of ours
    pack(directory)     -> tar.gz, the same for the same files

An entry with an absolute name or a `..`, a link that leads out, a device, a bomb, or a file that ends too soon makes
the whole archive refused: who gave out half of one would give out something that nobody packed.
"""

import bz2
import errno
import gzip
import lzma
import os
import posixpath
import stat
import struct
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import IO, Final, cast

from forge_runtime.link import LINKS_MAX
from forge_runtime.oci.image import BadImage, Packed, write_tar_gzip
from forge_runtime.produce.product import ProducerFailed
from forge_runtime.produce.saved import BYTES_MAX, DEPTH_MAX, FILES_MAX, check_name, entries
from forge_runtime.thread import go_on

FORMATS: Final = ("tar.gz", "tar.bz2", "zip", "tar")
CHUNK_BYTES: Final = 256 * 1024
SKIP_BYTES: Final = 16 * 1024 * 1024
"""How far a stopped job still goes on to the next member of a tar: what lies between is unpacked, too."""

HEADER_BYTES_MAX: Final = 1024 * 1024
"""What a tar's extended header may take: it is read into memory whole, whatever size it claims."""

LIST_BYTES_MAX: Final = 32 * 1024 * 1024
"""Of a zip's list of its files, likewise: 100,000 files with long names."""


class ArchiveRefused(ProducerFailed):
    """The file is no archive of a known format, or one that must not be unpacked."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file or link in an archive. `name` is relative, with slashes; `link` is where a link leads, else empty.

    `chunks` gives a file's bytes, until the next member is asked for.
    """

    archive: str
    name: str
    size: int
    executable: bool = False
    link: str = ""
    stream: IO[bytes] | None = None
    stop: threading.Event | None = None

    def chunks(self) -> Iterator[bytes]:
        """Nothing of a link. Raises ArchiveRefused and Stopped."""
        try:
            while self.stream is not None and (chunk := self.stream.read(CHUNK_BYTES)):
                go_on(self.stop)
                yield chunk
        except _DAMAGE as error:
            raise _damaged(self.archive, error) from None


def format_of(path: Path) -> str | None:
    """By the first bytes; None where they are none of an archive's."""
    with path.open("rb") as file:
        start = file.read(512)
    if start.startswith(b"\x1f\x8b"):
        return "tar.gz"
    if start.startswith(b"BZh"):
        return "tar.bz2"
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    return "tar" if start[257:262] == b"ustar" else None


def read_archive(path: Path, stop: threading.Event | None = None) -> Iterator[Member]:
    """Every file and link, in the archive's order. Raises ArchiveRefused and Stopped."""
    kind = format_of(path)
    if kind is None:
        raise ArchiveRefused(f"{path.name} is no archive of a known format ({', '.join(FORMATS)})")
    size = 0
    try:
        for count, member in enumerate(_zip(path, stop) if kind == "zip" else _tar(path, kind, stop), 1):
            size += member.size
            go_on(stop)
            if count > FILES_MAX:
                raise ArchiveRefused(f"{path.name} holds more than {FILES_MAX} files")
            if size > BYTES_MAX:
                raise ArchiveRefused(f"{path.name} unpacks to more than {BYTES_MAX // 1024**3} GiB")
            yield member
    except _DAMAGE as error:
        raise _damaged(path.name, error) from None


def unpack(path: Path, into: Path, stop: threading.Event | None = None) -> list[Path]:
    """The files of an archive below a new directory, in the order of their names; links become what they lead to.

    Nothing is written through a link: there are none on the disk. Raises ArchiveRefused and Stopped.
    """
    into.mkdir(parents=True)
    tree = _Tree(into)
    links: dict[str, str] = {}
    for member in read_archive(path, stop):
        if member.stream is None:
            links[member.name] = member.link
        else:
            tree.write(member)
    for name in links:
        go_on(stop)
        tree.put_copy(name, links)
    return sorted(each for each in into.rglob("*") if each.is_file())


def pack(directory: Path, into: Path, stop: threading.Event) -> int:
    """A tar.gz of the files below a directory; how many there are. Raises ProducerFailed and Stopped.

    A link to a file becomes the file.
    """
    files = []
    for entry in entries(directory, stop):
        source = Path(os.path.realpath(entry.path))
        if entry.is_directory:
            continue
        if not source.is_file():
            raise ProducerFailed(f"the target saved {entry.name}, a link to no file: save what it leads to")
        executable = bool(source.stat().st_mode & stat.S_IXUSR)
        files.append(Packed(name=entry.name, content=source, executable=executable))
    try:
        with into.open("wb") as file:
            write_tar_gzip(files, cast("IO[bytes]", _Stoppable(file, stop)))
    except BadImage as error:
        raise ProducerFailed(f"what the target saved cannot be packed: {error}") from None
    return len(files)


class _Stoppable:
    """A file that takes nothing more once the job is stopped."""

    def __init__(self, file: IO[bytes], stop: threading.Event) -> None:
        self._file = file
        self._stop = stop

    def write(self, data: bytes) -> int:
        go_on(self._stop)
        return self._file.write(data)


def _tar(path: Path, kind: str, stop: threading.Event | None) -> Iterator[Member]:
    with _opened(path, kind) as file, tarfile.open(fileobj=cast("IO[bytes]", _Bounded(file, stop)), mode="r:") as tar:
        directories = 0
        while (info := tar.next()) is not None:
            tar.members = []  # type: ignore[attr-defined]  # else every header stays in memory
            if info.isdir():
                _checked(path, info.name)
                directories += 1
                if directories > FILES_MAX:
                    raise ArchiveRefused(f"{path.name} holds more than {FILES_MAX} directories")
                continue
            name = _checked(path, info.name)
            if info.issym() or info.islnk():
                base = posixpath.dirname(name) if info.issym() else ""
                yield Member(path.name, name, 0, link=_checked_link(path, name, base, info.linkname))
            elif info.isreg() and not info.issparse():
                executable = bool(info.mode & stat.S_IXUSR)
                yield Member(path.name, name, info.size, executable, stream=tar.extractfile(info), stop=stop)
            else:
                raise ArchiveRefused(f"{path.name}: {name} is neither a file nor a directory")


def _opened(path: Path, kind: str) -> IO[bytes]:
    match kind:
        case "tar.gz":
            return cast("IO[bytes]", gzip.open(path, "rb"))
        case "tar.bz2":
            return cast("IO[bytes]", bz2.open(path, "rb"))
        case _:
            return path.open("rb")


class _Bounded:
    """A file for tarfile that gives it no more at once than a header may take; data is read in smaller pieces.

    On to the next header it goes in steps: a stopped job does not wait for the gigabytes of a member that nobody reads.
    """

    def __init__(self, file: IO[bytes], stop: threading.Event | None) -> None:
        self._file = file
        self._stop = stop

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= HEADER_BYTES_MAX:
            raise tarfile.ReadError(f"a header of more than {HEADER_BYTES_MAX} bytes")
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        step = self._file.tell() + SKIP_BYTES
        while whence == os.SEEK_SET and step < offset and self._file.seek(step) == step:
            go_on(self._stop)
            step += SKIP_BYTES
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True


def _zip(path: Path, stop: threading.Event | None) -> Iterator[Member]:
    if _list_bytes(path) > LIST_BYTES_MAX:
        raise ArchiveRefused(f"{path.name} has a list of files of more than {LIST_BYTES_MAX} bytes")
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            name = _checked(path, info.filename.rstrip("/"))
            if info.is_dir():
                continue
            if info.flag_bits & 0x1:
                raise ArchiveRefused(f"{path.name}: {name} is encrypted")
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind == stat.S_IFLNK:
                target = archive.open(info).read(4096).decode("utf-8", errors="replace")
                link = _checked_link(path, name, posixpath.dirname(name), target)
                yield Member(path.name, name, 0, link=link)
            elif kind in (0, stat.S_IFREG):
                executable = bool(info.external_attr >> 16 & stat.S_IXUSR)
                with archive.open(info) as stream:
                    yield Member(path.name, name, info.file_size, executable, stream=stream, stop=stop)
            else:
                raise ArchiveRefused(f"{path.name}: {name} is neither a file nor a directory")


def _list_bytes(path: Path) -> int:
    """The size of a zip's central directory, as the records at its end say it (APPNOTE 4.3.14, 4.3.16)."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 66_000))  # a comment of 64 KiB, and the records before it
        end = file.read()
    sizes = [0]
    for signature, layout, offset in ((b"PK\x05\x06", "<I", 12), (b"PK\x06\x06", "<Q", 40)):
        at = end.rfind(signature)
        if at >= 0 and at + offset + 8 <= len(end):
            sizes.append(struct.unpack_from(layout, end, at + offset)[0])
    return max(size for size in sizes if size != 0xFFFFFFFF)  # which says that the other record has it


def _checked(path: Path, name: str) -> str:
    """The name in its plain form."""
    if name.startswith("/") or "\\" in name or ".." in name.split("/"):
        raise ArchiveRefused(f"{path.name}: the name {name[:80]!r} leads out of the archive")
    try:
        check_name(name)
    except ProducerFailed as error:
        raise ArchiveRefused(f"{path.name}: {error}") from None
    plain = posixpath.normpath(name)
    if plain.count("/") >= DEPTH_MAX:
        raise ArchiveRefused(f"{path.name}: directories are nested deeper than {DEPTH_MAX} ({name[:80]!r} ...)")
    return plain


def _checked_link(path: Path, name: str, base: str, target: str) -> str:
    """Where a link leads, from the archive's root."""
    resolved = posixpath.normpath(posixpath.join(base, target))
    if target.startswith("/") or "\0" in target or resolved == ".." or resolved.startswith("../"):
        raise ArchiveRefused(f"{path.name}: {name} is a link that leads out of the archive ({target[:80]!r})")
    return resolved


class _Tree:
    """What an archive becomes, below a directory; a few kilobytes can name a thousand directories for each file."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._directories = 0

    def write(self, member: Member) -> None:
        with self._new(member.name) as place:
            with place.open("xb") as file:
                for chunk in member.chunks():
                    file.write(chunk)
            if member.executable:
                place.chmod(0o755)

    def put_copy(self, name: str, links: dict[str, str]) -> None:
        """Where a link was. One to a directory, to nothing, in a circle or through too many others gives nothing."""
        target, followed = links[name], 1
        while target in links:
            if followed == LINKS_MAX:
                return
            target, followed = links[target], followed + 1
        source = self._root / target
        if source.is_file() and not (self._root / name).exists():
            with self._new(name) as place:
                try:
                    place.hardlink_to(source)
                except OSError as error:
                    if error.errno != errno.EMLINK:
                        raise
                    raise ArchiveRefused(f"the archive holds more links to {target[:80]} than a file has") from None

    @contextmanager
    def _new(self, name: str) -> Iterator[Path]:
        """Where it comes to lie, its directories made."""
        place = self._root / name
        try:
            missing = list(takewhile(lambda directory: not directory.is_dir(), place.parents))
            for directory in reversed(missing):
                self._directories += 1
                if self._directories > FILES_MAX:
                    raise ArchiveRefused(f"the archive makes more than {FILES_MAX} directories")
                directory.mkdir()
            yield place
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            raise ArchiveRefused(f"the archive holds {name[:80]} more than once") from None


def _damaged(name: str, error: Exception) -> Exception:
    """What to raise for it."""
    if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
        return error
    return ArchiveRefused(f"{name} is damaged: {' '.join(str(error).split())}")


_DAMAGE: Final = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    LookupError,
    OverflowError,
)
"""What the standard library raises for files that are not what they say: bytes of each format, changed at random, came
to all of these. An OSError with a number is the system's, but for EINVAL: a place before the beginning."""
