"""The one NATS connection of a process: limits on every wait, errors in the port's words, barriers, payload sizes.

nats-py alone can wait for ever for its first connection, closes for good on most protocol errors, and does not count
headers when it checks a payload. This module puts a fence around each of these; the rest of the package speaks to
the server through it.
"""

import asyncio
import logging
import math
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import msgspec
import nats.errors
import nats.js.errors
from msgspec import Struct
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext

from forge_runtime.bus.client import BusClient, Refused, head_of
from forge_runtime.bus.credentials import Credentials, read_credentials
from forge_runtime.bus.parser import Arrival, Hear
from forge_runtime.bus.port import BusUnavailable, NotAllowed, TooLarge
from forge_runtime.settings import BadSettings, BusSettings
from forge_runtime.subject import inbox_prefix

CONNECT_LIMIT_S: Final = 10.0
"""For the first connection only; afterwards the client reconnects for ever."""

OPERATION_LIMIT_S: Final = 5.0

_HEADROOM_BYTES: Final = 1024
"""A server closes the connection of whoever passes its payload limit, headers included: stay well below."""

_log = logging.getLogger(__name__)


class StoreRefused(BusUnavailable):
    """The server did not store a message; `code` is its own for why."""

    def __init__(self, operation: str, code: int, description: str) -> None:
        super().__init__(f"{operation}: {description} (code {code})")
        self.code = code
        self.description = description


class Connection:
    """A live client. `client` and `jetstream` are for this package; use them inside `limit`."""

    def __init__(self, url: str, on_closed: Callable[[str], None] | None) -> None:
        self.url: Final = url
        self.client: Final = BusClient()
        self.jetstream: Final[JetStreamContext] = self.client.jetstream(timeout=OPERATION_LIMIT_S)
        self.lost: Final[set[Callable[[], None]]] = set()
        """Called when the connection drops: whoever waits for a message that can no longer come."""
        self.back: Final[set[Callable[[], None]]] = set()
        """Called when it is there again: whoever may have missed one."""
        self._on_closed = on_closed
        self._user = ""
        self._credentials = Credentials({})
        self._closing = False
        self._last_error = "no answer"
        self._refusal: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._up = asyncio.Event()

    async def open(self, settings: BusSettings) -> None:
        """BusUnavailable after 10 s; NotAllowed at once when server and credentials do not go together."""
        self._user = settings.user
        try:
            self._credentials = read_credentials(settings.credentials, settings.url)
        except BadSettings as error:
            raise NotAllowed(f"cannot connect to {self.url}: {error}") from error
        attempt = asyncio.create_task(self._connect(settings))
        either: set[asyncio.Future[Any]] = {attempt, self._refusal}
        try:
            await asyncio.wait(either, timeout=CONNECT_LIMIT_S, return_when=asyncio.FIRST_COMPLETED)
            if self._refusal.done():
                raise NotAllowed(f"cannot connect to {self.url}: {self._refusal.result()}")
            if not attempt.done():
                raise BusUnavailable(f"cannot connect to {self.url} within {CONNECT_LIMIT_S:g} s: {self._last_error}")
            try:
                attempt.result()
            except ImportError as error:
                raise BusUnavailable(f"cannot connect to {self.url}: .creds files need nats-py[nkeys]") from error
            except (nats.errors.Error, OSError) as error:
                raise BusUnavailable(f"cannot connect to {self.url}: {self._reason(error)}") from error
        except BaseException:
            self._closing = True
            attempt.cancel()
            # Half open: nothing that goes wrong while it ends says more than the failure at hand.
            with suppress(asyncio.CancelledError, Exception):
                await attempt
            with suppress(Exception):
                await self.client.close()
            raise

    async def close(self) -> None:
        self._closing = True
        with suppress(nats.errors.Error, OSError, TimeoutError):
            async with asyncio.timeout(OPERATION_LIMIT_S):
                await self.client.close()

    @property
    def connected(self) -> bool:
        return bool(self.client.is_connected)

    @property
    def far(self) -> bool:
        """Whether a stream's server may not see what we hear no more.

        In a cluster that is another one than ours, and of a user with an account of its own it knows nothing. Whoever
        comes with a token is no such user.
        """
        return "cluster" in self.client._server_info and self._credentials.named

    async def wait_connected(self, timeout_s: float) -> bool:
        """False after `timeout_s` without a connection; BusUnavailable if it is closed for good."""
        if self.client.is_closed:
            raise BusUnavailable(f"the connection to {self.url} is closed: {self._last_error}")
        if not self.connected:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._up.wait()
        return self.connected

    async def reconnected(self, limit_s: float) -> bool:
        """True as soon as a connection that is lost, or will be, is there again; False after `limit_s`."""
        there = asyncio.Event()
        self.back.add(there.set)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(limit_s):
                    await there.wait()
            return there.is_set()
        finally:
            self.back.discard(there.set)

    @asynccontextmanager
    async def limit(self, operation: str, limit_s: float = OPERATION_LIMIT_S) -> AsyncIterator[None]:
        """Turn what nats-py raises inside, or our own limit, into BusUnavailable that names the operation.

        An answer that has a meaning of its own (a lost compare-and-set, a full queue) is caught further in. NotAllowed,
        at once, if the server refuses something that was sent inside.

        A cancellation that comes in the same turn of the loop as an answer is dropped by `asyncio.wait_for`, on which
        nats-py builds, before Python 3.12: the task would go on as if nobody had asked it to end. It is raised here.
        """
        task = asyncio.current_task()
        cancellations = task.cancelling() if task else 0
        deadline = asyncio.timeout(limit_s)

        def end() -> None:
            if not deadline.expired():
                deadline.reschedule(asyncio.get_running_loop().time())

        refusal: str | None = None
        try:
            async with deadline:
                with self.client.during(end) as sent:
                    try:
                        yield
                    finally:
                        refusal = sent.refused
            if task and task.cancelling() > cancellations:
                raise asyncio.CancelledError
            if refusal is not None:
                raise self.not_allowed(operation, refusal)
        except (nats.errors.BadSubjectError, nats.errors.BadHeaderError, nats.js.errors.InvalidKeyError) as error:
            raise ValueError(f"{operation}: {_reason(error)}") from error
        except (nats.errors.Error, TimeoutError, OSError) as error:
            if refusal is not None:
                raise self.not_allowed(operation, refusal) from error
            raise BusUnavailable(f"{operation}: {self.explain(error, limit_s)}") from error

    async def ask(self, operation: str, subject: str, data: bytes, head: bytes = b"") -> Arrival:
        """The answer to one request, with errors in the port's words as from `limit`; BusUnavailable after 5 s."""
        await self.require_connected(operation)
        try:
            return await self.client.ask(subject, data, OPERATION_LIMIT_S, head)
        except Refused as refused:
            raise self.not_allowed(operation, str(refused)) from None
        except nats.errors.BadSubjectError as error:
            raise ValueError(f"{operation}: {_reason(error)}") from error
        except nats.errors.Error as error:
            raise BusUnavailable(f"{operation}: {self.explain(error)}") from error

    def send(self, operation: str, subject: str, data: bytes, head: bytes = b"") -> None:
        """What has no answer, or none of its own."""
        try:
            self.client.send(subject, data, head=head)
        except nats.errors.BadSubjectError as error:
            raise ValueError(f"{operation}: {_reason(error)}") from error
        except nats.errors.Error as error:
            raise BusUnavailable(f"{operation}: {self.explain(error)}") from error

    async def require_connected(self, operation: str) -> None:
        """BusUnavailable after 5 s without a connection."""
        if not await self.wait_connected(OPERATION_LIMIT_S):
            raise BusUnavailable(f"{operation}: {self.explain(nats.errors.TimeoutError())}")

    async def store(self, operation: str, subject: str, data: bytes, headers: Mapping[str, str] | None = None) -> int:
        """Publish to a stream; the sequence under which it is stored. StoreRefused, TooLarge."""
        head = head_of(headers) if headers else b""
        self._check_size(operation, len(data) + len(head))
        answer = await self.ask(operation, subject, data, head)
        try:
            stored = _STORED.decode(answer.data)
        except msgspec.DecodeError as error:
            raise BusUnavailable(f"{operation}: an answer that is none: {error}") from error
        if stored.error is not None:
            raise StoreRefused(operation, stored.error.err_code, stored.error.description)
        return stored.seq

    def not_allowed(self, operation: str, refusal: str) -> NotAllowed:
        return NotAllowed(
            f"{operation}: {self.url} does not allow user {self._user} to {refusal}; "
            "use the credentials of this service, or give the server the permissions that this version prints"
        )

    async def barrier(self) -> None:
        """Return when the server has handled everything sent so far; use it inside `limit`.

        Twice, because nats-py writes its PING ahead of the commands that still wait in its own queue. Not by its
        `flush`, which cancels the future that waits for the PONG when it is cancelled or late itself: the PONG that
        then arrives ends the client's read loop, and the connection hears nothing until it is found stale.
        """
        for _ in range(2):
            if not self.connected:
                raise nats.errors.ConnectionClosedError
            answered: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            await self.client._send_ping(answered)
            await asyncio.shield(answered)

    async def subscribe(self, subject: str, handle: Callable[[Msg], Awaitable[None]]) -> Subscription:
        """A subscription that the server has when this returns; none is left behind when this fails."""
        return await self._subscribed(subject, lambda: self.client.subscribe(subject, cb=handle))

    async def listen(self, subject: str, hear: Hear) -> Subscription:
        """The same, with messages taken where they are read; it ends by the client's `forget`."""
        return await self._subscribed(subject, lambda: self.client.listen(subject, hear))

    async def _subscribed(self, subject: str, subscribe: Callable[[], Awaitable[Subscription]]) -> Subscription:
        async with self.limit(f"subscribe to {subject}"):
            subscription = await subscribe()
            try:
                await self.barrier()
            except BaseException:
                with suppress(nats.errors.Error):
                    await self.client.forget(subscription)
                raise
        return subscription

    def check_size(self, operation: str, data: bytes, headers: Mapping[str, str] | None = None) -> None:
        """TooLarge if the server would refuse it, which it does by closing the connection."""
        self._check_size(
            operation, len(data) + sum(len(name) + len(value) + 4 for name, value in (headers or {}).items())
        )

    @property
    def message_bytes_max(self) -> int:
        """Of what is sent, with its headers; 1 KiB more of headers would still do no harm."""
        return int(self.client.max_payload) - _HEADROOM_BYTES

    def _check_size(self, operation: str, size: int) -> None:
        if size > self.message_bytes_max:
            raise TooLarge(f"{operation}: {size} bytes do not fit into a message of {self.message_bytes_max} bytes")

    def explain(self, error: Exception, limit_s: float = OPERATION_LIMIT_S) -> str:
        """What it means to whoever runs this."""
        if self.client.is_closed:
            return f"the connection to {self.url} is closed: {self._last_error}"
        if not self.connected:
            return f"not connected to {self.url}: {self._last_error}"
        if isinstance(error, TimeoutError):
            return f"no answer from {self.url} within {math.ceil(limit_s)} s"
        if isinstance(error, nats.errors.NoRespondersError | nats.js.errors.NoStreamResponseError):
            return "nobody answers there; is the stream, consumer or bucket provisioned?"
        return _reason(error)

    async def _connect(self, settings: BusSettings) -> None:
        servers = settings.url.split(",")
        random.shuffle(servers)
        await self.client.connect(
            servers,
            dont_randomize=True,  # from now on by turns: whoever leaves a server goes to another
            name=settings.name,
            inbox_prefix=inbox_prefix(settings.user),
            # A dead peer is noticed after 20-30 s; the client's own default is four minutes and more.
            ping_interval=10,
            max_outstanding_pings=2,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.5,  # type: ignore[arg-type]  # annotated int, used as seconds of sleep
            error_cb=self._note_error,
            disconnected_cb=self._note_lost,
            reconnected_cb=self._note_up,
            closed_cb=self._note_closed,
            **self._credentials.options,
        )
        self._up.set()

    async def _note_error(self, error: Exception) -> None:
        self._last_error = self._reason(error)
        if self.client.take_refusal(error):
            return  # whoever was refused tells it
        hopeless = "authorization" in self._last_error.lower() or self._last_error != _reason(error)
        if hopeless and not self._refusal.done():
            self._refusal.set_result(self._last_error)
        if self._up.is_set():  # until then the caller of `open` hears of it, and while it is lost once is enough
            _log.warning("bus %s: %s", self.url, self._last_error)

    async def _note_lost(self) -> None:
        self._up.clear()
        self._renew_certificate()
        self.client.note_lost()
        for wake in tuple(self.lost):
            wake()

    async def _note_up(self) -> None:
        self.client.note_answer()  # a new server starts anew
        self._up.set()
        _log.info("bus %s: connected again", self.url)
        for wake in tuple(self.back):
            wake()

    def _renew_certificate(self) -> None:
        """Certificates are replaced before they end, and a process may outlive several."""
        if self._credentials.tls is not None:
            try:
                self.client.options["tls"] = self._credentials.tls.context()
            except BadSettings as error:
                _log.warning("bus %s: going on with the certificate as it was: %s", self.url, error)

    def _reason(self, error: Exception) -> str:
        tls = self._credentials.tls
        return (tls.explain(error) if tls is not None else None) or _reason(error)

    async def _note_closed(self) -> None:
        if self._closing:
            return
        if self.client.last_error is not None:
            self._last_error = _reason(self.client.last_error)
        _log.error("bus %s: closed for good: %s", self.url, self._last_error)
        if self._on_closed is not None:
            self._on_closed(self._last_error)


class _ErrorInAnswer(Struct):
    err_code: int = 0
    description: str = ""


class _Stored(Struct):
    seq: int = 0
    error: _ErrorInAnswer | None = None


_STORED: Final = msgspec.json.Decoder(_Stored)


def public_url(url: str) -> str:
    """The servers' addresses without user, password or token."""
    return ",".join(_without_credentials(server) for server in url.split(","))


def _without_credentials(server: str) -> str:
    scheme, separator, rest = server.strip().rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def _reason(error: Exception) -> str:
    """The message without the library's prefix; the kind of error where it has none."""
    return re.sub(r"^nats: ", "", str(error)).strip().strip("'") or type(error).__name__
