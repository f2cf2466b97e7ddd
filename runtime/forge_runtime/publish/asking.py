"""HTTP as publishers speak it: its failures are theirs, and files go out as slowly as a slow line needs."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from forge_runtime.http import ATTEMPT_S, REPLY_BYTES_MAX, SUCCESS, Http, HttpAway, HttpRefused, Limits, Reply, Request
from forge_runtime.publish.port import PublishAway, PublishRefused

SLOWEST_BYTES_S: Final = 128 * 1024
"""A file may take as long as it would at this pace, and a minute more."""


@dataclass(frozen=True, slots=True)
class Asking:
    http: Http

    async def send(
        self, request: Request, *, ok: Collection[int] = SUCCESS, size_bytes: int = 0, reply_max: int = REPLY_BYTES_MAX
    ) -> Reply:
        """The answer; `size_bytes` is of what is sent. Raises PublishRefused and PublishAway."""
        limits = Limits(attempt_s=ATTEMPT_S + size_bytes / SLOWEST_BYTES_S, bytes_max=reply_max)
        failure: Exception
        try:
            return await self.http.send(request, ok=ok, limits=limits)
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
