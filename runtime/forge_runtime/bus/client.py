"""nats-py's client, with three things it lacks: a refusal finds whoever was refused, nothing is said in the clear, and
a server that answers nothing is left.

The server refuses a subject with a line of its own, tied to no request: nats-py hands it to a callback, while the one
who asked waits for his time limit. Here each operation notes what it sends, and learns of a refusal at once. And where
TLS is wanted, nats-py goes on without it if the server, or somebody in between, says that there is none.

A server that is parted from the rest of its cluster keeps its clients, and can do nothing for them: requests go out and
no answer comes. The others may have a leader long since, so we go to one of them.
"""

import re
import time
from collections.abc import Callable
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Final, Self

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

SILENCE_S: Final = 10.0
"""Without any answer, until another server is tried: all are silent in an election, which takes up to 9 s."""

_LEADERLESS: Final = b'"err_code":10008'
"""JetStream's word for "temporarily unavailable": of a server whose cluster has no leader that it knows."""

_ERROR_BYTES: Final = 500
_REFUSAL: Final = re.compile(r'permissions violation for (publish|subscription) to "([^"]+)"', re.IGNORECASE)


class BusClient(Client):
    """Knows the operations that are under way."""

    def __init__(self) -> None:
        super().__init__()
        self._operations: set[Operation] = set()
        self._answered_at = 0.0
        self._silent_since: float | None = None

    def during(self, on_refused: Callable[[], None]) -> "Operation":
        """A context: what this task, and those it starts there, send is the operation's."""
        return Operation(self._operations, on_refused)

    def take_refusal(self, error: Exception) -> bool:
        """Tell the operations concerned; False if the error is no refusal."""
        found = _REFUSAL.search(str(error))
        if found is None:
            return False
        deed = "publish" if found[1].lower() == "publish" else "subscribe to"
        for operation in tuple(self._operations):
            operation.refuse(deed, found[2])
        if found[2].startswith(self._inbox_prefix.decode().lower()):
            self._resp_sub_prefix = None  # or no request would ever subscribe to its replies again
        return True

    async def publish(
        self, subject: str, payload: bytes = b"", reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        _note(subject)
        await super().publish(subject, payload, reply, headers)

    async def subscribe(self, subject: str, *arguments: Any, **options: Any) -> Subscription:
        _note(subject)
        return await super().subscribe(subject, *arguments, **options)

    async def request(
        self,
        subject: str,
        payload: bytes = b"",
        timeout: float = 0.5,
        old_style: bool = False,
        headers: dict[str, Any] | None = None,
    ) -> Msg:
        began = time.monotonic()
        answer: Msg | None = None
        try:
            answer = await super().request(subject, payload, timeout, old_style, headers)
        finally:
            if answer is None or _LEADERLESS in answer.data[:_ERROR_BYTES]:
                await self.note_silence(began)
            else:
                self.note_answer()
        return answer

    def note_answer(self) -> None:
        """JetStream answered, to whatever was asked."""
        self._answered_at = time.monotonic()
        self._silent_since = None

    async def note_silence(self, since: float) -> None:
        """What was asked then has no answer. Goes to another server, if there is one, when this has lasted 10 s."""
        if self._silent_since is None:
            self._silent_since = max(since, self._answered_at)
        if len(self._server_pool) > 1 and time.monotonic() >= self._silent_since + SILENCE_S:
            self.note_answer()  # so that the next one has as long
            await self.force_reconnect()

    def _connect_command(self) -> bytes:
        """The first line that we send, with what we are known by."""
        if "tls" in self.options and not self._server_info.get("tls_required"):
            raise nats.errors.Error("nats: the server offers no TLS, and without it we say nothing")
        return super()._connect_command()


class Operation:
    """What is sent while it lasts; `refused` says what was refused of that, in words."""

    __slots__ = ("_around", "_on_refused", "_open", "_subjects", "_token", "refused")

    def __init__(self, open_operations: "set[Operation]", on_refused: Callable[[], None]) -> None:
        self._open = open_operations
        self._on_refused = on_refused
        self._around: Operation | None = None
        self._subjects: dict[str, str] = {}
        self._token: Token[Operation | None] | None = None
        self.refused: str | None = None

    def __enter__(self) -> Self:
        self._around = _current.get()
        self._token = _current.set(self)
        self._open.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open.discard(self)
        assert self._token is not None
        _current.reset(self._token)

    def note(self, subject: str) -> None:
        self._subjects[subject.lower()] = subject
        if self._around is not None:
            self._around.note(subject)

    def refuse(self, deed: str, lowered: str) -> None:
        """`lowered`: the subject in small letters, as nats-py tells it. Nothing if it is not of this operation."""
        subject = self._subjects.get(lowered)
        if subject is not None and self.refused is None:
            self.refused = f"{deed} {subject}"
            self._on_refused()


_current: ContextVar[Operation | None] = ContextVar("operation", default=None)


def _note(subject: str) -> None:
    operation = _current.get()
    if operation is not None:
        operation.note(subject)
