"""Messages out of bytes, however the network cuts them."""

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.errors import ProtocolError

from forge_runtime.bus.client import BusClient, head_of
from forge_runtime.bus.parser import Arrival

HEARD, UNHEARD = 3, 4

words = st.text(st.characters(codec="ascii", min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
heads = st.none() | st.sampled_from((b"NATS/1.0 404 Message Not Found\r\n\r\n", b"NATS/1.0\r\nA: b\r\n\r\n"))
arrivals = st.builds(Arrival, words, st.just("") | words, st.binary(max_size=300), heads)


@given(st.lists(arrivals, max_size=6), st.lists(st.integers(0, 2000), max_size=8), st.booleans())
def test_messages_come_out_as_they_went_in_wherever_the_bytes_are_cut(
    sent: list[Arrival], cuts: list[int], between: bool
) -> None:
    data = b"".join(_line(each, HEARD) + (b"PONG\r\n+OK\r\n" if between else b"") for each in sent)
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    parts = [data[begin:end] for begin, end in pairwise(places)]

    assert asyncio.run(_heard(parts)) == sent


def test_messages_of_others_are_left_to_the_library_in_their_order() -> None:
    own = Arrival("own", "", b"1", None)
    data = _line(Arrival("other", "", b"0", None), UNHEARD) + _line(own, HEARD)

    assert asyncio.run(_heard([data])) == [own]


def test_one_who_raises_does_not_end_what_others_hear(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[Arrival] = []

    def hear(arrival: Arrival) -> None:
        heard.append(arrival)
        raise RuntimeError("of a bug")

    async def parse() -> None:
        client = BusClient()
        client._hearers[HEARD] = hear
        await client._ps.parse(2 * _line(Arrival("own", "", b"1", None), HEARD))

    asyncio.run(parse())

    assert len(heard) == 2
    assert "of a bug" in caplog.text


@pytest.mark.parametrize("line", [b"MSG subject three 4\r\n", b"MSG subject\r\n", b"WHAT is this\r\n", b"x" * 5000])
def test_what_is_no_protocol_is_an_error(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        asyncio.run(_heard([line]))


def test_headers_are_read_when_asked_for() -> None:
    message = Arrival("s", "", b"", head_of({"Nats-Sequence": "42", "Empty": ""}))
    status = Arrival("s", "", b"", b"NATS/1.0 409 Consumer Deleted\r\nNats-Pending: 1\r\n\r\n")

    assert (message.header("Nats-Sequence"), message.header("Empty"), message.header("Sequence")) == ("42", "", None)
    assert message.status is None
    assert (status.status, status.description, status.header("Nats-Pending")) == ("409", "Consumer Deleted", "1")
    assert (Arrival("s", "", b"", None).status, Arrival("s", "", b"", None).header("A")) == (None, None)


def _line(message: Arrival, number: int) -> bytes:
    head = message.head or b""
    sizes = f"{len(head)} {len(head) + len(message.data)}" if message.head is not None else f"{len(message.data)}"
    word = "MSG" if message.head is None else "HMSG"
    reply = f"{message.reply} " if message.reply else ""
    return f"{word} {message.subject} {number} {reply}{sizes}\r\n".encode() + head + message.data + b"\r\n"


async def _heard(parts: list[bytes]) -> list[Arrival]:
    heard: list[Arrival] = []
    client = BusClient()
    client._hearers[HEARD] = heard.append
    for part in parts:
        await client._ps.parse(part)
    return heard
