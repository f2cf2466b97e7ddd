"""Python indexes: pypiserver in a thread, and one that lists files in the JSON form of the simple API."""

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from pypiserver import app as pypiserver_app
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

USER = "__token__"


@contextmanager
def pypiserver(folder: Path, password: str, *, hash_algo: str) -> Iterator[str]:
    """Its URL, with slash. It asks for `__token__` and the password where files are taken, listed and given out."""
    folder.mkdir(parents=True)
    app = pypiserver_app(
        roots=[folder],
        authenticate=["update", "list", "download"],
        password_file=".",
        auther=lambda user, given: (user, given) == (USER, password),
        hash_algo=hash_algo,
        disable_fallback=True,
    )
    server = make_server("127.0.0.1", 0, app, server_class=_Threading, handler_class=_Silent)
    thread = threading.Thread(target=server.serve_forever, name="pypiserver")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Threading(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        return None


class JsonIndex:
    """An index that takes uploads as PyPI does, and lists what it has in the JSON form of the simple API."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.forms: list[dict[str, list[str]]] = []
        self.lost_answers = 0
        self.app = Starlette(
            routes=[
                Route("/legacy/", self._take, methods=["POST"]),
                Route("/legacy/simple/{name}/", self._list),
            ]
        )

    async def _take(self, request: Request) -> Response:
        form, (name, data) = _read_form(request.headers["content-type"], await request.body())
        if form["sha256_digest"] != [hashlib.sha256(data).hexdigest()]:
            return Response("400 The digest supplied does not match", 400)
        if name in self.files:
            return Response("400 File already exists", 400)
        self.files[name] = data
        self.forms.append(form)
        if self.lost_answers:
            self.lost_answers -= 1
            return Response("Bad Gateway", 502)
        return Response("OK")

    async def _list(self, request: Request) -> Response:
        name = request.path_params["name"]
        files = [
            {"filename": file, "url": f"../../files/{file}", "hashes": {"sha256": hashlib.sha256(data).hexdigest()}}
            for file, data in self.files.items()
            if file.replace("_", "-").startswith(name)
        ]
        if not files:
            return Response("Not Found", 404)
        document = {"meta": {"api-version": "1.1"}, "name": name, "files": files}
        return JSONResponse(document, media_type="application/vnd.pypi.simple.v1+json")


def _read_form(content_type: str, body: bytes) -> tuple[dict[str, list[str]], tuple[str, bytes]]:
    """The fields of a multipart form, and its one file (RFC 7578)."""
    boundary = content_type.partition("boundary=")[2].encode()
    fields: dict[str, list[str]] = {}
    file = ("", b"")
    first, *parts, last = (b"\r\n" + body).split(b"\r\n--" + boundary)
    assert (first, last) == (b"", b"--\r\n")
    for part in parts:
        head, _, value = part.partition(b"\r\n\r\n")
        names = dict(re.findall(r'(name|filename)="([^"]*)"', head.decode()))
        if "filename" in names:
            file = (names["filename"], value)
        else:
            fields.setdefault(names["name"], []).append(value.decode())
    return fields, file
