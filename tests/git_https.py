"""A git server over HTTPS: git's own `http-backend` behind the standard library's server, with faults on demand."""

import base64
import enum
import os
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit


class Fault(enum.Enum):
    """What becomes of the answer that holds a pack."""

    DIES = "half of it is sent, then the connection is closed"
    HANGS = "nothing is sent"
    DRIPS = "a byte now and then is sent"


@dataclass(slots=True)
class Behaviour:
    """How the server answers; may be changed while it runs. `login` is user and password; `redirect` another server."""

    protocol_v2: bool = True
    login: tuple[str, str] | None = None
    redirect: str | None = None
    fault: Fault | None = None
    ended: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, slots=True)
class GitServer:
    """`certificate` is the server's own authority. `requests` are the paths asked for so far, `authorizations` what
    came with each."""

    url: str
    certificate: Path
    requests: list[str]
    authorizations: list[str | None]
    behaviour: Behaviour

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc


@contextmanager
def serve_repositories(
    root: Path, scratch: Path, *, behaviour: Behaviour | None = None, address: str = "127.0.0.1"
) -> Iterator[GitServer]:
    """Serve every repository below `root` on a loopback address, under `/<its path>`.

    Without `protocol_v2` the server is an old one, which gives out only commits that a branch or tag points to.
    """
    behaviour = behaviour or Behaviour()
    scratch.mkdir(parents=True, exist_ok=True)
    key, certificate = scratch / "server.key", scratch / "server.crt"
    subject = ["-subj", f"/CN={address}", "-addext", f"subjectAltName=IP:{address}"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *subject, *files],
        check=True,
        capture_output=True,
        timeout=60,
    )
    requests: list[str] = []
    authorizations: list[str | None] = []
    handler = partial(_Handler, root, behaviour, requests, authorizations)
    server = ThreadingHTTPServer((address, 0), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield GitServer(f"https://{address}:{server.server_port}", certificate, requests, authorizations, behaviour)
    finally:
        behaviour.ended.set()
        server.shutdown()
        server.server_close()
        thread.join(10)


class _Handler(BaseHTTPRequestHandler):
    """CGI, as RFC 3875 has it, as much as git needs."""

    def __init__(
        self,
        root: Path,
        behaviour: Behaviour,
        requests: list[str],
        authorizations: list[str | None],
        *rest: object,
    ) -> None:
        self._root = root
        self._behaviour = behaviour
        self._requests = requests
        self._authorizations = authorizations
        super().__init__(*rest)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self._body())

    def log_message(self, *_: object) -> None:
        """Tests read `requests` instead."""

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _serve(self, body: bytes) -> None:
        target = urlsplit(self.path)
        self._requests.append(self.path)
        self._authorizations.append(self.headers.get("Authorization"))
        if not self._is_let_in():
            return
        if self._behaviour.redirect is not None:
            self._answer(302, [("Location", self._behaviour.redirect + self.path)], b"")
            return
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self._root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", "") if self._behaviour.protocol_v2 else "",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": target.path,
            "QUERY_STRING": target.query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
        }
        done = subprocess.run(
            ["git", "http-backend"], input=body, env=environment, capture_output=True, timeout=60, check=False
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        fields = [line.split(": ", 1) for line in head.decode().splitlines()]
        status = next((value for name, value in fields if name == "Status"), "200 OK")
        headers = [(name, value) for name, value in fields if name != "Status"]
        self._answer(int(status.split()[0]), headers, content)

    def _is_let_in(self) -> bool:
        if self._behaviour.login is None:
            return True
        expected = base64.b64encode(":".join(self._behaviour.login).encode()).decode()
        if self.headers.get("Authorization") == f"Basic {expected}":
            return True
        self._answer(401, [("WWW-Authenticate", 'Basic realm="git"')], b"")
        return False

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        fault = self._behaviour.fault if b"PACK" in content else None
        if fault is Fault.DIES:
            content = content[: len(content) // 2]
        elif fault is Fault.HANGS:
            self._behaviour.ended.wait(60)
            content = b""
        elif fault is Fault.DRIPS:
            for byte in content:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                if self._behaviour.ended.wait(0.3):
                    break
            content = b""
        self.wfile.write(content)
