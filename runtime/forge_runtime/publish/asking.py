"""HTTP as publishers speak it: its failures are theirs, and files go out as slowly as a slow line needs."""

from collections.abc import Awaitable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from forge_runtime.http import ATTEMPT_S, REPLY_BYTES_MAX, SUCCESS, Http, HttpAway, HttpRefused, Limits, Reply, Request
from forge_runtime.publish.port import PublishAway, PublishRefused

SLOWEST_BYTES_S: Final = 128 * 1024
"""A file may take as long as it would at this pace, and a minute more."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asking:
    http: Http

    async def send(
        self, request: Request, *, ok: Collection[int] = SUCCESS, size_bytes: int = 0, reply_max: int = REPLY_BYTES_MAX
    ) -> Reply:
        """The answer; `size_bytes` is of what is sent. Raises PublishRefused and PublishAway."""
        limits = Limits(attempt_s=ATTEMPT_S + size_bytes / SLOWEST_BYTES_S, bytes_max=reply_max)
        return await _translated(self.http.send(request, ok=ok, limits=limits))

    async def digest_of(self, request: Request, into: Path, size_bytes: int) -> str:
        """`sha256:<hex>` of what is there, read back. `size_bytes` is what ours has: a much larger file is refused.

        Raises PublishRefused and PublishAway.
        """
        limits = Limits(attempt_s=ATTEMPT_S + size_bytes / SLOWEST_BYTES_S, bytes_max=2 * size_bytes + REPLY_BYTES_MAX)
        got = await _translated(self.http.download(request, into, limits))
        return f"sha256:{got.sha256}"


async def _translated(asking: Awaitable[T]) -> T:
    failure: Exception
    try:
        return await asking
    except HttpRefused as refused:
        failure = Refused(str(refused), refused.status, refused.body)
    except HttpAway as away:
        failure = PublishAway(str(away))
    raise failure


class Refused(PublishRefused):
    """With what a publisher may still make of it: the status and what came with it."""

    def __init__(self, message: str, status: int, body: bytes) -> None:
        super().__init__(message)
        self.status = status
        self.body = body


def decoded(reply: Reply, kind: Any) -> Any:
    """The answer as a document of this type. PublishRefused where it is none."""
    try:
        return msgspec.json.decode(reply.body, type=kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise PublishRefused(
            f"{reply.url.partition('?')[0]}: the answer is not what is published of it: {error}"
        ) from None
