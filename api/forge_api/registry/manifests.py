"""What the registry must know of a manifest before it takes it: its digest, what it names, and what it is about."""

from dataclasses import dataclass
from typing import Final

from starlette.responses import JSONResponse, Response

from forge_runtime.oci.image import (
    INDEX_TYPE,
    MANIFEST_TYPE,
    BadImage,
    Descriptor,
    Index,
    Manifest,
    decode_index,
    decode_manifest,
    hash_of,
)
from forge_runtime.oci.reference import NAME_CHARS_MAX, TAG, BadReference, repository_of
from forgec.plan.digest import canonical_json

DOCKER_MANIFEST_TYPE: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX_TYPE: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
_FOREIGN: Final = "nondistributable"
"""In the media type of a layer that lies elsewhere, and need not be pushed."""


class Refused(Exception):
    """An answer that is not the one that was hoped for: the specification's code, and words for people."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self._status, self._code, self._message, self._headers = status, code, message, headers

    def response(self) -> Response:
        error = {"code": self._code, "message": self._message}
        return JSONResponse({"errors": [error]}, self._status, headers=self._headers)


def checked_name(name: str) -> str:
    try:
        if repository_of(name) == name and len(name) <= NAME_CHARS_MAX:
            return name
    except BadReference:
        pass
    raise Refused(400, "NAME_INVALID", "this is not the name of a repository")


def checked_tag(tag: str) -> str:
    if not TAG.fullmatch(tag):
        raise Refused(400, "TAG_INVALID", "this is not a tag")
    return tag


def checked_digest(digest: str) -> str:
    try:
        hash_of(digest)
    except BadImage as error:
        raise Refused(400, "DIGEST_INVALID", str(error)) from None
    return digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """`blobs` and `manifests` are the digests that must be here already."""

    digest: str
    media_type: str
    size: int
    blobs: tuple[str, ...] = ()
    manifests: tuple[str, ...] = ()
    subject: str | None = None
    artifact_type: str | None = None
    annotations: dict[str, str]

    def as_referrer(self) -> bytes:
        """How lists of what is about the subject show it."""
        return canonical_json(
            Descriptor(
                media_type=self.media_type,
                digest=self.digest,
                size=self.size,
                artifact_type=self.artifact_type,
                annotations=self.annotations,
            )
        )


def reading_of(data: bytes, content_type: str, digest: str | None) -> Reading:
    """Of a manifest or an index that is to have this digest, if one is given. Raises Refused."""
    media_type = content_type.partition(";")[0].strip()
    hashed = hash_of(digest or "sha256:" + 64 * "0")
    hashed.update(data)
    found = f"{hashed.name}:{hashed.hexdigest()}"
    if digest not in (None, found):
        raise Refused(400, "DIGEST_INVALID", f"the manifest has the digest {found}")
    try:
        if media_type in (MANIFEST_TYPE, DOCKER_MANIFEST_TYPE):
            reading = _of_manifest(decode_manifest(data), media_type, found, len(data))
        elif media_type in (INDEX_TYPE, DOCKER_INDEX_TYPE):
            reading = _of_index(decode_index(data), media_type, found, len(data))
        else:
            raise Refused(400, "MANIFEST_INVALID", f'"{media_type[:100]}" is not the type of a manifest')
        for named in (*reading.blobs, *reading.manifests, *([reading.subject] if reading.subject else ())):
            hash_of(named)  # it becomes the name of a file
    except BadImage as error:
        raise Refused(400, "MANIFEST_INVALID", str(error)) from None
    return reading


def _of_manifest(manifest: Manifest, media_type: str, digest: str, size: int) -> Reading:
    _check_type(manifest.media_type, media_type)
    layers = [layer.digest for layer in manifest.layers if _FOREIGN not in layer.media_type]
    return Reading(
        digest=digest,
        media_type=media_type,
        size=size,
        blobs=(manifest.config.digest, *layers),
        subject=manifest.subject.digest if manifest.subject else None,
        artifact_type=manifest.type,
        annotations=manifest.annotations,
    )


def _of_index(index: Index, media_type: str, digest: str, size: int) -> Reading:
    _check_type(index.media_type, media_type)
    return Reading(
        digest=digest,
        media_type=media_type,
        size=size,
        manifests=tuple(one.digest for one in index.manifests),
        subject=index.subject.digest if index.subject else None,
        artifact_type=index.artifact_type,
        annotations=index.annotations,
    )


def _check_type(own: str, sent: str) -> None:
    """A manifest that is one thing by its own word and another by the header could be read as either."""
    if own not in ("", sent):
        raise BadImage(f'it says that it is "{own}", and was sent as "{sent}"')
