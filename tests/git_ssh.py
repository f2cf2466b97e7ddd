"""An ssh server for one test: the real sshd, without root's rights where we have none."""

import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.leash import on_leash

SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")


@dataclass(frozen=True, slots=True)
class SshServer:
    """`url` ends with the host; `host_key` is a line for known_hosts without its name; `key` opens the door."""

    url: str
    host: str
    host_key: str
    key: Path


@contextmanager
def serve_ssh(scratch: Path) -> Iterator[SshServer]:
    """On 127.0.0.1, for the user that we are. sshd takes a user's shell from the system, so one must be there."""
    assert SSHD is not None
    scratch.mkdir()
    host, user = scratch / "host", scratch / "user"
    for path in (host, user):
        keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)]
        subprocess.run(keygen, check=True, timeout=60)
    (scratch / "authorized").write_bytes(user.with_suffix(".pub").read_bytes())
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where sshd gives up its rights; Debian makes it at boot
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "ListenAddress": f"127.0.0.1:{port}",
        "HostKey": host,
        "AuthorizedKeysFile": scratch / "authorized",
        "PidFile": "none",
        "UsePAM": "no",
        "StrictModes": "no",
        "PermitRootLogin": "prohibit-password",
        "PasswordAuthentication": "no",
    }
    config = scratch / "config"
    config.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    command = on_leash([SSHD, "-D", "-e", "-f", config])
    server = subprocess.Popen(command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    try:
        assert server.stderr is not None
        first = server.stderr.readline()
        assert "listening" in first, first + server.stderr.read()
        key_type, key, *_ = host.with_suffix(".pub").read_text().split()
        name = f"127.0.0.1:{port}"
        yield SshServer(f"ssh://{getpass.getuser()}@{name}", name, f"{key_type} {key}", user)
    finally:
        server.terminate()
        server.communicate(timeout=10)
