"""The sweeper, which in the platform runs inside the API process: `python -m tests.chaos.sweeper_process`.

It looks more often than it does in real time, as everything here happens ten times as fast.
"""

import asyncio
import os
import sys
from typing import Final

from forge_runtime import subject
from forge_runtime.bus.jetstream import connect
from forge_runtime.bus.port import BusUnavailable
from forge_runtime.ledger import Ledger
from forge_runtime.settings import read_bus_settings
from forge_runtime.sweeper import Sweeper
from forge_runtime.telemetry import configure_logging

PERIOD_S: Final = 3.0
PATIENCE_S: Final = 10.0


async def main() -> int:
    try:
        bus = await connect(read_bus_settings(os.environ))
    except BusUnavailable:
        return 75

    async def runs() -> list[str]:
        """All of them: of one that has ended nothing is left to sweep."""
        return [entry.key.removeprefix(_RUN) for entry in await bus.runs.list(f"{_RUN}>")]

    await Sweeper(Ledger(bus, PATIENCE_S), runs).run(PERIOD_S)
    return 0


_RUN: Final = subject.run_key("")

if __name__ == "__main__":
    configure_logging("sweeper")
    sys.exit(asyncio.run(main()))
