"""TLS for the connection to a build daemon, beside gRPC: the daemon's bytes, decrypted, on a socket of ours.

    gRPC channel -- unix socket (0700) --> relay -- TLS, our certificate --> daemon

gRPC's own TLS insists on a server that chooses a protocol (ALPN). The build tool's daemon chooses none, as seen with
its version of June 2026: "Cannot check peer: missing selected ALPN property". Python's TLS offers h2 and takes both.
"""

import asyncio
import os
import shutil
import socket
import ssl
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from forge_runtime.settings import TlsFiles
from forge_runtime.tasks import end_tasks

CONNECT_LIMIT_S: Final = 3.0

PLACE_BYTES_MAX: Final = 80
"""Of the folder for sockets: a socket's whole path has at most 103 bytes on some systems (unix(7): 107 on Linux)."""

FRESH_S: Final = 60.0
"""So old is a socket that is looked at: a younger one may be about to be opened."""

_PREFIX: Final = "forge-tls-"
_SOCKET: Final = "s"
_READ_BYTES: Final = 64 * 1024


@dataclass(slots=True)
class TlsRelay:
    """`why` is what went wrong with the last connection. Files are read for each, since certificates are renewed."""

    host: str
    port: int
    tls: TlsFiles
    why: str = ""
    _folder: Path | None = None
    _server: asyncio.Server | None = None
    _connections: set[asyncio.Task[None]] = field(default_factory=set)

    async def open(self) -> str:
        """Where gRPC connects to, without TLS. Raises OSError where there can be no socket, and leaves nothing then."""
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_place()))  # which nobody else may enter
        try:
            self._server = await asyncio.start_unix_server(self._accepted, path=folder / _SOCKET)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._folder = folder
        return f"unix:{folder / _SOCKET}"

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        await end_tasks(*self._connections)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._carry(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(CONNECT_LIMIT_S):
                context = _context(self.tls)
                far_reader, far_writer = await asyncio.open_connection(self.host, self.port, ssl=context)
        except (OSError, TimeoutError) as error:  # of TLS too
            self.why = _told(error)
            writer.close()
            return
        self.why = ""
        ways = [asyncio.create_task(_pump(reader, far_writer)), asyncio.create_task(_pump(far_reader, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end_tasks(*ways)
            far_writer.close()
            writer.close()


def sweep_relays() -> int:
    """Remove the sockets that killed workers left behind, where nobody answers; returns how many there were."""
    swept = 0
    for folder in _place().glob(f"{_PREFIX}*"):
        with suppress(OSError):  # another sweep's, another user's
            known = folder.lstat()
            if known.st_uid == os.getuid() and time.time() - known.st_mtime > FRESH_S and _is_dead(folder / _SOCKET):
                shutil.rmtree(folder)
                swept += 1
    return swept


def _place() -> Path:
    """Where temporary files go, unless a socket's path below it would be longer than systems take."""
    usual = Path(tempfile.gettempdir())
    return usual if len(os.fsencode(usual)) <= PLACE_BYTES_MAX else Path("/tmp")  # noqa: S108 - a folder by mkdtemp


def _is_dead(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return True
        except BlockingIOError:  # somebody who is busy
            return False
    return False


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(_READ_BYTES):
            writer.write(data)
            await writer.drain()


def _context(tls: TlsFiles) -> ssl.SSLContext:
    """Raises OSError, whose file is named where it is a file's fault."""
    for path in (tls.ca, tls.cert, tls.key):
        path.stat()  # whose error names the file, as that of OpenSSL does not
    context = ssl.create_default_context(cafile=tls.ca)
    context.load_cert_chain(tls.cert, tls.key)
    context.set_alpn_protocols(["h2"])
    return context


def _told(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no connection within {CONNECT_LIMIT_S:g} s"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or error}"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)
