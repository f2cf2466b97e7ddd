"""A real browser for tests: one page in headless Chromium, driven by its debugging protocol over a pipe.

Chromium reads commands from descriptor 3 and answers on 4, each a JSON object with a zero byte behind it. Commands that
the page's own policy forbids to its scripts are still open to the debugger.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from select import select
from typing import Any, Final

LIMIT_S: Final = 60.0
_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")

_LAUNCH: Final = """
import fcntl, os, sys
pipes = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3]]
os.dup2(pipes[0], 3)
os.dup2(pipes[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


def find_browser() -> str | None:
    return next(filter(None, map(shutil.which, _NAMES)), None)


@contextlib.contextmanager
def open_page(browser: str, page: Path, profile: Path, *, scripts: bool = True) -> Iterator["Page"]:
    """The loaded page; the browser is gone afterwards. `profile` is a directory for it alone."""
    to_read, ours_to_write = os.pipe()
    ours_to_read, to_write = os.pipe()
    options = (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--remote-debugging-pipe",
        f"--user-data-dir={profile}",
    )
    command = (sys.executable, "-c", _LAUNCH, str(to_read), str(to_write), browser, *options)
    process = subprocess.Popen(
        command,
        pass_fds=(to_read, to_write),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_read)
    os.close(to_write)
    try:
        yield Page.load(_Wire(ours_to_read, ours_to_write), page, scripts=scripts)
    finally:
        process.kill()
        process.wait(LIMIT_S)
        os.close(ours_to_read)
        os.close(ours_to_write)


@dataclass(slots=True)
class _Wire:
    """`events`: what the browser said without being asked."""

    read_from: int
    write_to: int
    session: str | None = None
    events: list[dict[str, Any]] = field(default_factory=list)
    _number: int = 0
    _unread: bytes = b""

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self.session is not None:
            message["sessionId"] = self.session
        os.write(self.write_to, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            self.events.append(answer)
        assert "error" not in answer, f"{method}: {answer.get('error')}"
        result: dict[str, Any] = answer["result"]
        return result

    def _next(self) -> dict[str, Any]:
        deadline = time.monotonic() + LIMIT_S
        while b"\0" not in self._unread:
            ready, _, _ = select([self.read_from], [], [], max(deadline - time.monotonic(), 0))
            data = os.read(self.read_from, 65536) if ready else b""
            assert data, "the browser went away, or said nothing for too long"
            self._unread += data
        message, _, self._unread = self._unread.partition(b"\0")
        decoded: dict[str, Any] = json.loads(message)
        return decoded


@dataclass(frozen=True, slots=True)
class Page:
    _wire: _Wire
    version: str

    @classmethod
    def load(cls, wire: _Wire, page: Path, *, scripts: bool) -> "Page":
        version = wire.ask("Browser.getVersion")["product"].partition("/")[2]
        target = wire.ask("Target.createTarget", url="about:blank")["targetId"]
        wire.session = wire.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Log", "Runtime", "Page"):
            wire.ask(f"{domain}.enable")
        wire.ask("Emulation.setScriptExecutionDisabled", value=not scripts)
        wire.ask("Page.navigate", url=page.as_uri())
        loaded = cls(wire, version)
        deadline = time.monotonic() + LIMIT_S
        while not (
            loaded.evaluate("document.readyState") == "complete" and loaded.evaluate("location.protocol") == "file:"
        ):
            assert time.monotonic() < deadline, "the page did not load"
        return loaded

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page."""
        answer = self._wire.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def type(self, text: str) -> None:
        """Into what has the focus."""
        self._wire.ask("Input.insertText", text=text)

    def press(self, key: str, code: int) -> None:
        """A key by its name and its virtual number, such as Enter and 13."""
        text = {"Enter": "\r", " ": " "}.get(key, "")
        for kind in ("keyDown", "keyUp"):
            self._wire.ask(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                windowsVirtualKeyCode=code,
                text=text if kind == "keyDown" else "",
            )

    def prefer(self, scheme: str) -> None:
        """`dark` or `light`."""
        self._wire.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def complaints(self) -> list[str]:
        """What the browser wrote to its console: errors of scripts, violations of the page's policy."""
        found = []
        for event in self._wire.events:
            if event.get("method") == "Log.entryAdded":
                found.append(event["params"]["entry"]["text"])
            elif event.get("method") == "Runtime.exceptionThrown":
                found.append(event["params"]["exceptionDetails"]["text"])
        return found
