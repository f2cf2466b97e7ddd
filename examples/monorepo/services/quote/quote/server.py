"""The HTTP side: reads a request, asks the service, writes JSON."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from quote.service import Answer, QuoteService

BODY_BYTES_MAX = 64 * 1024


def make_server(service: QuoteService, host: str = "127.0.0.1", port: int = 0) -> ThreadingHTTPServer:
    """A server that listens already; port 0 takes a free one (see `server_port`)."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # connections stay open between requests
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self._write(service.answer("GET", self.path))

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "0")
            if not length.isdecimal() or int(length) > BODY_BYTES_MAX:
                self.close_connection = True  # the body stays unread
                self._write(Answer(413, {"error": f"bodies are limited to {BODY_BYTES_MAX} bytes"}))
                return
            self._write(service.answer("POST", self.path, self.rfile.read(int(length))))

        def _write(self, answer: Answer) -> None:
            content = json.dumps(answer.document).encode()
            self.send_response(answer.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass  # one line a request says nothing that the client does not know

    return ThreadingHTTPServer((host, port), Handler)
