"""A whole platform for a test: `forge up` in a directory of its own, and the `forge` command beside it."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nats.js.client import KV_STREAM_TEMPLATE
from tests.chaos.stream import read_stream
from tests.nats_server import NatsServer

from forge_api.cli.client import ApiClient
from forge_api.cli.home import Home
from forge_api.cli.up import STOP_S_MAX
from forge_runtime import subject
from forge_runtime.bus.jetstream import connect
from forge_runtime.bus.server_config import ACCOUNT
from forge_runtime.job import JobRecord, decode_record

WAIT_S = 90.0


class Platform:
    """Started by `start`, with these options and variables; `stop` ends every process of it."""

    def __init__(self, directory: Path, *options: str, **environment: str) -> None:
        self.home = Home(directory)
        self._options = options
        self._environment = {**os.environ, **environment}
        self._log = directory.parent / "up.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "forge_api.cli.main", "up", "--runner", "host", "--slots", "2"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, *self._options, "--data-dir", str(self.home.directory)],
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=self._environment,
            )
        wait_until(lambda: self.home.endpoint() is not None, what=lambda: f"forge up: {self.said()}")

    def kill_all_but_children(self) -> None:
        """SIGKILL `forge up` itself, which then can stop nothing."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(30)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(STOP_S_MAX)

    def interrupt(self) -> int:
        """As Ctrl-C does; the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(STOP_S_MAX)

    def said(self) -> str:
        return self._log.read_text()

    def pid_of(self, name: str) -> int:
        """The newest process of a part, as `forge up` announced it."""
        return int(re.findall(rf"^{name} +pid (\d+)$", self.said(), re.MULTILINE)[-1])

    def kill(self, name: str) -> None:
        os.kill(self.pid_of(name), signal.SIGKILL)

    @property
    def client(self) -> ApiClient:
        endpoint = self.home.endpoint()
        assert endpoint is not None
        return ApiClient(endpoint.api, self.home.api_token)

    def forge(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "forge_api.cli.main", *arguments, "--data-dir", str(self.home.directory)]
        return subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)

    def start_forge(self, *arguments: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "forge_api.cli.main", *arguments, "--data-dir", str(self.home.directory)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def completions(self) -> dict[str, int]:
        """How many terminal records each job ever had."""
        return {key: sum(record.state.terminal for record in records) for key, records in self.job_records().items()}

    def job_records(self) -> dict[str, list[JobRecord]]:
        """All that each job's record ever was, oldest first, read from the history of the bucket.

        From a copy of the store, on a server of our own: no user of the platform's may read all of it.
        """
        with tempfile.TemporaryDirectory() as folder:
            server = NatsServer(Path(folder))
            account = self.home.directory / "nats" / "jetstream" / ACCOUNT
            shutil.copytree(account, server.store / "jetstream" / "$G")
            server.start()
            try:
                return asyncio.run(_job_records(server))
            finally:
                server.stop()


async def _job_records(server: NatsServer) -> dict[str, list[JobRecord]]:
    bus = await connect(server.settings("reader"))
    try:
        stored = await read_stream(bus.connection, KV_STREAM_TEMPLATE.format(bucket=subject.JOBS_BUCKET))
    finally:
        await bus.close()
    records: dict[str, list[JobRecord]] = {}
    for message in stored:
        records.setdefault(message.subject, []).append(decode_record(message.data))
    return records


def wait_until(holds: Callable[[], object], *, what: Callable[[], str] = lambda: "condition") -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, f"waited {WAIT_S:.0f}s in vain: {what()}"
        time.sleep(0.05)


def commit_repository(directory: Path, files: Mapping[str, str]) -> Path:
    """A git repository with these files in one commit."""
    for name, text in files.items():
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    for arguments in (["init", "-q", "-b", "main"], ["add", "-A"], [*identity, "commit", "-q", "-m", "files"]):
        subprocess.run(["git", *arguments], cwd=directory, check=True, timeout=60)
    return directory


def step_statuses(run: Mapping[str, Any]) -> dict[str, str]:
    """`phase/project/step` to status."""
    return {
        f"{phase['name']}/{task['project_name']}/{step['name']}": step["status"]
        for phase in run["phases"]
        for task in phase["tasks"]
        for step in task["steps"]
    }
