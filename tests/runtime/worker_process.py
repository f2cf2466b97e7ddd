"""A worker of script steps in a process of its own: `python -m tests.runtime.worker_process FOLDER NAME [GRACE_S]`.

It is there to be killed, or told to go: then its work gets so many seconds, 0 unless said. NATS_URL and
NATS_CREDENTIALS name the bus, as for every process of the platform.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from tests.runtime.workshop import Workshop

from forge_runtime.bus.jetstream import connect
from forge_runtime.settings import read_bus_settings


async def main(folder: Path, name: str, grace_s: float = 0.0) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    bus = await connect(read_bus_settings(os.environ))
    shop = Workshop(bus, folder)
    async with shop.worker(shop.bench(name), slots=3, grace_s=grace_s):
        await stop.wait()
    await bus.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], *map(float, sys.argv[3:])))
