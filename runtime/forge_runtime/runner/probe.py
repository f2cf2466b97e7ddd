"""Asking one build daemon how it is, over a connection that stays open.

Each probe is gRPC's standard health check; now and then the daemon's workers are listed as well, since a daemon without
one answers and builds nothing, and since the list tells its load. A daemon without the health service is known by its
list alone.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2

from forge_runtime.runner.affinity import Load
from forge_runtime.runner.breaker import Probe
from forge_runtime.runner.endpoint import Endpoint, TlsFiles
from forge_runtime.runner.wire import control_pb2

PROBE_LIMIT_S: Final = 3.0
"""A health check takes 0.3 ms on a local network, a list 6 ms."""

LIST_EVERY_S: Final = 10.0

MESSAGE_BYTES_MAX: Final = 1024 * 1024

_OPTIONS: Final[Sequence[tuple[str, Any]]] = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.initial_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 5000),
    ("grpc.use_local_subchannel_pool", 1),  # a channel that is made anew connects anew
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a probe found; `why` is for the log where it is not healthy. No `load` where the daemon tells none."""

    probe: Probe
    why: str = ""
    load: Load | None = None


@dataclass(slots=True)
class DaemonProbe:
    """Made and used in one event loop. After a failed probe the connection is made anew, with the files as they are
    then: certificates are renewed while workers run."""

    endpoint: Endpoint
    limit_s: float = PROBE_LIMIT_S
    list_every_s: float = LIST_EVERY_S
    _channel: grpc.aio.Channel | None = None
    _listed_at: float | None = None
    _load: Load | None = None
    _no_health: bool = field(default=False)

    async def look(self) -> Seen:
        """Never raises what the daemon or the way to it does."""
        try:
            async with asyncio.timeout(self.limit_s + 1):
                seen = await self._look(self._connected())
        except grpc.aio.AioRpcError as error:
            seen = Seen(probe=Probe.FAILED, why=f"{error.code().name}: {(error.details() or '')[:300]}")
        except TimeoutError:
            seen = Seen(probe=Probe.FAILED, why=f"no answer within {self.limit_s:g} s")
        except OSError as error:
            seen = Seen(probe=Probe.FAILED, why=f"{error.filename}: {error.strerror}")
        if seen.probe is Probe.FAILED:
            await self.close()
        return seen

    async def close(self) -> None:
        channel, self._channel, self._listed_at, self._load = self._channel, None, None, None
        if channel is not None:
            await channel.close(grace=None)

    def _connected(self) -> grpc.aio.Channel:
        if self._channel is None:
            target, tls = self.endpoint.name, self.endpoint.tls
            if tls is None:
                self._channel = grpc.aio.insecure_channel(target, options=_OPTIONS)
            else:
                self._channel = grpc.aio.secure_channel(target, _credentials(tls), options=_OPTIONS)
        return self._channel

    async def _look(self, channel: grpc.aio.Channel) -> Seen:
        health = await self._health(channel)
        if health is not None and health != health_pb2.HealthCheckResponse.SERVING:
            return Seen(probe=Probe.DRAINING, why=health_pb2.HealthCheckResponse.ServingStatus.Name(health))
        now = time.monotonic()
        if self._no_health or self._listed_at is None or now - self._listed_at >= self.list_every_s:
            reply = await self._call(channel, "moby.buildkit.v1.Control/ListWorkers", control_pb2.ListWorkersRequest())
            if not reply.record:
                return Seen(probe=Probe.FAILED, why="it has no workers")
            self._load, self._listed_at = _load(reply), now
        return Seen(probe=Probe.HEALTHY, load=self._load)

    async def _health(self, channel: grpc.aio.Channel) -> int | None:
        """None where the daemon has no such service."""
        if self._no_health:
            return None
        try:
            reply = await self._call(channel, "grpc.health.v1.Health/Check", health_pb2.HealthCheckRequest())
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                raise
            self._no_health = True
            return None
        status: int = reply.status
        return status

    async def _call(self, channel: grpc.aio.Channel, method: str, request: Any) -> Any:
        call = channel.unary_unary(
            f"/{method}", request_serializer=type(request).SerializeToString, response_deserializer=_REPLIES[method]
        )
        return await call(request, timeout=self.limit_s, wait_for_ready=False)


def _load(reply: Any) -> Load | None:
    """Of the first worker, which is the one that builds. A daemon that tells no maximum tells no load."""
    record = reply.record[0]
    if record.parallelismMax <= 0:
        return None
    return Load(
        running=max(0, record.parallelismCurrent),
        running_max=record.parallelismMax,
        waiting=max(0, record.parallelismWaiting),
    )


def _credentials(tls: TlsFiles) -> grpc.ChannelCredentials:
    """Read at each connection. Raises OSError."""
    read = Path.read_bytes
    return grpc.ssl_channel_credentials(
        root_certificates=read(tls.ca) if tls.ca else None,
        private_key=read(tls.key) if tls.key else None,
        certificate_chain=read(tls.cert) if tls.cert else None,
    )


_REPLIES: Final = {
    "grpc.health.v1.Health/Check": health_pb2.HealthCheckResponse.FromString,
    "moby.buildkit.v1.Control/ListWorkers": control_pb2.ListWorkersResponse.FromString,
}
