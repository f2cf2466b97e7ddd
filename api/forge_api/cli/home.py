"""The data directory of a platform on one machine (`.forge-data`), and how its clients find it.

api.token               random, mode 0600: whoever can read it is the operator
credentials/<user>      likewise, of each user of NATS: what he may do there is in forge_runtime/bus/permission.py
endpoint.json           where API and NATS listen; there while the platform runs
ports.json              the ports of last time, so that a restart keeps its addresses
forge.db  nats/  objects/  engine/  cache/  work/  logs/
"""

import json
import os
import secrets
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DIRECTORY_NAME: Final = ".forge-data"
API_PORT_PREFERRED: Final = 8420


class NoPlatform(Exception):
    """No running platform was found; the message says where it was looked for and what to do."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a running platform listens, as `http://…` and `nats://…` on 127.0.0.1; `pid` is its supervisor's."""

    api: str
    nats: str
    pid: int


@dataclass(frozen=True, slots=True)
class Home:
    """A data directory by its absolute path."""

    directory: Path

    @property
    def api_token(self) -> Path:
        return self.directory / "api.token"

    def nats_credentials(self, user: str) -> Path:
        """A file of two lines: user and password."""
        return self.directory / "credentials" / user

    @property
    def logs(self) -> Path:
        return self.directory / "logs"

    @property
    def objects(self) -> Path:
        return self.directory / "objects"

    @property
    def groups(self) -> Path:
        """Where the platform's process groups are noted, so that a killed platform leaves none behind for ever."""
        return self.directory / "groups"

    @property
    def endpoint_file(self) -> Path:
        return self.directory / "endpoint.json"

    def prepare(self) -> None:
        """Make the directory (mode 0700, ignored by git) and its token, keeping what is there."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.directory / ".gitignore").write_text("*\n")
        for name in ("nats", "objects", "engine", "cache", "work", "logs"):
            (self.directory / name).mkdir(exist_ok=True)
        if not self.api_token.exists():
            write_private(self.api_token, secrets.token_urlsafe(32) + "\n")

    def nats_passwords(self, users: Sequence[str]) -> dict[str, str]:
        """By user: 256 random bits, each in a file of its own. Kept, since dispatchers outlive a platform that dies."""
        (self.directory / "credentials").mkdir(mode=0o700, exist_ok=True)
        for user in users:
            if not self.nats_credentials(user).exists():
                write_private(self.nats_credentials(user), f"{user}\n{secrets.token_urlsafe(32)}\n")
        return {user: self.nats_credentials(user).read_text().splitlines()[1] for user in users}

    def ports(self, patience_s: float) -> tuple[int, int]:
        """The API's and NATS's port: those of last time where they are free, or become free in `patience_s`."""
        saved = _read_json(self.directory / "ports.json")
        api = _free_port(saved.get("api", API_PORT_PREFERRED), patience_s)
        nats = _free_port(saved.get("nats", 0), patience_s)
        write_private(self.directory / "ports.json", json.dumps({"api": api, "nats": nats}))
        return api, nats

    def announce(self, endpoint: Endpoint) -> None:
        document = {"api": endpoint.api, "nats": endpoint.nats, "pid": endpoint.pid}
        write_private(self.endpoint_file, json.dumps(document))

    def endpoint(self) -> Endpoint | None:
        """What a running platform announced; None if none runs here."""
        saved = _read_json(self.endpoint_file)
        try:
            endpoint = Endpoint(api=str(saved["api"]), nats=str(saved["nats"]), pid=int(str(saved["pid"])))
        except (KeyError, TypeError, ValueError):
            return None
        return endpoint if Path(f"/proc/{endpoint.pid}").exists() or not Path("/proc").exists() else None


def find_home(explicit: str | None, start: Path) -> Home:
    """The data directory that is meant: the option, then FORGE_DATA_DIR, then the nearest `.forge-data` upwards."""
    named = explicit or os.environ.get("FORGE_DATA_DIR")
    if named:
        return Home(Path(named).resolve())
    start = start.resolve()
    for directory in (start, *start.parents):
        if (directory / DIRECTORY_NAME).is_dir():
            return Home(directory / DIRECTORY_NAME)
    return Home(start / DIRECTORY_NAME)


def running(home: Home) -> Endpoint:
    """The endpoint of the platform that runs in this data directory; NoPlatform if none does."""
    endpoint = home.endpoint()
    if endpoint is None:
        raise NoPlatform(
            f"no platform is running in {shown(home.directory)}\n"
            "  start one with `forge up` (in another terminal), or name its data directory with --data-dir"
        )
    return endpoint


def shown(path: Path) -> str:
    """A path as people read it: relative where it lies below the working directory."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def write_private(path: Path, text: str) -> None:
    """Replace a file as a whole, readable by its owner alone from its first moment."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.replace(path)


def _read_json(path: Path) -> dict[str, object]:
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _free_port(preferred: object, patience_s: float) -> int:
    wanted = preferred if isinstance(preferred, int) and 0 <= preferred < 65536 else 0
    deadline = time.monotonic() + patience_s
    while True:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", wanted))
                return int(probe.getsockname()[1])
            except OSError:
                if wanted == 0:
                    raise
        if time.monotonic() < deadline:
            time.sleep(0.05)
        else:
            wanted = 0
