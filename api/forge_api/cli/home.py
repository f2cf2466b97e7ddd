"""The data directory of a platform on one machine (`.forge-data`), and how its clients find it.

api.token               random, mode 0600: whoever can read it is the operator
credentials/<user>      likewise, of each user of NATS: what he may do there is in forge_runtime/bus/permission.py
tokens/worker-release   likewise, of the workers: they register releases, and ask for automatic deployments
registry.token          likewise, of the registry; registry.json is the same as Docker's tools read it
signing.key             likewise, what releases are signed with; signing.pub is for whoever verifies them
endpoint.json           where API, NATS and the registry listen; there while the platform runs
ports.json              the ports of last time, so that a restart keeps its addresses
forge.db  nats/  objects/  engine/  cache/  work/  workers/  logs/
registry/               release images and artifacts, as the registry of this machine keeps them
gitops.git              the bare repository whose commits say which release is deployed where
"""

import base64
import fcntl
import json
import os
import secrets
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from forge_api.auth.permission import Role
from forge_runtime.folder import remove_folder
from forgec.adapter.git import git_environment

DIRECTORY_NAME: Final = ".forge-data"
API_PORT_PREFERRED: Final = 8420
GITOPS_BRANCH: Final = "main"
REGISTRY_USER: Final = "forge"
GIT_TIMEOUT_S: Final = 30.0


class InUse(Exception):
    """Another process has the data directory; the message says which directory."""


class NoPlatform(Exception):
    """No running platform was found; the message says where it was looked for and what to do."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a running platform listens, as `http://…` and `nats://…` on 127.0.0.1; `pid` is its supervisor's."""

    api: str
    nats: str
    registry: str
    pid: int


@dataclass(frozen=True, slots=True)
class Ports:
    api: int
    nats: int
    registry: int


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
    def worker_token(self) -> Path:
        return self.directory / "tokens" / Role.WORKER_RELEASE

    @property
    def registry_token(self) -> Path:
        return self.directory / "registry.token"

    @property
    def signing_key(self) -> Path:
        return self.directory / "signing.key"

    @property
    def gitops(self) -> Path:
        return self.directory / "gitops.git"

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
    def workers(self) -> Path:
        """A folder of each worker's own, by its name."""
        return self.directory / "workers"

    @property
    def endpoint_file(self) -> Path:
        return self.directory / "endpoint.json"

    def command(self, *words: str) -> str:
        """A line to paste into this shell, here, that asks the platform of this directory: `forge` with these words."""
        program = Path(sys.executable).with_name("forge")
        found = shutil.which("forge")
        called = "forge" if found is not None and Path(found) == program else shown(program)
        named = () if find_home(None, Path.cwd()) == self else ("--data-dir", shown(self.directory))
        return shlex.join((called, *words, *named))

    @contextmanager
    def locked(self) -> Iterator[Path]:
        """Hold the directory, made if need be (mode 0700), alone by this file. InUse if a platform has it."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.directory / "lock"
        with path.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InUse(f"a platform is running in {shown(self.directory)} already") from None
            yield path

    def prepare(self) -> None:
        """Make what the directory lacks (folders, tokens, repository; git ignores it all), for whoever holds it."""
        (self.directory / ".gitignore").write_text("*\n")
        for name in ("nats", "objects", "engine", "cache", "work", "logs", "tokens"):
            (self.directory / name).mkdir(exist_ok=True)
        for token in (self.api_token, self.worker_token, self.registry_token):
            if not token.exists():
                write_private(token, secrets.token_urlsafe(32) + "\n")
        if not self.signing_key.exists():
            self._make_signing_key()
        if not self.gitops.exists():
            self._make_gitops()

    def _make_gitops(self) -> None:
        """Beside its place: what is there has to be whole, and a start may be killed at any moment."""
        half = self.gitops.with_name(".gitops.git.new")
        remove_folder(half)
        command = ["git", "init", "--quiet", "--bare", "--initial-branch", GITOPS_BRANCH, str(half)]
        subprocess.run(command, env=git_environment(), check=True, timeout=GIT_TIMEOUT_S)
        half.rename(self.gitops)

    def _make_signing_key(self) -> None:
        from forge_runtime.supply.sign import KeySigner, new_key_pem  # here: 60 ms, and only the first start needs it

        pem = new_key_pem()
        (self.directory / "signing.pub").write_bytes(KeySigner.of_pem(pem).verifier.pem())
        write_private(self.signing_key, pem.decode())

    def registry_credentials(self, registry: str) -> Path:
        """A file as Docker's tools know it, for whoever asks `registry` (host and port)."""
        path = self.directory / "registry.json"
        known = base64.b64encode(f"{REGISTRY_USER}:{self.registry_token.read_text().strip()}".encode()).decode()
        write_private(path, json.dumps({"auths": {registry: {"auth": known}}}))
        return path

    def nats_passwords(self, users: Sequence[str]) -> dict[str, str]:
        """By user: 256 random bits, each in a file of its own. Kept, since dispatchers outlive a platform that dies."""
        (self.directory / "credentials").mkdir(mode=0o700, exist_ok=True)
        for user in users:
            if not self.nats_credentials(user).exists():
                write_private(self.nats_credentials(user), f"{user}\n{secrets.token_urlsafe(32)}\n")
        return {user: self.nats_credentials(user).read_text().splitlines()[1] for user in users}

    def ports(self, patience_s: float) -> Ports:
        """Free ports: those of last time if possible; they are waited for so long."""
        saved = _read_json(self.directory / "ports.json")
        preferred = {
            "api": saved.get("api", API_PORT_PREFERRED),
            "nats": saved.get("nats"),
            "registry": saved.get("registry"),
        }
        ports = Ports(**{name: _free_port(port, patience_s) for name, port in preferred.items()})
        write_private(self.directory / "ports.json", json.dumps(asdict(ports)))
        return ports

    def announce(self, endpoint: Endpoint) -> None:
        write_private(self.endpoint_file, json.dumps(asdict(endpoint)))

    def endpoint(self) -> Endpoint | None:
        """What a running platform announced; None if none runs here."""
        saved = _read_json(self.endpoint_file)
        try:
            api, nats, registry = (str(saved[name]) for name in ("api", "nats", "registry"))
            endpoint = Endpoint(api=api, nats=nats, registry=registry, pid=int(str(saved["pid"])))
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
            f"  start one with `{home.command('up')}` (in another terminal), or name its data directory with --data-dir"
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
