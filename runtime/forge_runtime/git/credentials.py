"""Credentials of git hosts: files that only the one command, or what it starts, reads.

    <root>/github.com/username, password         https: asked for by git's own credential protocol, for this host only
    <root>/git.example.org/id, known_hosts       ssh: a private key, and the keys that the host may show
    <root>/git.example.org_8443/…                a host with a port in its URL

Paths are all that argv, environment and configuration hold. git asks for a password by host, so a server that redirects
to another gets none; a password that git should ever print is masked.
"""

import asyncio
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Protocol

from forge_runtime.folder import remove_folder
from forge_runtime.git.clone_url import CloneUrl
from forge_runtime.git.command import Connection
from forge_runtime.git.error import AccessRefused, GitError
from forge_runtime.mask import Mask

STALL_S: Final = 60.0
"""A server that sends less than 1 kB/s for this long is gone; behind ssh, one that answers nothing."""

BIG_FILE_BYTES: Final = 32 * 1024 * 1024
"""What is larger is checked and written in pieces, instead of being held in memory."""

_VALUE_BYTES_MAX: Final = 64 * 1024
_HOST: Final = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]+)?")


class Credentials(Protocol):
    def folder(self, host: str) -> Path:
        """Where the credentials of a host lie, if it has any: `username` and `password`, or `id` and `known_hosts`."""
        ...


class DirectoryCredentials:
    """A folder for each host below `root`, as Kubernetes mounts secrets."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def folder(self, host: str) -> Path:
        return self._root / host.replace(":", "_")  # a mount path must not hold a colon


@asynccontextmanager
async def connect(
    url: CloneUrl,
    credentials: Credentials | None,
    *,
    scratch: Path,
    stall_s: float = STALL_S,
    bytes_max: int | None = None,
) -> AsyncIterator[Connection]:
    """A connection with the credentials of the URL's host, if there are any.

    `scratch` is a folder for a key that is readable by others where it lies, as mounted ones are: ssh takes no such
    key, so it gets a copy, which is removed at the end. Raises GitError for credentials that cannot be read.
    """
    config = {
        "protocol.version": "2",
        "http.lowSpeedLimit": "1000",
        "http.lowSpeedTime": str(max(1, round(stall_s))),
        # As one pack, however small: it is checked before it gets its name, and can be bounded, and moved.
        "fetch.unpackLimit": "1",
        "core.bigFileThreshold": str(BIG_FILE_BYTES),
    }
    mask = Mask()
    folder = _folder(url, credentials)
    copy: Path | None = None
    try:
        if folder is not None and url.protocol == "https" and (folder / "password").exists():
            mask.hide([await asyncio.to_thread(_value, folder / "password")])
            await asyncio.to_thread(_value, folder / "username")
            config[f"credential.https://{url.host}.helper"] = _helper(folder)
        elif folder is not None and url.protocol == "ssh" and (folder / "id").exists():
            copy = await asyncio.to_thread(_copied, folder, scratch)
            config["core.sshCommand"] = _ssh(copy, stall_s)
        yield Connection(url=url, config=config, mask=mask, bytes_max=bytes_max)
    finally:
        if copy is not None:
            await asyncio.to_thread(remove_folder, copy)


def access_refused(url: CloneUrl, credentials: Credentials | None, said: str) -> AccessRefused:
    """What to do about a server that does not let us in; `said` is git's own reason."""
    names = "username and password" if url.protocol == "https" else "id (a private key) and known_hosts"
    folder = _folder(url, credentials)
    if folder is None:
        advice = "the worker has no credentials; set FORGE_GIT_CREDENTIALS_DIR to a directory with a folder for this"
        return AccessRefused(f"{url.host} does not give {url} to us: {advice} host, which holds {names} ({said})")
    if not (folder / ("password" if url.protocol == "https" else "id")).exists():
        return AccessRefused(f"{url.host} does not give {url} to us: put {names} into {folder} ({said})")
    return AccessRefused(
        f"{url.host} refuses the credentials in {folder} for {url}: see that {names} there are right, and may read it"
        f" ({said})"
    )


def _folder(url: CloneUrl, credentials: Credentials | None) -> Path | None:
    host = url.host.lower()
    # A host is the name of a folder here, so it must not be "..", for one.
    return credentials.folder(host) if credentials is not None and _HOST.fullmatch(host) else None


def _value(path: Path) -> str:
    """One line; a line break at its end is not part of it. Raises AccessRefused, which does not tell the value."""
    try:
        with path.open("rb") as file:
            data = file.read(_VALUE_BYTES_MAX + 1)
    except OSError as error:
        raise AccessRefused(f"the git credentials in {path} cannot be read: {error.strerror}") from None
    text = data.decode("utf-8", errors="replace").removesuffix("\n").removesuffix("\r")
    if not text or len(data) > _VALUE_BYTES_MAX or re.search(r"[\x00\r\n]", text):
        raise AccessRefused(f"the git credentials in {path} are not one line of text")
    return text


def _helper(folder: Path) -> str:
    """A git credential helper that prints the files; `printf` is the shell's own, so no argv shows them."""
    lines = [
        f"printf '{name}=%s\\n' \"$(tr -d '\\r' < {shlex.quote(str(folder / name))})\""
        for name in ("username", "password")
    ]
    return f'!f() {{ test "$1" = get || exit 0; {"; ".join(lines)}; }}; f'


def _copied(folder: Path, scratch: Path) -> Path:
    """A folder of ours with the key, and with the host's keys: none are accepted where there is no list."""
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        copy = Path(tempfile.mkdtemp(prefix="key-", dir=scratch))
        for name in ("id", "known_hosts"):
            descriptor = os.open(copy / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as target:
                if (folder / name).exists():
                    with (folder / name).open("rb") as source:
                        shutil.copyfileobj(source, target)
    except OSError as error:
        raise GitError(f"the git credentials in {folder} cannot be read or copied: {error.strerror}") from None
    return copy


def _ssh(folder: Path, stall_s: float) -> str:
    def option(name: str, path: Path) -> str:
        text = str(path).replace("%", "%%")  # ssh_config(5): tokens
        return shlex.quote(f'-o{name}="{text}"')

    interval_s = max(1, round(stall_s / 4))
    options = (
        "-oBatchMode=yes -oStrictHostKeyChecking=yes -oUpdateHostKeys=no -oGlobalKnownHostsFile=none",
        "-oIdentitiesOnly=yes -oIdentityAgent=none -oPasswordAuthentication=no -oKbdInteractiveAuthentication=no",
        "-oClearAllForwardings=yes -oForwardAgent=no -oPermitLocalCommand=no -oControlMaster=no -oControlPath=none",
        f"-oConnectTimeout={max(1, round(stall_s))} -oServerAliveInterval={interval_s} -oServerAliveCountMax=4",
        option("IdentityFile", folder / "id"),
        option("UserKnownHostsFile", folder / "known_hosts"),
    )
    return "ssh -F none " + " ".join(options)
