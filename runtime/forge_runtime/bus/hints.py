"""Changed keys, each once however often it changed: a slow reader costs memory per key, not per change."""

import asyncio
from contextlib import suppress

from forge_runtime.bus.port import Hint


class KeyHints:
    """A Hints. The adapter calls `note` for each change it hears of."""

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}
        self._changed = asyncio.Event()

    def note(self, key: str, value: bytes) -> None:
        self._values[key] = value
        self._changed.set()

    async def next(self, timeout_s: float) -> Hint | None:
        if not self._values:
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._changed.wait()
        if not self._values:
            return None
        key = next(iter(self._values))
        return Hint(key, self._values.pop(key))
