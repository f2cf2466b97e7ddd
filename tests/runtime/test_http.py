"""The HTTP client against real servers that answer as they were told to."""

import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme

from forge_runtime.http import FileSlice, Http, HttpAway, HttpRefused, Limits, Request


@dataclass
class Answer:
    """`cut`: the connection ends before the whole body was sent."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Server:
    """Gives its answers in turn, the last one for ever."""

    def __init__(self, *answers: Answer, context: ssl.SSLContext | None = None) -> None:
        self.answers = list(answers)
        self.asked: list[Asked] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        if context is not None:
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self.port = self._http.server_address[1]
        self.url = f"http{'s' if context else ''}://127.0.0.1:{self.port}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                server.asked.append(Asked(self.command, self.path, headers, body))
                told = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
                self.send_response(told.status)
                for name, value in told.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(told.body) + (10 if told.cut else 0)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(told.body)

            do_GET = do_HEAD = do_POST = do_PUT = answer  # noqa: N815  # named by the standard library

            def log_message(self, *_: object) -> None: ...

        return Handler

    @contextmanager
    def running(self) -> Iterator["Server"]:
        thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            self._http.shutdown()
            self._http.server_close()
            thread.join()


@contextmanager
def serving(*answers: Answer) -> Iterator[Server]:
    with Server(*answers).running() as server:
        yield server


@pytest.fixture
async def waits() -> list[float]:
    return []


@pytest.fixture
async def http(waits: list[float]) -> AsyncIterator[Http]:
    async def wait(delay_s: float) -> None:
        waits.append(delay_s)

    async with Http.open() as opened:
        yield Http(client=opened.client, wait=wait, jitter=lambda: 0.0)


async def test_an_answer_is_status_headers_and_body(http: Http) -> None:
    with serving(Answer(201, b"made", {"Location": "/there"})) as server:
        reply = await http.send(Request(method="POST", url=f"{server.url}/things?a=1", body=b"{}"))

    assert (reply.status, reply.body, reply.headers["location"]) == (201, b"made", "/there")
    assert (server.asked[0].path, server.asked[0].body) == ("/things?a=1", b"{}")


async def test_an_error_of_the_server_is_tried_again_as_late_as_it_asks_for(http: Http, waits: list[float]) -> None:
    busy = Answer(429, headers={"Retry-After": "7"})
    with serving(busy, Answer(503), Answer(200, b"at last")) as server:
        reply = await http.send(Request(url=server.url))

    assert reply.body == b"at last"
    assert waits == [7.0, 2.0]


async def test_retry_after_is_not_obeyed_for_longer_than_a_minute(http: Http, waits: list[float]) -> None:
    days = Answer(503, headers={"Retry-After": "Fri, 31 Dec 2100 23:59:59 GMT"})
    with serving(days, Answer(429, headers={"Retry-After": "86400"}), Answer()) as server:
        await http.send(Request(url=server.url))

    assert waits == [60.0, 60.0]


async def test_a_server_that_stays_broken_is_away_and_its_words_are_told(http: Http, waits: list[float]) -> None:
    with serving(Answer(500, b"disk\x1b[2J full")) as server, pytest.raises(HttpAway) as caught:
        await http.send(Request(url=f"{server.url}/x?signature=secret"))

    assert str(caught.value) == f"GET {server.url}/x: 500 Internal Server Error: disk?[2J full (5 tries)"
    assert len(waits) == 4


async def test_a_refusal_stands_and_is_asked_once(http: Http, waits: list[float]) -> None:
    with serving(Answer(403, b"not for you")) as server, pytest.raises(HttpRefused) as caught:
        await http.send(Request(url=server.url))

    assert (caught.value.status, caught.value.body, len(server.asked), waits) == (403, b"not for you", 1, [])


async def test_what_must_not_happen_twice_is_asked_once(http: Http) -> None:
    with serving(Answer(502)) as server, pytest.raises(HttpAway, match="1 try"):
        await http.send(Request(method="POST", url=server.url), limits=Limits(attempts_max=1))

    assert len(server.asked) == 1


async def test_nobody_at_the_address_is_away(http: Http) -> None:
    with serving(Answer()) as server:
        gone = server.url

    with pytest.raises(HttpAway):
        await http.send(Request(url=gone))


async def test_an_answer_that_ends_early_is_tried_again(http: Http) -> None:
    with serving(Answer(200, b"hal", cut=True), Answer(200, b"whole")) as server:
        server.answers[0].headers["Connection"] = "close"
        reply = await http.send(Request(url=server.url), limits=Limits(attempt_s=1.0))

    assert reply.body == b"whole"


async def test_a_redirect_is_followed_and_another_origin_gets_no_secret(http: Http) -> None:
    with serving(Answer(200, b"content")) as other:
        here = Answer(307, headers={"Location": "/moved"})
        away = Answer(302, headers={"Location": f"{other.url}/blob?token=1"})
        with serving(here, away) as server:
            request = Request(url=server.url, headers={"Accept": "x/y"}, secret_headers={"Authorization": "Bearer s"})
            reply = await http.send(request)

    assert reply.body == b"content"
    assert [asked.headers.get("authorization") for asked in server.asked] == ["Bearer s", "Bearer s"]
    assert "authorization" not in other.asked[0].headers
    assert other.asked[0].headers["accept"] == "x/y"


async def test_a_redirect_that_leads_away_and_back_goes_without_the_secret(http: Http) -> None:
    with serving(Answer()) as other, serving(Answer(307, headers={"Location": other.url}), Answer(200)) as server:
        other.answers[0] = Answer(307, headers={"Location": f"{server.url}/elsewhere"})
        await http.send(Request(url=server.url, secret_headers={"Authorization": "Bearer s"}))

    assert ["authorization" in asked.headers for asked in server.asked] == [True, False]


async def test_what_is_sent_does_not_go_to_another_server(http: Http) -> None:
    with serving(Answer(200)) as other, serving(Answer(307, headers={"Location": other.url})) as server:
        request = Request(method="PUT", url=server.url, body=b"private")
        with pytest.raises(HttpRefused, match="redirects what is sent to another server"):
            await http.send(request)

    assert other.asked == []


async def test_a_cookie_that_one_was_given_goes_with_nobodys_questions(http: Http) -> None:
    with serving(Answer(200, headers={"Set-Cookie": "session=a; Path=/"})) as server:
        for token in ("a", "b"):
            await http.send(Request(url=server.url, secret_headers={"Authorization": f"Bearer {token}"}))

    assert ["cookie" in asked.headers for asked in server.asked] == [False, False]


@pytest.mark.parametrize("value", ["Bearer planted\n", "Bearer plant\x00ed", "Bearer plänted", "a\r\nb: planted"])
async def test_a_header_that_cannot_be_sent_is_refused_by_its_name_alone(http: Http, value: str) -> None:
    with serving(Answer()) as server, pytest.raises(HttpRefused, match="header Authorization") as caught:
        await http.send(Request(url=server.url, secret_headers={"Authorization": value}))

    assert "plant" not in str(caught.value) + repr(caught.value.__cause__) + repr(caught.value.__context__)


async def test_a_redirected_post_is_not_made_a_get(http: Http) -> None:
    with serving(Answer(302, headers={"Location": "/elsewhere"})) as server, pytest.raises(HttpRefused) as caught:
        await http.send(Request(method="POST", url=server.url))

    assert caught.value.status == 302
    assert len(server.asked) == 1


async def test_redirects_for_ever_are_refused(http: Http) -> None:
    again = Answer(307, headers={"Location": "/again"})
    with serving(again) as server, pytest.raises(HttpRefused, match="more than 5 redirects"):
        await http.send(Request(url=server.url))

    assert len(server.asked) == 6


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://10.0.0.1/latest", "http://["])
async def test_a_redirect_leads_to_no_other_kind_of_address(http: Http, location: str) -> None:
    with serving(Answer(307, headers={"Location": location})) as server, pytest.raises(HttpRefused):
        await http.send(Request(url=server.url))


@pytest.mark.parametrize(
    "url", ["http://registry.example/v2/", "https://user:hunter2@registry.example/", "file:///etc/passwd", "nothing"]
)
async def test_an_address_is_https_without_a_password(http: Http, url: str) -> None:
    with pytest.raises(HttpRefused) as caught:
        await http.send(Request(url=url))

    assert "hunter2" not in str(caught.value)


async def test_an_answer_without_end_is_cut_off(http: Http) -> None:
    with serving(Answer(200, b"x" * 4096)) as server, pytest.raises(HttpRefused, match="longer than 1024 bytes"):
        await http.send(Request(url=server.url), limits=Limits(bytes_max=1024))


async def test_a_file_is_downloaded_with_its_digest_and_no_further_than_its_limit(http: Http, tmp_path: Path) -> None:
    content = bytes(range(256)) * 4096
    into = tmp_path / "blob"
    with serving(Answer(503), Answer(200, content)) as server:
        got = await http.download(Request(url=server.url), into, Limits(bytes_max=len(content)))

        with pytest.raises(HttpRefused):
            await http.download(Request(url=server.url), tmp_path / "longer", Limits(bytes_max=len(content) - 1))

    assert (got.size_bytes, got.sha256) == (len(content), sha256(content).hexdigest())
    assert into.read_bytes() == content


async def test_a_part_of_a_file_is_sent_again_from_its_start_when_tried_again(http: Http, tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_bytes(b"0123456789" * 100_000)
    with serving(Answer(500), Answer(201)) as server:
        await http.send(Request(method="PUT", url=server.url, body=FileSlice(path, 5, 600_000)))

    assert [asked.body for asked in server.asked] == [path.read_bytes()[5:600_005]] * 2
    assert {asked.headers.get("content-length") for asked in server.asked} == {"600000"}
    assert all("transfer-encoding" not in asked.headers for asked in server.asked)


async def test_a_certificate_of_nobody_known_is_not_believed_and_https_stays_https(waits: list[float]) -> None:
    authority = trustme.CA()
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(theirs)
    ours = ssl.create_default_context()
    authority.configure_trust(ours)
    down = Answer(307, headers={"Location": "http://127.0.0.1:1/"})

    with Server(Answer(200, b"private"), down, context=theirs).running() as server:
        async with Http.open() as unknowing:
            with pytest.raises(HttpAway, match="certificate verify failed"):
                await unknowing.send(Request(url=server.url), limits=Limits(attempts_max=1))
        async with Http.open(verify=ours) as http:
            assert (await http.send(Request(url=server.url))).body == b"private"

            with pytest.raises(HttpRefused, match="redirects from https"):
                await http.send(Request(url=server.url))
