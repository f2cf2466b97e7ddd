"""A stand-in for the build daemon's control API: health, workers and their load, over real gRPC on a real port.

It runs in a thread with an event loop of its own, so that what it does slowly slows nobody else. `test_daemon.py` holds
it to the real daemon where that can be had.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import trustme
from grpc_health.v1 import health_pb2

from forge_runtime.runner.affinity import Load
from forge_runtime.runner.endpoint import Endpoint
from forge_runtime.runner.wire import control_pb2
from forge_runtime.settings import TlsFiles

HOST = "127.0.0.2"
"""Loopback, and none of the names by which the CLI would start a daemon of its own."""


@dataclass
class FakeDaemon:
    """Settings may be changed while it serves. No `load` is a plain daemon, no `health` one without that service."""

    endpoint: Endpoint
    workers: int = 1
    load: Load | None = None
    health: str | None = "SERVING"
    delay_s: float = 0.0
    asked: list[str] = field(default_factory=list)
    """The methods that were called, in order."""
    stop: Any = None
    """Ends the server, with GOAWAY for those who are connected; `start` begins it again on the same port."""
    start: Any = None


@contextmanager
def fake_daemon(*, tls: "Authority | None" = None, client: bool = False, **settings: Any) -> Iterator[FakeDaemon]:
    """`client`: only who shows a certificate of the same authority is let in."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    daemon = FakeDaemon(endpoint=Endpoint(address=f"tcp://{HOST}:0"), **settings)
    server = _Server(daemon, tls.server(client=client) if tls else None)

    def call(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(timeout=20)

    port = call(server.start(0))
    files = tls.files() if tls else None
    daemon.endpoint = Endpoint(address=f"tcp://{HOST}:{port}", tls=files)
    daemon.stop, daemon.start = (lambda: call(server.stop())), (lambda: call(server.start(port)))
    try:
        yield daemon
    finally:
        call(server.stop())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=20)
        loop.close()


class Authority:
    """Certificates of a test, as files."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._authority = trustme.CA()
        self._ours = self._authority.issue_cert("forge-worker")
        self._daemons = self._authority.issue_cert(HOST)
        self._authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        self._ours.private_key_pem.write_to_path(str(folder / "key.pem"))
        self._ours.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
        self._daemons.private_key_pem.write_to_path(str(folder / "server-key.pem"))
        self._daemons.cert_chain_pems[0].write_to_path(str(folder / "server-cert.pem"))

    def files(self, identity: "Authority | None" = None) -> TlsFiles:
        """For who trusts this authority, and is what `identity` says, or else one of its own."""
        folder = (identity or self)._folder
        return TlsFiles(ca=self._folder / "ca.pem", cert=folder / "cert.pem", key=folder / "key.pem")

    def server_files(self) -> tuple[Path, Path, Path]:
        """Authority, certificate and key of the daemon."""
        return self._folder / "ca.pem", self._folder / "server-cert.pem", self._folder / "server-key.pem"

    def server(self, *, client: bool) -> grpc.ServerCredentials:
        ca, cert, key = (path.read_bytes() for path in self.server_files())
        return grpc.ssl_server_credentials([(key, cert)], root_certificates=ca, require_client_auth=client)


class _Server:
    def __init__(self, daemon: FakeDaemon, credentials: grpc.ServerCredentials | None) -> None:
        self._daemon = daemon
        self._credentials = credentials
        self._server: Any = None

    async def start(self, port: int) -> int:
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers((_Methods(self._daemon),))
        address = f"{HOST}:{port}"
        if self._credentials is None:
            bound = self._server.add_insecure_port(address)
        else:
            bound = self._server.add_secure_port(address, self._credentials)
        await self._server.start()
        return int(bound)

    async def stop(self) -> None:
        if self._server is not None:
            server, self._server = self._server, None
            await server.stop(grace=0)


class _Methods(grpc.GenericRpcHandler):  # type: ignore[misc]
    def __init__(self, daemon: FakeDaemon) -> None:
        self._daemon = daemon

    def service(self, details: Any) -> Any:
        answers = {
            "/grpc.health.v1.Health/Check": (self._health, health_pb2.HealthCheckRequest),
            "/moby.buildkit.v1.Control/ListWorkers": (self._workers, control_pb2.ListWorkersRequest),
            "/moby.buildkit.v1.Control/Info": (self._info, control_pb2.InfoRequest),
        }
        if self._daemon.health is None:
            del answers["/grpc.health.v1.Health/Check"]
        if details.method not in answers:
            return None
        answer, request = answers[details.method]

        async def handle(_request: Any, _context: Any) -> Any:
            self._daemon.asked.append(details.method.rpartition("/")[2])
            await asyncio.sleep(self._daemon.delay_s)
            return answer()

        return grpc.unary_unary_rpc_method_handler(
            handle, request_deserializer=request.FromString, response_serializer=lambda reply: reply.SerializeToString()
        )

    def _health(self) -> Any:
        return health_pb2.HealthCheckResponse(status=self._daemon.health)

    def _workers(self) -> Any:
        load = self._daemon.load
        loads = (
            {}
            if load is None
            else {
                "parallelismCurrent": load.running,
                "parallelismMax": load.running_max,
                "parallelismWaiting": load.waiting,
            }
        )
        records = [control_pb2.WorkerRecord(ID=f"worker-{number}", **loads) for number in range(self._daemon.workers)]
        return control_pb2.ListWorkersResponse(record=records)

    def _info(self) -> Any:
        version = control_pb2.BuildkitVersion(package="github.com/EarthBuild/buildkit", version="v0.8.18")
        return control_pb2.InfoResponse(version=version, numSessions=0, secondsIdle=1)
