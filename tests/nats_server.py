"""A real nats-server for tests: JetStream, token, loopback; may be killed and started again on its port and store.

It ends with the process that started it, however that one ends.
"""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.leash import on_leash

from forge_runtime.settings import BusSettings

START_LIMIT_S = 10.0


class NatsServer:
    """One server process. `folder` keeps its configuration, its store, its log and the token's file.

    `more` is configuration that comes after ours; members of a cluster share a `token`. With `guard`, that says who may
    do what, and the token opens nothing.
    """

    def __init__(self, folder: Path, *, token: str | None = None, guard: str | None = None, more: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.binary = Path(sys.executable).with_name("nats-server")
        self.port = free_port()
        self.token = token or secrets.token_urlsafe(24)
        self.token_file = folder / "token"
        self.store = folder / "store"
        self._log = folder / "nats.log"
        self._config = folder / "nats.conf"
        self._process: subprocess.Popen[bytes] | None = None
        self.token_file.touch(mode=0o600)
        self.token_file.write_text(self.token + "\n")
        self._config.write_text(
            f"""
            listen: "127.0.0.1:{self.port}"
            {guard or self._one_key_to_everything()}
            {more}
            """
        )

    def _one_key_to_everything(self) -> str:
        return f"""
            authorization {{ token: "{self.token}" }}
            jetstream {{ store_dir: "{self.store}", sync_interval: always }}
        """

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        """Started and not ended by us; also while it is stopped."""
        return self._process is not None

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server does not run"
        return self._process.pid

    def said(self) -> str:
        """The end of its log."""
        return self._log.read_text()[-2000:]

    def settings(self, name: str = "test") -> BusSettings:
        return BusSettings(url=self.url, credentials=self.token_file, name=name)

    def start(self) -> None:
        """Return when the server answers."""
        assert self._process is None, "the server runs already"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(on_leash([self.binary, "-c", self._config]), stdout=log, stderr=log)
        deadline = time.monotonic() + START_LIMIT_S
        while not self._answers():
            assert self._process.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL: no farewell to clients, no flush."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Connections stay open, and nobody answers."""
        process = self._signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)  # until then it may still answer

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        if self._process is not None:
            self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        process = self._signal(number)
        process.send_signal(signal.SIGCONT)
        process.wait(timeout=10)
        self._process = None

    def _signal(self, number: signal.Signals) -> "subprocess.Popen[bytes]":
        assert self._process is not None, "the server does not run"
        self._process.send_signal(number)
        return self._process

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                return connection.recv(4) == b"INFO"
        except OSError:
            return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
