"""Asking one build daemon how it is, over a connection that stays open.

Each probe is gRPC's standard health check; now and then the daemon's workers are listed as well, since a daemon without
one answers and builds nothing, and since the list tells its load. A daemon without the health service is known by its
list alone.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2

from forge_runtime.runner.affinity import Load
from forge_runtime.runner.breaker import Probe
from forge_runtime.runner.endpoint import Endpoint
from forge_runtime.runner.relay import TlsRelay
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
    _relay: TlsRelay | None = None
    _listed_at: float | None = None
    _load: Load | None = None
    _no_health: bool = field(default=False)

    async def look(self) -> Seen:
        """Never raises what the daemon or the way to it does."""
        try:
            async with asyncio.timeout(self.limit_s + 1):
                seen = await self._look(await self._connected())
        except grpc.aio.AioRpcError as error:
            tls = self._relay.why if self._relay is not None else ""
            seen = Seen(probe=Probe.FAILED, why=tls or f"{error.code().name}: {(error.details() or '')[:300]}")
        except TimeoutError:
            seen = Seen(probe=Probe.FAILED, why=f"no answer within {self.limit_s:g} s")
        except OSError as error:  # of this machine: no room or no descriptor for a socket of ours
            seen = Seen(probe=Probe.FAILED, why=f"no connection can be made: {error.strerror or error}")
        if seen.probe is Probe.FAILED:
            await self.close()
        return seen

    async def close(self) -> None:
        channel, relay = self._channel, self._relay
        self._channel = self._relay = self._listed_at = self._load = None
        if channel is not None:
            await channel.close(grace=None)
        if relay is not None:
            await relay.close()

    async def _connected(self) -> grpc.aio.Channel:
        if self._channel is None:
            target = self.endpoint.name
            options = [*_OPTIONS, ("grpc.default_authority", target)]
            if self.endpoint.tls is not None:
                self._relay = TlsRelay(self.endpoint.host, self.endpoint.port, self.endpoint.tls)
                target = await self._relay.open()
            self._channel = grpc.aio.insecure_channel(target, options=options)
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


_REPLIES: Final = {
    "grpc.health.v1.Health/Check": health_pb2.HealthCheckResponse.FromString,
    "moby.buildkit.v1.Control/ListWorkers": control_pb2.ListWorkersResponse.FromString,
}
