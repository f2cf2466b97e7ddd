"""Changed keys, each once however often it changed: a slow reader costs memory per key, not per change."""

import asyncio
from contextlib import suppress

from forge_runtime.bus.port import Gap, Hint


class KeyHints:
    """A Hints. The adapter calls `note` for each change it hears of, and `note_gap` after it could hear none."""

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}
        self._gap = False
        self._changed = asyncio.Event()

    def note(self, key: str, value: bytes) -> None:
        self._values[key] = value
        self._changed.set()

    def note_gap(self) -> None:
        """Some may have been missed."""
        self._gap = True
        self._changed.set()

    async def next(self, timeout_s: float) -> Hint | Gap | None:
        if not self._values and not self._gap:
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._changed.wait()
        if self._gap:
            self._gap = False
            return Gap()
        if not self._values:
            return None
        key = next(iter(self._values))
        return Hint(key, self._values.pop(key))
