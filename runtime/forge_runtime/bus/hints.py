"""Changed keys, each once however often it changed: a slow reader costs memory per key, not per change."""

import asyncio
from contextlib import suppress


class KeyHints:
    """A Hints. The adapter calls `note` for each change it hears of."""

    def __init__(self) -> None:
        self._keys: dict[str, None] = {}
        self._changed = asyncio.Event()

    def note(self, key: str) -> None:
        self._keys[key] = None
        self._changed.set()

    async def next(self, timeout_s: float) -> str | None:
        if not self._keys:
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._changed.wait()
        if not self._keys:
            return None
        key = next(iter(self._keys))
        del self._keys[key]
        return key
