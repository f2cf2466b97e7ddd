"""Archives that nobody packs by accident."""

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path


def tar_of(path: Path, files: Mapping[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def zip_of(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def entry_of(path: Path, name: str, kind: bytes, link: str = "") -> Path:
    """A tar of one entry that is no file."""
    with tarfile.open(path, "w:gz") as tar:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, link
        tar.addfile(info)
    return path


def chain_of(path: Path, links: int) -> Path:
    """A link to a link, and so on, to a file: `l0` to `l<links>`."""
    with tarfile.open(path, "w:gz") as tar:
        for number in range(links):
            info = tarfile.TarInfo(f"l{number}")
            info.type, info.linkname = tarfile.SYMTYPE, f"l{number + 1}"
            tar.addfile(info)
        tar.addfile(tarfile.TarInfo(f"l{links}"))
    return path


def huge_header(path: Path) -> Path:
    """An extended header that claims a gigabyte, which compresses to nothing."""
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 1024**3
    with gzip.open(path, "wb") as file:
        file.write(info.tobuf())
        file.write(bytes(4 * 1024 * 1024))
    return path


def claims_more(path: Path, size: int) -> Path:
    """A file that says it is larger than what follows."""
    info = tarfile.TarInfo("large")
    info.size = size
    with gzip.open(path, "wb") as file:
        file.write(info.tobuf(format=tarfile.GNU_FORMAT))
        file.write(b"little")
    return path


def cut_off(path: Path) -> Path:
    tar_of(path, {"data": bytes(range(256)) * 400})
    path.write_bytes(path.read_bytes()[:-200])
    return path


def broken_zip(path: Path) -> Path:
    zip_of(path, {"data": b"x" * 100})
    data = bytearray(path.read_bytes())
    data[40] ^= 0xFF  # within the file's bytes: its checksum is wrong
    path.write_bytes(data)
    return path


def encrypted_zip(path: Path) -> Path:
    zip_of(path, {"data": b"x"})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    return path


def endless_list(path: Path) -> Path:
    """A zip that says of the list of its files that it has a gigabyte."""
    zip_of(path, {"data": b"x"})
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x05\x06") + 12
    data[at : at + 4] = (1024**3).to_bytes(4, "little")
    path.write_bytes(data)
    return path


HOSTILE: Mapping[str, tuple[Callable[[Path], Path], str]] = {
    "a name that climbs": (lambda path: tar_of(path, {"../up": b"x"}), "leads out"),
    "an absolute name": (lambda path: tar_of(path, {"/etc/passwd": b"x"}), "leads out"),
    "a backslash in a name": (lambda path: zip_of(path, {"..\\up": b"x"}), "leads out"),
    "a name that climbs in a zip": (lambda path: zip_of(path, {"a/../../up": b"x"}), "leads out"),
    "a line break in a name": (lambda path: tar_of(path, {"a\nb": b"x"}), "cannot be printed"),
    "a link that leads out": (lambda path: entry_of(path, "a", tarfile.SYMTYPE, "../../etc"), "leads out"),
    "an absolute link": (lambda path: entry_of(path, "a", tarfile.SYMTYPE, "/etc/passwd"), "leads out"),
    "a hard link that leads out": (lambda path: entry_of(path, "a", tarfile.LNKTYPE, "../b"), "leads out"),
    "a device": (lambda path: entry_of(path, "a", tarfile.CHRTYPE), "neither a file nor a directory"),
    "a pipe": (lambda path: entry_of(path, "a", tarfile.FIFOTYPE), "neither a file nor a directory"),
    "a file that is the archive itself": (lambda path: tar_of(path, {".": b"x"}), "more than once"),
    "a name without end": (lambda path: tar_of(path, {"a/" * 600 + "b": b"x"}), "longer than 1024 bytes"),
    "directories without end": (lambda path: tar_of(path, {"a/" * 100 + "b": b"x"}), "nested deeper than 100"),
    "an encrypted file": (encrypted_zip, "encrypted"),
    "a list without end": (endless_list, "list of files of more than"),
    "a header without end": (huge_header, "damaged"),
    "more than follows": (lambda path: claims_more(path, 100_000), "damaged"),
    "more than is allowed": (lambda path: claims_more(path, 9 * 1024**3), "unpacks to more than 8 GiB"),
    "an end that is missing": (cut_off, "damaged"),
    "a wrong checksum": (broken_zip, "damaged"),
}
"""What each is, how it is made, and what the refusal says."""
