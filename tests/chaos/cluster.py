"""Three nats-servers that keep every stream threefold; what happens to "the server" happens to the one that leads.

The leader meant is that of the job records, on whose writes every promise rests. All that is said to a server goes over
lines that can be cut, and no server tells of a way around them:

    cut off    nobody reaches it, neither the other two nor clients, who are refused and go elsewhere
    isolated   the other two do not reach it, clients do: it takes their words, and can keep none of its promises
    paused     the process is stopped: its connections stay, and nobody answers

Each time it comes back believing that it leads.
"""

import json
import secrets
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from itertools import permutations
from pathlib import Path
from typing import Any, Final

from tests.chaos.network import Line, Network, State
from tests.nats_server import NatsServer, free_port

from forge_runtime import subject
from forge_runtime.settings import BusSettings

SERVERS: Final = 3
ELECTION_LIMIT_S: Final = 30.0
"""A first election takes a second or two, a later one up to ten."""

ANSWER_S: Final = 1.0
_NOWHERE: Final = "127.0.0.1:1"

_STREAM: Final = f"KV_{subject.JOBS_BUCKET}"


class Cluster:
    """A Partitionable of tests.chaos.fleet."""

    def __init__(self, folder: Path) -> None:
        token = secrets.token_urlsafe(24)
        route_ports = [free_port() for _ in range(SERVERS)]
        self._http_ports = [free_port() for _ in range(SERVERS)]
        self._network = Network()
        self._routes = {
            (caller, called): self._network.connect(route_ports[called])
            for caller, called in permutations(range(SERVERS), 2)
        }
        self._servers = [
            NatsServer(
                folder / f"n{number}",
                token=token,
                more=f"""
                server_name: n{number}
                http: "127.0.0.1:{self._http_ports[number]}"
                cluster {{
                    name: chaos
                    listen: "127.0.0.1:{route_ports[number]}"
                    routes: [{self._called_from(number)}]
                    advertise: "{_NOWHERE}"  # no route but ours
                    no_advertise: true  # nor a client that knows the others' own ports
                }}
                """,
            )
            for number in range(SERVERS)
        ]
        self._doors = [self._network.connect(server.port) for server in self._servers]
        self._victim = 0

    @property
    def url(self) -> str:
        return ",".join(f"nats://127.0.0.1:{door.port}" for door in self._doors)

    @property
    def token_file(self) -> Path:
        return self._servers[0].token_file

    def settings(self, name: str) -> BusSettings:
        return BusSettings(url=self.url, credentials=self.token_file, name=name)

    def start(self) -> None:
        """All of them, or the one that was killed; returns when the cluster has a leader."""
        for server in self._servers:
            if not server.running:
                server.start()
        self._await(lambda state: state["meta_cluster"].get("leader"))

    def kill(self) -> None:
        """SIGKILL to the leader."""
        self._victim = self._leader()
        self._servers[self._victim].kill()

    def cut_off(self) -> None:
        """The leader, from everybody."""
        self._victim = self._leader()
        self._network.set(self._routes_of_victim(), State.SILENT)
        self._network.set([self._doors[self._victim]], State.REFUSED)

    def isolate(self) -> None:
        """The leader, from the other two."""
        self._victim = self._leader()
        self._network.set(self._routes_of_victim(), State.SILENT)

    def heal(self) -> None:
        self._network.set([*self._routes.values(), *self._doors], State.OPEN)

    def pause(self) -> None:
        """SIGSTOP to the leader."""
        self._victim = self._leader()
        self._servers[self._victim].pause()

    def resume(self) -> None:
        self._servers[self._victim].resume()

    def stop(self) -> None:
        for server in self._servers:
            server.stop()
        self._network.close()

    def _called_from(self, number: int) -> str:
        lines = [line for (caller, _), line in self._routes.items() if caller == number]
        return ", ".join(f'"nats://127.0.0.1:{line.port}"' for line in lines)

    def _routes_of_victim(self) -> list[Line]:
        return [line for ends, line in self._routes.items() if self._victim in ends]

    def _leader(self) -> int:
        """The number of the server that leads the job records."""
        return int(self._await(_leader_of_records).removeprefix("n"))

    def _await(self, find: Callable[[dict[str, Any]], str | None]) -> str:
        """What is found in the state of JetStream as any server tells it."""
        end = time.monotonic() + ELECTION_LIMIT_S
        while time.monotonic() < end:
            for port in self._http_ports:
                with suppress(OSError, TimeoutError, KeyError):  # a server that is down, or just starting
                    url = f"http://127.0.0.1:{port}/jsz?accounts=true&streams=true"
                    with urllib.request.urlopen(url, timeout=ANSWER_S) as answer:
                        found = find(json.load(answer))
                    if found:
                        return found
            time.sleep(0.05)
        raise AssertionError(f"no leader within {ELECTION_LIMIT_S:g} s: {[server.said() for server in self._servers]}")


def _leader_of_records(state: dict[str, Any]) -> str | None:
    for account in state.get("account_details", ()):
        for stream in account.get("stream_detail", ()):
            if stream["name"] == _STREAM:
                leader: str | None = stream["cluster"].get("leader")
                return leader
    return None
