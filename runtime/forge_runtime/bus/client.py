"""nats-py's client, with four things it lacks: a refusal finds whoever was refused, nothing is said in the clear, a
server that answers nothing is left, and a question costs little.

    ask    -> one line into the client's buffer and a future, which the answer ends where it is read
    listen -> a subscription whose messages are taken where they are read

The server refuses a subject with a line of its own, tied to no request: nats-py hands it to a callback, while the one
who asked waits for his time limit. Here each operation notes what it sends, and learns of a refusal at once. And where
TLS is wanted, nats-py goes on without it if the server, or somebody in between, says that there is none.

A server that is parted from the rest of its cluster keeps its clients, and can do nothing for them: requests go out and
no answer comes. The others may have a leader long since, so we go to one of them.

In nats-py an answer goes through a queue and a task that all answers share, then a future, with a timer and a message
object each; a publish checks, copies and counts. A job asks seven times.
"""

import asyncio
import itertools
import re
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from forge_runtime.bus.parser import Arrival, BusParser, Hear

SILENCE_S: Final = 10.0
"""Without any answer, until another server is tried: all are silent in an election, which takes up to 9 s."""

SWEEP_S: Final = 0.25
"""How often it is looked whether questions are over: a timer for each of them would cost more than its answer."""

_LEADERLESS: Final = b'"err_code":10008'
"""JetStream's word for "temporarily unavailable": of a server whose cluster has no leader that it knows."""

_ERROR_BYTES: Final = 500
_NOBODY: Final = "503"
_SUBJECT: Final = re.compile("[!-~]+")
_NAME, _VALUE = re.compile("[!-9;-~]+"), re.compile("[ -~]*")
_REFUSAL: Final = re.compile(r'permissions violation for (publish|subscription) to "([^"]+)"', re.IGNORECASE)


class Refused(nats.errors.Error):
    """The server's permissions forbid what was asked."""


class Lost(nats.errors.Error):
    """The connection dropped before the answer came."""


class BusClient(Client):
    """Knows the questions and the operations that are under way."""

    def __init__(self) -> None:
        super().__init__()
        self._hearers: dict[int, Hear] = {}
        self._ps = BusParser(self, self._hearers)
        self._answers = ""
        """Below which subject answers arrive; empty until somebody asks."""
        self._numbers = itertools.count(1)
        self._questions: dict[str, _Question] = {}
        self._sweep: asyncio.TimerHandle | None = None
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
        inbox = f"{self._answers}*"
        deaf = found[2] == inbox.lower()
        if deaf:
            self._answers = ""  # or no question would ever have an inbox again
        for question in tuple(self._questions.values()):
            if (deaf or question.subject.lower() == found[2]) and not question.answer.done():
                question.answer.set_exception(Refused(f"{deed} {inbox if deaf else question.subject}"))
        return True

    def note_lost(self) -> None:
        """The connection dropped: no answer comes to what was asked over it."""
        for question in tuple(self._questions.values()):
            if not question.answer.done():
                question.answer.set_exception(Lost("nats: connection lost"))

    async def ask(self, subject: str, payload: bytes, timeout_s: float, head: bytes = b"") -> Arrival:
        """The answer; nats.errors.TimeoutError after `timeout_s`, NoRespondersError where nobody listens, Refused,
        Lost. Cancelling it drops nothing but the answer."""
        loop = asyncio.get_running_loop()
        if not self._answers:
            await self._hear_answers()
        reply = f"{self._answers}{next(self._numbers)}"
        began = time.monotonic()
        question = self._questions[reply] = _Question(subject, loop.create_future(), began + timeout_s)
        if self._sweep is None:
            self._sweep = loop.call_later(SWEEP_S, self._give_up)
        answer: Arrival | None = None
        try:
            self.send(subject, payload, reply, head)
            answer = await question.answer
        finally:
            self._questions.pop(reply, None)
            if answer is None or answer.status == _NOBODY or _LEADERLESS in answer.data[:_ERROR_BYTES]:
                await self.note_silence(began)
            else:
                self.note_answer()
        if answer.status == _NOBODY:
            raise nats.errors.NoRespondersError
        return answer

    def send(self, subject: str, payload: bytes, reply: str = "", head: bytes = b"") -> None:
        """Into the buffer, which goes out in this turn of the loop; while there is no connection, after it is back.

        `head`: see `head_of`.
        """
        if self.is_closed:
            raise nats.errors.ConnectionClosedError
        if not _SUBJECT.fullmatch(subject):
            raise nats.errors.BadSubjectError
        size = len(head) + len(payload)
        if size + self._pending_data_size > self._max_pending_size and not self.is_connected:
            raise nats.errors.OutboundBufferLimitError
        _note(subject)
        if head:
            line = f"HPUB {subject} {reply} {len(head)} {size}\r\n".encode()
        else:
            line = f"PUB {subject} {reply} {size}\r\n".encode()
        command = b"".join((line, head, payload, b"\r\n"))
        self._pending.append(command)
        self._pending_data_size += len(command)
        self.stats["out_msgs"] += 1
        self.stats["out_bytes"] += size
        if self._flush_queue is not None and self._flush_queue.empty() and self.is_connected:
            self._flush_queue.put_nowait(asyncio.get_running_loop().create_future())

    async def listen(self, subject: str, hear: Hear) -> Subscription:
        """A subscription whose messages `hear` takes; it ends by `forget`."""
        number = self._sid + 1  # which `subscribe` gives it, before it waits for anything
        self._hearers[number] = hear
        try:
            return await self.subscribe(subject, cb=_unheard)
        except BaseException:
            self._hearers.pop(number, None)
            raise

    async def forget(self, subscription: Subscription) -> None:
        self._hearers.pop(subscription._id, None)
        await subscription.unsubscribe()

    def _give_up(self) -> None:
        """End the questions whose time is over."""
        now = time.monotonic()
        for question in tuple(self._questions.values()):
            if now >= question.until and not question.answer.done():
                question.answer.set_exception(nats.errors.TimeoutError())
        self._sweep = asyncio.get_running_loop().call_later(SWEEP_S, self._give_up) if self._questions else None

    async def _hear_answers(self) -> None:
        self._answers = f"{self.new_inbox()}."
        try:
            await self.listen(f"{self._answers}*", self._take_answer)
        except BaseException:
            self._answers = ""
            raise

    def _take_answer(self, answer: Arrival) -> None:
        question = self._questions.get(answer.subject)
        if question is not None and not question.answer.done():
            question.answer.set_result(answer)

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
        """What nats-py asks by itself, the same way."""
        assert not old_style
        answer = await self.ask(subject, payload, timeout, head_of(headers or {}))
        _, _, lines = (answer.head or b"").partition(b"\r\n")
        found = {"Status": answer.status, "Description": answer.description} if answer.status is not None else {}
        found |= self._parse_header_lines(lines) if lines.strip() else {}
        return Msg(self, answer.subject, answer.reply, answer.data, found or None)

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


def head_of(headers: Mapping[str, str]) -> bytes:
    """Headers as they are sent; nats.errors.BadHeaderError for what is none."""
    if not headers:
        return b""
    for name, value in headers.items():
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise nats.errors.BadHeaderError(name)
    lines = (part for name, value in headers.items() for part in (name, ": ", value, "\r\n"))
    return "".join(("NATS/1.0\r\n", *lines, "\r\n")).encode()


class _Question(NamedTuple):
    subject: str
    answer: "asyncio.Future[Arrival]"
    until: float


async def _unheard(_message: Msg) -> None:
    """Of what `listen` subscribed: nothing comes this way, but nats-py wants somebody."""


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
