"""What a worker tells those who look at it: /metrics, /livez and /readyz over HTTP.

    /metrics   Prometheus metrics of this process
    /livez     200 while the event loop turns; 503 when it has not for 30 s: start the worker anew
    /readyz    200 while it may be given work; 503 with each part that is missing, also while it drains

Served by threads of its own, since whoever asks whether the loop is stuck must not wait for the loop. No token is asked
for: there is nothing of anybody's work in it, and an address that is not loopback is for a network that may see it.
"""

import asyncio
import json
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

from forge_runtime.folder import check_room
from forge_runtime.settings import Address, BadSettings
from forge_runtime.tasks import end_tasks
from forge_runtime.worker.source import OK

BEAT_S: Final = 1.0
STUCK_S: Final = 30.0
"""A loop that has not turned for as long as a lease lasts has lost its jobs."""

REQUEST_S: Final = 5.0
"""For a client to send its request; a silent one would keep its thread."""

_log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Vitals:
    """How the worker is: written by its loop, read by threads. `stop` is set when it drains."""

    scratch: Path
    stop: asyncio.Event
    connected: Callable[[], bool] = lambda: False
    queues: Callable[[], str] = lambda: "not verified yet"
    turned: float = field(default_factory=time.monotonic)

    async def beat(self) -> None:
        """Note for ever that the loop turns."""
        while True:
            self.turned = time.monotonic()
            await asyncio.sleep(BEAT_S)

    def alive(self) -> bool:
        return time.monotonic() - self.turned < STUCK_S

    def parts(self) -> Mapping[str, str]:
        """What work needs: each part is "ok" or says what it is instead."""
        return {
            "bus": OK if self.connected() else "not connected",
            "queues": self.queues(),
            "disk": self._room(),
            "process": "draining" if self.stop.is_set() else OK,
        }

    def _room(self) -> str:
        try:
            check_room(self.scratch)
        except OSError as error:
            return f"no room in {self.scratch}: {error.strerror}"
        return OK


@asynccontextmanager
async def probes(address: Address, vitals: Vitals, exposition: Callable[[], tuple[bytes, str]]) -> AsyncIterator[str]:
    """Serve them for as long as the block lasts; gives the URL. BadSettings if nobody can listen there."""
    handler = type("Handler", (_Handler,), {"vitals": vitals, "exposition": staticmethod(exposition)})
    try:
        server = _Server((address.host, address.port), handler)
    except OSError as error:
        raise BadSettings(f"FORGE_METRICS_ADDRESS is {address}: cannot listen there: {error.strerror}") from None
    thread = threading.Thread(target=server.serve_forever, name="probes", daemon=True)
    thread.start()
    beat = asyncio.create_task(vitals.beat())
    try:
        yield f"http://{address.host}:{server.server_address[1]}"
    finally:
        await end_tasks(beat)
        await asyncio.to_thread(server.shutdown)
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    """One that still answers must not keep the worker from ending."""


class _Handler(BaseHTTPRequestHandler):
    vitals: Vitals
    exposition: Callable[[], tuple[bytes, str]]
    timeout = REQUEST_S

    def do_GET(self) -> None:
        match self.path.partition("?")[0]:
            case "/metrics":
                self._answer(HTTPStatus.OK, *self.exposition())
            case "/livez":
                alive = self.vitals.alive()
                self._answer_json(alive, {"status": OK if alive else "the event loop is stuck"})
            case "/readyz":
                parts = self.vitals.parts()
                ready = all(state == OK for state in parts.values())
                self._answer_json(ready, {"ready": ready, "parts": parts})
            case _:
                self._answer(HTTPStatus.NOT_FOUND, b"/metrics, /livez and /readyz are here\n", "text/plain")

    def _answer_json(self, well: bool, document: Mapping[str, object]) -> None:
        status = HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE
        self._answer(status, json.dumps(document).encode(), "application/json")

    def _answer(self, status: HTTPStatus, body: bytes, media_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        return "forge-worker"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - named by http.server
        """A probe each few seconds is not worth a line."""
        _log.debug("probe: %s", format % args)
