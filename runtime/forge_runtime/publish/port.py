"""The publisher port: put an artifact where others get it from.

Publishing twice is publishing once: a publisher looks first, and where the same bytes are there already, under the
same name, there is nothing to do. Other bytes under the same name are never replaced.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from forge_runtime.oci.tracking import Document
from forge_runtime.produce.product import Product
from forge_runtime.publish.credential import Credential
from forge_runtime.supply.sign import Signer


class PublishRefused(Exception):
    """It cannot be published so, however often it is tried; the message says what has to change."""


class PublishAway(Exception):
    """The place did not answer as it should; another time it may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What to publish, and as what.

    `settings` is what the repository says of this publisher (`registry`, `bucket`), `fields` what the artifact says to
    it (`tags`, `asset_name`). `git_tag` is the tag that was pushed, whole; None where a branch was. `scratch` is an
    empty directory for what has to be unpacked on the way. `documents` and a signature by `signer` go where a place has
    room for them beside the artifact.
    """

    product: Product
    artifact: str
    project: str
    repository: str
    commit_sha: str
    git_tag: str | None
    settings: Mapping[str, Any]
    fields: Mapping[str, Any]
    scratch: Path
    credential: Credential | None = field(default=None, repr=False)
    documents: tuple[Document, ...] = ()
    signer: Signer | None = None

    @property
    def version(self) -> str:
        """What this release is called where things have versions: its tag, or its commit on a branch."""
        if self.git_tag is None:
            return f"sha-{self.commit_sha[:12]}"
        return self.git_tag.removeprefix(f"{self.project}/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """Where it is now. `metadata` is what deployment resources may name (`<artifact>.publishers.<name>.<field>`).

    `unchanged`: it was there already. `notes` are for the log.
    """

    uri: str
    metadata: Mapping[str, Any]
    unchanged: bool = False
    notes: tuple[str, ...] = ()


class Publisher(Protocol):
    async def publish(self, publication: Publication) -> Published:
        """Raises PublishRefused, PublishAway and CredentialUnusable, and OSError where this machine cannot."""
        ...
