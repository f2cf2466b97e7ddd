"""Images in a directory. Every file is written beside its place, synced and renamed: it is seen whole or not at all.

    blobs/sha256/<hex>                               content, once, whoever has it
    repositories/<owner>/<name>/_blobs/<digest>      this repository has that content
                               /_manifests/<digest>  likewise a manifest; the file holds its media type
                               /_tags/<tag>          holds a digest
                               /_referrers/<subject>/<digest>   a descriptor, as lists of referrers show it
    uploads/<id>                                     content that is still coming
    uploads/<id>.of                                  the repository that it comes for

Digests are written `sha256-<hex>` in names of files. No part of a repository's path begins with `_`, so nothing of it
can be taken for one of ours. Content that nothing names any more stays: such a registry is removed as a whole.
"""

import hashlib
import os
import re
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from forge_runtime.oci.image import hash_of

UPLOAD_S_MAX: Final = 24 * 3600.0
"""After a day nobody goes on with an upload."""

_UPLOAD_ID: Final = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredManifest:
    digest: str
    media_type: str
    data: bytes


class Store:
    """Names and digests have been checked by whoever calls: they become paths. Its methods block."""

    def __init__(self, root: Path) -> None:
        self._blobs = root / "blobs"
        self._repositories = root / "repositories"
        self._uploads = root / "uploads"
        for folder in (self._blobs / "sha256", self._blobs / "sha512", self._repositories, self._uploads):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._forget_old_uploads()

    def has_repository(self, repository: str) -> bool:
        return any((self._repositories / repository / kind).is_dir() for kind in ("_blobs", "_manifests"))

    # Blobs

    def blob(self, repository: str, digest: str) -> Path | None:
        """The content's file, if the repository has it."""
        linked = self._linked(repository, "_blobs", digest).is_file()
        return self._content(digest) if linked else None

    def link_blob(self, repository: str, digest: str) -> None:
        self._write(self._linked(repository, "_blobs", digest), b"")

    def unlink_blob(self, repository: str, digest: str) -> bool:
        return _removed(self._linked(repository, "_blobs", digest))

    # Uploads

    def begin_upload(self, repository: str) -> str:
        upload = secrets.token_hex(16)
        self._write(self._uploads / f"{upload}.of", repository.encode())
        (self._uploads / upload).touch(mode=0o600)
        return upload

    def upload(self, repository: str, upload: str) -> Path | None:
        """The file that it is appended to, if there is such an upload to this repository."""
        if not _UPLOAD_ID.fullmatch(upload):
            return None
        try:
            of = (self._uploads / f"{upload}.of").read_text(encoding="ascii")
        except FileNotFoundError:
            return None
        return self._uploads / upload if of == repository else None

    def finish_upload(self, repository: str, upload: str, digest: str) -> bool:
        """The content becomes a blob, if it has this digest; the upload is over either way."""
        path = self._uploads / upload
        hashed = hash_of(digest)
        with path.open("rb") as file:
            found = hashlib.file_digest(file, lambda: hashed).hexdigest()
            os.fsync(file.fileno())
        whole = found == digest.partition(":")[2]
        if whole:
            path.replace(self._content(digest))
            _sync_folder(self._content(digest).parent)
            self.link_blob(repository, digest)
        self.end_upload(upload)
        return whole

    def end_upload(self, upload: str) -> None:
        (self._uploads / f"{upload}.of").unlink(missing_ok=True)
        (self._uploads / upload).unlink(missing_ok=True)

    # Manifests

    def manifest(self, repository: str, name: str) -> StoredManifest | None:
        """By digest or tag."""
        digest = name if ":" in name else self._read(self._tag(repository, name))
        if digest is None:
            return None
        media_type = self._read(self._linked(repository, "_manifests", digest))
        if media_type is None:
            return None
        return StoredManifest(digest=digest, media_type=media_type, data=self._content(digest).read_bytes())

    def put_manifest(self, repository: str, manifest: StoredManifest, tag: str | None) -> None:
        """The content first, the names last."""
        self._write(self._content(manifest.digest), manifest.data)
        self._write(self._linked(repository, "_manifests", manifest.digest), manifest.media_type.encode())
        if tag is not None:
            self._write(self._tag(repository, tag), manifest.digest.encode())

    def remove_manifest(self, repository: str, digest: str, subject: str | None) -> None:
        """With its tags, and its place in the list of what it is about."""
        for tag in self.tags(repository):
            if self._read(self._tag(repository, tag)) == digest:
                _removed(self._tag(repository, tag))
        if subject is not None:
            _removed(self._referrers(repository, subject) / _name(digest))
        _removed(self._linked(repository, "_manifests", digest))

    def remove_tag(self, repository: str, tag: str) -> bool:
        return _removed(self._tag(repository, tag))

    def tags(self, repository: str) -> list[str]:
        """In lexical order."""
        return _names(self._repositories / repository / "_tags")

    # Referrers

    def put_referrer(self, repository: str, subject: str, digest: str, descriptor: bytes) -> None:
        self._write(self._referrers(repository, subject) / _name(digest), descriptor)

    def referrers(self, repository: str, subject: str) -> list[bytes]:
        folder = self._referrers(repository, subject)
        return [(folder / name).read_bytes() for name in _names(folder)]

    # Places

    def _content(self, digest: str) -> Path:
        algorithm, _, encoded = digest.partition(":")
        return self._blobs / algorithm / encoded

    def _linked(self, repository: str, kind: str, digest: str) -> Path:
        return self._repositories / repository / kind / _name(digest)

    def _tag(self, repository: str, tag: str) -> Path:
        return self._repositories / repository / "_tags" / tag

    def _referrers(self, repository: str, subject: str) -> Path:
        return self._repositories / repository / "_referrers" / _name(subject)

    def _read(self, path: Path) -> str | None:
        try:
            return path.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _write(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        beside = self._uploads / f"{secrets.token_hex(16)}.new"
        try:
            with beside.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)

    def _forget_old_uploads(self) -> None:
        for path in self._uploads.iterdir():
            if time.time() - path.stat().st_mtime > UPLOAD_S_MAX:
                path.unlink(missing_ok=True)


def _name(digest: str) -> str:
    return digest.replace(":", "-", 1)


def _names(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except FileNotFoundError:
        return []


def _removed(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


def _sync_folder(folder: Path) -> None:
    """A rename is lost with the power unless its directory is written."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
