"""What networks and servers do to requests: a registry that misbehaves on purpose, to show that clients can cope.

Fault(What, method, path, times)      the next `times` requests that match; then all is well again

Answers      another answer in place of the registry's own: 429, 503, a redirect to another host
Drops        the connection ends before the request was looked at
Loses        the request is carried out, and the connection ends before the answer
Cuts         the answer ends in the middle
Lies         a byte of the answer's body is another; or its headers say what is not so
Stalls       nothing happens until `gate` is set
"""

import asyncio
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

STALL_S: Final = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Drops:
    pass


@dataclass(frozen=True, slots=True)
class Loses:
    pass


@dataclass(frozen=True, slots=True)
class Cuts:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Lies:
    """With `headers`, about these alone; a header whose lie is empty is left out."""

    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stalls:
    came: threading.Event
    may_go_on: threading.Event


@dataclass(slots=True, kw_only=True)
class Fault:
    """`path` is searched for in the request's path; without `times`, it is so for ever."""

    what: Answers | Drops | Loses | Cuts | Lies | Stalls
    method: str = "[A-Z]+"
    path: str = ""
    times: int | None = 1

    def strikes(self, scope: Scope) -> bool:
        """Whether this request is one; counts it."""
        if self.times == 0 or not re.fullmatch(self.method, scope["method"]) or not re.search(self.path, scope["path"]):
            return False
        if self.times is not None:
            self.times -= 1
        return True


class ConnectionEnds(Exception):
    """Raised to the server, which then closes the connection: it had promised more than it was given to send."""


class Faulty:
    """An application in front of another. Of several faults that fit, the first strikes."""

    def __init__(self, app: ASGIApp, faults: Sequence[Fault]) -> None:
        self._app = app
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        fault = next((fault for fault in self._faults if fault.strikes(scope)), None)
        match fault and fault.what:
            case None:
                await self._app(scope, receive, send)
            case Answers(status=status, headers=headers, body=body):
                await Response(body, status, dict(headers))(scope, receive, send)
            case Drops():
                await _end(send)
            case Loses():
                await self._app(scope, receive, _nowhere)
                await _end(send)
            case Cuts():
                await self._app(scope, receive, _Cut(send))
            case Lies(headers=headers):
                await self._app(scope, receive, _Lie(send, headers))
            case Stalls(came=came, may_go_on=may_go_on):
                came.set()
                while not may_go_on.is_set():  # noqa: ASYNC110  # another thread sets it, not this one's loop
                    await asyncio.sleep(STALL_S)
                await self._app(scope, receive, send)


async def _end(send: Send) -> None:
    """A server that has promised a body and is left alone with it closes the connection."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000")]})
    raise ConnectionEnds


async def _nowhere(message: Message) -> None:
    pass


class _Cut:
    def __init__(self, send: Send) -> None:
        self._send = send

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self._send(message)
            return
        body = message.get("body", b"")
        await self._send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
        raise ConnectionEnds


class _Lie:
    def __init__(self, send: Send, headers: Mapping[str, str]) -> None:
        self._send = send
        self._headers = {name.lower().encode(): value.encode() for name, value in headers.items()}

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and self._headers:
            kept = [(name, value) for name, value in message["headers"] if name.lower() not in self._headers]
            told = [(name, value) for name, value in self._headers.items() if value]
            message = {**message, "headers": kept + told}
        elif message["type"] == "http.response.body" and message.get("body") and not self._headers:
            body = message["body"]
            message = {**message, "body": body[:-1] + bytes([body[-1] ^ 1])}
        await self._send(message)
