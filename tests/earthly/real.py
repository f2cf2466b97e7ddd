"""The real build CLI and daemons, where this machine has them.

| variable | is |
|---|---|
| FORGE_TEST_EARTH | the CLI; else `earth` or `earthly` on PATH |
| FORGE_TEST_BUILDKITD | a daemon's program; else `buildkitd` on PATH, else one that Go builds from `buildkitd/go.mod` |
| FORGE_TEST_BUILDKIT_HOST | tcp://host:port of a daemon of the build tool's own that runs, for builds |
| FORGE_TEST_EARTH_BUILDKITD | the program of such a daemon, for builds over TLS |
"""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.earthly.daemon import HOST, Authority
from tests.go_tool import Unavailable, built
from tests.judge import Judged, cases, version_of

from forge_runtime.runner.cli import find_cli, parse_version
from forge_runtime.runner.endpoint import Endpoint

SOURCE = Path(__file__).with_name("buildkitd")
BUILD_LIMIT_S = cases(1, full=900)
"""Compiling it takes minutes, once; `make conformance` waits for that, and the usual run takes what is there."""


def real_cli(judged: Judged) -> str:
    found = os.environ.get("FORGE_TEST_EARTH") or find_cli(shutil.which)
    if not found:
        judged.absent("earth", "neither earth nor earthly is on PATH, and FORGE_TEST_EARTH names none")
    version = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=30, check=True).stdout
    cli = parse_version(found, version)
    assert cli is not None, version
    judged(cli.name, version.split()[2].removeprefix("v"), "calls of the build CLI", 1)
    return found


def real_host(judged: Judged) -> str:
    host = os.environ.get("FORGE_TEST_BUILDKIT_HOST")
    if not host:
        judged.absent("the build tool's daemon", "FORGE_TEST_BUILDKIT_HOST names none that runs")
    return host


class RealDaemon:
    """buildkitd with a stand-in for runc: it answers, lists its worker, and would fail to run a command."""

    def __init__(self, program: Path, folder: Path, port: int, tls: Authority | None, client: bool) -> None:
        files = tls.files() if tls else None
        self.endpoint = Endpoint(address=f"tcp://{HOST}:{port}", tls=files)
        runc = folder / "bin" / "runc"
        runc.parent.mkdir(parents=True, exist_ok=True)
        runc.write_text("#!/bin/sh\nexit 1\n")
        runc.chmod(0o755)
        self._command = [str(program), "--root", str(folder / "root"), "--addr", self.endpoint.address]
        self._command += ["--oci-worker=true", "--oci-worker-net=host", "--oci-worker-snapshotter=native"]
        self._command += [f"--oci-worker-binary={runc}", "--containerd-worker=false"]
        if tls:
            ca, cert, key = tls.server_files()
            self._command += ["--tlscert", str(cert), "--tlskey", str(key)]
            self._command += ["--tlscacert", str(ca)] if client else []
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, start_new_session=True)
        end = time.monotonic() + 30
        while b"running server on" not in self._log.read_bytes():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < end, self._log.read_text()
            time.sleep(0.02)

    def stop(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


@contextmanager
def own_daemon(judged: Judged, folder: Path, port: int, *, tls: Authority) -> Iterator[RealDaemon]:
    """One that the build CLI can build on, for those who show a certificate."""
    found = os.environ.get("FORGE_TEST_EARTH_BUILDKITD")
    if not found:
        judged.absent("the build tool's daemon", "FORGE_TEST_EARTH_BUILDKITD names no program")
    daemon = RealDaemon(Path(found), folder, port, tls, client=True)
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.stop()


@contextmanager
def real_daemon(
    judged: Judged, folder: Path, port: int, *, tls: Authority | None = None, client: bool = False
) -> Iterator[RealDaemon]:
    if os.geteuid() != 0:
        judged.absent("buildkitd", "it wants to be root")
    found = os.environ.get("FORGE_TEST_BUILDKITD") or shutil.which("buildkitd")
    try:
        program = Path(found) if found else built("buildkitd", SOURCE, _PACKAGES, limit_s=BUILD_LIMIT_S) / "buildkitd"
    except Unavailable as reason:
        judged.absent("buildkitd", str(reason))
    version = version_of(str(program), "--version") if found else _MODULE.findall((SOURCE / "go.mod").read_text())[0]
    judged("buildkitd", version, "daemons probed", 1)
    daemon = RealDaemon(program, folder, port, tls, client)
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.stop()


_MODULE = re.compile(r"^require github.com/moby/buildkit v(\S+)", re.MULTILINE)
_PACKAGES = {"buildkitd": "github.com/moby/buildkit/cmd/buildkitd"}
