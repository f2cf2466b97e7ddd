"""Reading what a server sends: messages in one pass, everything else by nats-py.

nats-py's parser tries an expression for each kind of line, moves the rest of its buffer after each, and takes every
header apart, whoever wants it. Of a job's cost at the worker that was a sixth.
"""

import logging
from collections.abc import Callable
from typing import NamedTuple

from nats.aio.client import Client
from nats.errors import ProtocolError
from nats.protocol.parser import MAX_CONTROL_LINE_SIZE, Parser

_log = logging.getLogger(__name__)

_END = b"\r\n"
_MSG, _HMSG = b"MSG ", b"HMSG "
_STATUS = slice(9, 12)
"""Where a message of the server's own says what it is: `NATS/1.0 404 ...`."""


class Arrival(NamedTuple):
    """A message as it came; `head` are its headers, unread."""

    subject: str
    reply: str
    data: bytes
    head: bytes | None

    @property
    def status(self) -> str | None:
        """The server's word in place of a message; None of a message."""
        head = self.head
        return None if head is None or head[8:9] != b" " else head[_STATUS].decode()

    @property
    def description(self) -> str:
        """What follows the status."""
        return "" if self.head is None else self.head[13 : self.head.find(_END)].decode(errors="replace")

    def header(self, name: str) -> str | None:
        if self.head is None:
            return None
        _, found, rest = self.head.partition(f"\r\n{name}:".encode())
        return rest[: rest.find(_END)].strip().decode(errors="replace") if found else None


Hear = Callable[[Arrival], None]
"""Takes a message where it is read: it must not wait. What it raises is logged."""


class BusParser(Parser):
    """`hearers`: by number of the subscription, those who take their messages at once. The rest goes nats-py's way."""

    def __init__(self, client: Client, hearers: dict[int, Hear]) -> None:
        self._client = client
        self._hearers = hearers
        self._resets = 0
        self._rest = b""
        self._wanted = 0
        """How much there must be before it is worth looking again."""
        super().__init__(client)

    def reset(self) -> None:
        super().reset()
        self._rest = b""
        self._wanted = 0
        self._resets += 1

    async def parse(self, data: bytes = b"") -> None:
        if self._rest:
            data = self._rest + data
            if len(data) < self._wanted:
                self._rest = data
                return
        resets, begin = self._resets, 0
        self._wanted = 0
        while (end := data.find(_END, begin)) >= 0:
            with_head = data.startswith(_HMSG, begin)
            if with_head or data.startswith(_MSG, begin):
                words = data[begin:end].split()
                try:
                    size, sid = int(words[-1]), int(words[2])
                    head_size = int(words[-2]) if with_head else 0
                except (ValueError, IndexError):
                    raise ProtocolError("nats: malformed MSG") from None
                start = end + 2
                if len(data) < start + size + 2:
                    self._wanted = start + size + 2 - begin
                    break
                reply = words[3] if len(words) == (6 if with_head else 5) else b""
                head = data[start : start + head_size] if with_head else None
                payload = data[start + head_size : start + size]
                begin = start + size + 2
                hear = self._hearers.get(sid)
                if hear is None:
                    await self._client._process_msg(sid, words[1], reply, payload, head)  # type: ignore[arg-type]
                else:
                    stats = self._client.stats
                    stats["in_msgs"] += 1
                    stats["in_bytes"] += size
                    try:
                        hear(Arrival(words[1].decode(), reply.decode(), payload, head))
                    except Exception:  # or nobody on this connection would hear anything any more
                        _log.exception("hearing a message on %s", words[1].decode())
            else:
                line, begin = data[begin : end + 2], end + 2
                await super().parse(line)
            if self._resets != resets:
                return  # that was another connection's
        if not self._wanted and len(data) - begin > MAX_CONTROL_LINE_SIZE:
            raise ProtocolError("nats: a line without an end")
        self._rest = data[begin:]
