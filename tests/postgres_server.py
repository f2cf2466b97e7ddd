"""A real PostgreSQL for tests: a cluster of its own on a socket of its own, not as root, and gone with who started it.

Durability is off: what is tested is what transactions see of each other, not what a power cut leaves.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from tests.leash import on_leash

START_LIMIT_S = 30.0
USER = "forge"
_OPTIONS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_connections": "60",
    "shared_buffers": "16MB",
    "deadlock_timeout": "200ms",
}


def postgres_programs() -> Path | None:
    """Where `initdb` and `postgres` are; the newest of Debian's versions, which are not in the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    beside = shutil.which("initdb")
    if found:
        return found[-1].parent
    return None if beside is None else Path(beside).parent


class PostgresServer:
    """One server. Its folder has a short name, since that of a socket may have 107 characters."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self.folder = Path(tempfile.mkdtemp(prefix="forge-pg-"))
        self._log = self.folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0

    def start(self) -> None:
        """Return when it answers."""
        self.folder.chmod(0o700)
        if os.geteuid() == 0:
            shutil.chown(self.folder, "nobody")
        data = self.folder / "data"
        self._run("initdb", "-D", data, "-U", USER, "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C")
        options = [word for name, value in _OPTIONS.items() for word in ("-c", f"{name}={value}")]
        command = (self._programs / "postgres", "-D", data, "-k", self.folder, *options)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._as_nobody(on_leash(command)), stdout=log, stderr=log)
        deadline = time.monotonic() + START_LIMIT_S
        while subprocess.run([self._programs / "pg_isready", "-q", "-h", self.folder], check=False).returncode != 0:
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.05)

    def database(self, like: str = "template1") -> str:
        """The address of a new database: empty, or a copy of the one that is named."""
        self._databases += 1
        name = f"forge{self._databases}"
        self._run("createdb", "-h", self.folder, "-U", USER, "-T", like, name)
        return self.address(name)

    def address(self, name: str) -> str:
        return f"postgresql+psycopg://{USER}@/{name}?host={self.folder}"

    def kill_clients(self) -> None:
        """End every connection, as a server that starts anew does."""
        statement = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        self._run("psql", "-h", self.folder, "-U", USER, "-d", "postgres", "-c", statement)

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)  # at once: nobody needs what it holds
            try:
                self._process.wait(timeout=10)
            finally:
                self._process.kill()
                self._process = None
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def version(self) -> str:
        said = subprocess.run([self._programs / "postgres", "--version"], capture_output=True, text=True, check=True)
        return said.stdout.split()[2]

    def _run(self, program: str, *arguments: str | Path) -> None:
        command = self._as_nobody((self._programs / program, *arguments))
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd="/")
        assert done.returncode == 0, done.stderr

    def _as_nobody(self, command: Sequence[str | PathLike[str]]) -> Sequence[str | PathLike[str]]:
        """PostgreSQL refuses to be root. The leash comes after: whoever becomes another user loses it."""
        if os.geteuid() != 0:
            return command
        return ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--", *command)
