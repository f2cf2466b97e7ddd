"""Which bus a command means, and talking to it: the environment's, as for every process, or a local platform's."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from forge_api.cli.home import find_home, running
from forge_runtime.bus.jetstream import JetStreamBus, connect
from forge_runtime.settings import BusSettings, read_bus_settings


def find_bus(data_dir: str | None, user: str) -> BusSettings:
    """The platform in `data_dir` if it is named, else NATS_URL, else the platform whose directory is nearest.

    NoPlatform if none runs there. There is no option for the address, since it may hold a password and arguments are
    seen by everybody on the machine. `user` is who the server's permissions know us as.
    """
    if data_dir is None and os.environ.get("NATS_URL", "").strip():
        return read_bus_settings(os.environ, user)
    home = find_home(data_dir, Path.cwd())
    return BusSettings(url=running(home).nats, credentials=home.nats_credentials(user), user=user, name=user)


def with_bus(settings: BusSettings, action: Callable[[JetStreamBus], Awaitable[int]]) -> int:
    """What `action` returns; BusUnavailable if there is no connection within 10 s."""

    async def connected() -> int:
        bus = await connect(settings)
        try:
            return await action(bus)
        finally:
            await bus.close()

    return asyncio.run(connected())
