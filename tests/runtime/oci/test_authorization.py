"""Tokens: asked for as the registry says, kept while they live, and never from a server that it must not name."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send
from tests.registry_server import serving

from forge_runtime.http import Http
from forge_runtime.oci.authorization import Authorization, Unauthorised, parse_challenge
from forge_runtime.oci.credentials import Credential, Credentials, GivenCredentials

SCOPE = "repository:acme/shop:pull,push"


@dataclass
class TokenServer:
    """Gives `replies` in turn, the last for ever, and notes what it was asked."""

    replies: list[Any] = field(default_factory=lambda: [{"token": "t1"}])
    asked: list[tuple[str, dict[str, list[str]], str | None]] = field(default_factory=list)
    host: str = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        query = parse_qs((await request.body()).decode() if request.method == "POST" else request.url.query)
        self.asked.append((request.method, query, request.headers.get("authorization")))
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        response = reply if isinstance(reply, Response) else JSONResponse(reply)
        await response(scope, receive, send)

    @property
    def challenge(self) -> str:
        return f'Bearer realm="http://{self.host}/token",service="registry.example"'


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def server() -> Iterator[TokenServer]:
    found = TokenServer()
    with serving(found) as host:
        found.host = host
        yield found


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    async with Http.open() as opened:
        yield opened


def authorization(http: Http, server: TokenServer, credential: Credential | None, clock: Clock) -> Authorization:
    credentials: Credentials = GivenCredentials({server.host: credential} if credential else {})
    return Authorization(http, credentials, clock)


ADA = Credential(user="ada", password="s3cr3t")


async def test_a_registry_that_has_not_asked_is_shown_nothing(http: Http, server: TokenServer) -> None:
    assert await authorization(http, server, ADA, Clock()).headers(server.host, SCOPE) == {}


async def test_a_token_is_asked_for_with_our_credentials_and_kept_for_its_scope(
    http: Http, server: TokenServer
) -> None:
    server.replies = [{"token": "t1"}, {"access_token": "t2"}]
    known = authorization(http, server, ADA, Clock())

    await known.challenged(server.host, SCOPE, server.challenge + ',scope="repository:acme/shop:pull"', {})

    assert await known.headers(server.host, SCOPE) == {"Authorization": "Bearer t1"}
    assert await known.headers(server.host, "repository:acme/other:pull") == {"Authorization": "Bearer t2"}
    assert await known.headers(server.host, SCOPE) == {"Authorization": "Bearer t1"}
    basic = "Basic YWRhOnMzY3IzdA=="
    assert server.asked == [
        ("GET", {"service": ["registry.example"], "scope": [SCOPE, "repository:acme/shop:pull"]}, basic),
        ("GET", {"service": ["registry.example"], "scope": ["repository:acme/other:pull"]}, basic),
    ]


async def test_without_credentials_a_token_is_asked_for_as_nobody(http: Http, server: TokenServer) -> None:
    known = authorization(http, server, None, Clock())

    await known.challenged(server.host, SCOPE, server.challenge, {})

    assert server.asked[0][2] is None


async def test_a_token_is_renewed_shortly_before_it_expires(http: Http, server: TokenServer) -> None:
    server.replies = [{"token": "t1", "expires_in": 100}, {"token": "t2"}, {"token": "t3"}]
    clock = Clock()
    known = authorization(http, server, ADA, clock)
    await known.challenged(server.host, SCOPE, server.challenge, {})

    clock.now += 89
    assert await known.headers(server.host, SCOPE) == {"Authorization": "Bearer t1"}
    clock.now += 2
    assert await known.headers(server.host, SCOPE) == {"Authorization": "Bearer t2"}
    clock.now += 60
    assert await known.headers(server.host, SCOPE) == {"Authorization": "Bearer t3"}, "60 s, where none is said"


async def test_what_was_shown_lately_is_masked_and_what_is_kept_has_a_limit(
    http: Http, server: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("forge_runtime.oci.authorization.SECRETS_MAX", 6)
    server.replies = [{"token": f"token-{number}", "expires_in": 0} for number in range(20)]
    known = authorization(http, server, ADA, Clock())
    await known.challenged(server.host, SCOPE, server.challenge, {})
    for _ in range(10):
        shown = await known.headers(server.host, SCOPE)

    said = known.masked(f"you said {shown['Authorization']}, and {ADA.password}, and Basic YWRhOnMzY3IzdA==")

    assert said == "you said Bearer ***, and ***, and Basic ***"
    assert known.masked("token-0") == "token-0", "long forgotten"


async def test_nobody_waits_for_the_token_server_of_another_registry_or_scope(http: Http, server: TokenServer) -> None:
    asked = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    known = authorization(http, server, ADA, Clock())
    challenge = f'Bearer realm="http://127.0.0.1:{port}/token",service="registry.example"'
    async with silent, asyncio.timeout(60):
        stuck = asyncio.create_task(known.challenged(f"127.0.0.1:{port}", SCOPE, challenge, {}))
        await asked.wait()

        await known.challenged(server.host, SCOPE, server.challenge, {})
        shown = await known.headers(server.host, SCOPE)

        assert shown == {"Authorization": "Bearer t1"}
        assert not stuck.done()
        stuck.cancel()
        await asyncio.wait({stuck})


async def test_a_refresh_token_goes_into_the_body_of_a_post(http: Http, server: TokenServer) -> None:
    known = authorization(http, server, Credential(refresh_token="r3fr3sh"), Clock())

    await known.challenged(server.host, f"{SCOPE} repository:acme/base:pull", server.challenge, {})

    ((method, form, shown),) = server.asked
    assert (method, shown) == ("POST", None)
    assert form == {
        "grant_type": ["refresh_token"],
        "service": ["registry.example"],
        "scope": [f"{SCOPE} repository:acme/base:pull"],
        "client_id": ["catalyst-forge"],
        "refresh_token": ["r3fr3sh"],
    }


async def test_a_refresh_token_is_not_sent_on_by_a_redirect(http: Http, server: TokenServer) -> None:
    elsewhere = TokenServer()
    with serving(elsewhere) as host:
        server.replies = [Response(status_code=307, headers={"Location": f"http://{host}/token"})]
        known = authorization(http, server, Credential(refresh_token="r3fr3sh"), Clock())

        with pytest.raises(Unauthorised, match="no token"):
            await known.challenged(server.host, SCOPE, server.challenge, {})

    assert elsewhere.asked == []


@pytest.mark.parametrize(
    "reply",
    [
        {},
        {"token": ""},
        {"token": "a b"},
        {"token": "a\r\nX-Header: 1"},
        {"token": "ä"},
        {"token": 7},
        [],
        "t",
        {"token": "x" * 70_000},
        Response(b"\xff"),
        Response(b"[" * 50_000),
        Response(b"", status_code=403),
    ],
    ids=str,
)
async def test_what_is_no_token_is_not_shown_to_the_registry(http: Http, server: TokenServer, reply: Any) -> None:
    server.replies = [reply]
    known = authorization(http, server, ADA, Clock())

    with pytest.raises(Unauthorised) as unauthorised:
        await known.challenged(server.host, SCOPE, server.challenge, {})

    assert "s3cr3t" not in str(unauthorised.value)
    assert unauthorised.value.__context__ is None


@pytest.mark.parametrize("realm", ["http://127.0.0.1:1/token", "https://localhost/token", "http://[::1]:80/"])
async def test_a_registry_elsewhere_cannot_send_us_to_this_machine(http: Http, realm: str) -> None:
    known = Authorization(http, GivenCredentials())

    with pytest.raises(Unauthorised, match="a server on this machine"):
        await known.challenged("registry.example", SCOPE, f'Bearer realm="{realm}"', {})


@pytest.mark.parametrize("realm", ["", "file:///etc/passwd", "/token", "http://[", "http:"])
async def test_a_registry_must_name_an_address_for_its_tokens(http: Http, realm: str) -> None:
    known = Authorization(http, GivenCredentials())

    with pytest.raises(Unauthorised, match="names no address"):
        await known.challenged("registry.example", SCOPE, f'Bearer realm="{realm}"', {})


@pytest.mark.parametrize("realm", ["http://auth.example/token", "ftp://auth.example/token"])
async def test_credentials_go_to_no_server_without_tls(http: Http, realm: str) -> None:
    known = Authorization(http, GivenCredentials({"registry.example": ADA}))

    with pytest.raises(Unauthorised, match="neither https nor on this machine"):
        await known.challenged("registry.example", SCOPE, f'Bearer realm="{realm}"', {})


async def test_a_password_is_shown_where_basic_is_wanted_and_not_twice(http: Http, server: TokenServer) -> None:
    known = authorization(http, server, ADA, Clock())

    await known.challenged(server.host, SCOPE, 'Basic realm="x"', {})
    shown = await known.headers(server.host, SCOPE)

    assert shown == {"Authorization": "Basic YWRhOnMzY3IzdA=="}
    with pytest.raises(Unauthorised, match="does not accept"):
        await known.challenged(server.host, SCOPE, 'Basic realm="x"', shown)


@pytest.mark.parametrize("challenge", ["", "Negotiate", 'Digest realm="x"', "\x00"])
async def test_other_ways_of_asking_are_not_answered(http: Http, challenge: str) -> None:
    with pytest.raises(Unauthorised, match="a way that is not known"):
        await Authorization(http, GivenCredentials()).challenged("registry.example", SCOPE, challenge, {})


async def test_a_password_that_is_wanted_and_not_there_is_told_of(http: Http) -> None:
    with pytest.raises(Unauthorised, match="none are configured"):
        await Authorization(http, GivenCredentials()).challenged("registry.example", SCOPE, "Basic", {})


def test_challenges_are_told_apart() -> None:
    header = (
        'Bearer realm="https://auth.example/token", service="a \\"b\\"" , scope=plain, Basic realm="x, y=z",Negotiate'
    )

    assert parse_challenge(header) == {
        "bearer": {"realm": "https://auth.example/token", "service": 'a "b"', "scope": "plain"},
        "basic": {"realm": "x, y=z"},
        "negotiate": {},
    }


@given(st.text(max_size=200))
def test_any_header_is_read_without_an_error(header: str) -> None:
    assert isinstance(parse_challenge(header), dict)


def test_a_header_that_is_made_to_take_long_does_not() -> None:
    assert parse_challenge('Bearer realm="' + '\\"' * 100_000) == {"bearer": {}}
    assert len(parse_challenge("a=" * 100_000)) <= 1
