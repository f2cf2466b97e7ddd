"""Registries for tests: ours in a thread of this process, with faults if wanted, and others as processes."""

import os
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp
from tests.leash import on_leash

START_LIMIT_S = 30.0


@contextmanager
def serving(app: ASGIApp, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """`127.0.0.1:<port>`, where the application answers until the block is left."""
    config = uvicorn.Config(
        app, lifespan="off", ws="none", log_config=None, log_level="critical", timeout_graceful_shutdown=1
    )
    config.load()
    config.ssl = tls  # uvicorn itself would read it from files
    server = uvicorn.Server(config)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()  # from here on connections wait, so nobody has to
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="registry")
        thread.start()
        try:
            yield f"127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def process(command: Sequence[str | Path], port: int, log: Path) -> Iterator[str]:
    """Another registry, on its port of this machine, until the block is left."""
    with leashed(command, port, log):
        yield f"127.0.0.1:{port}"


@contextmanager
def leashed(command: Sequence[str | Path], port: int, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """The same, to be killed if that is wanted."""
    with log.open("ab") as output:
        running = subprocess.Popen(
            on_leash(command), stdout=output, stderr=output, env={"PATH": os.environ["PATH"], "HOME": str(log.parent)}
        )
    try:
        deadline = time.monotonic() + START_LIMIT_S
        while not _answers(port):
            assert running.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        yield running
    finally:
        running.terminate()
        try:
            running.wait(timeout=5)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait(timeout=5)


def _answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/", timeout=1).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True
