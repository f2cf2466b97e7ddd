"""What executables say of themselves: real ones, as compilers make them, and headers that lie."""

import io
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge_runtime.produce.executable import Executable, read_executable


def described(data: bytes) -> Executable | None:
    return read_executable(io.BytesIO(data))


def test_this_python_is_an_executable_of_this_machine() -> None:
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)

    with Path(os.path.realpath(sys.executable)).open("rb") as file:
        assert read_executable(file) == Executable("linux", machine, static=False)


@pytest.mark.parametrize(
    "platform",
    ["linux/amd64", "linux/arm", "linux/s390x", "darwin/arm64", "windows/amd64"],
)
def test_what_go_builds_is_read_as_what_it_was_built_for(platform: str, tmp_path: Path) -> None:
    go = shutil.which("go")
    if go is None:
        pytest.skip("Go, which builds the programs, is not installed")
    system, _, arch = platform.partition("/")
    source = tmp_path / "main.go"
    source.write_text("package main\n\nfunc main() {}\n")
    environment = os.environ | {"GOOS": system, "GOARCH": arch, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"}
    command = ["nice", go, "build", "-o", str(tmp_path / "program"), str(source)]
    built = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    if built.returncode != 0:
        pytest.skip(f"Go cannot build for {platform}: {built.stderr[-200:]}")

    with (tmp_path / "program").open("rb") as file:
        found = read_executable(file)

    assert found == Executable(system, arch, static=system == "linux")


def test_a_script_runs_anywhere() -> None:
    assert described(b"#!/bin/sh\n") == Executable("any", "any", static=False)


def test_a_universal_program_is_told_from_a_java_class() -> None:
    assert described(b"\xca\xfe\xba\xbe" + struct.pack(">I", 2) + bytes(40)) == Executable(
        "darwin", "universal", static=False
    )
    assert described(b"\xca\xfe\xba\xbe" + struct.pack(">I", 65) + bytes(40)) is None


@pytest.mark.parametrize("data", [b"", b"#", b"hello", b"\x7fELF", b"MZ" + bytes(10), b"\xcf\xfa\xed\xfe"])
def test_what_is_no_executable_is_none(data: bytes) -> None:
    assert described(data) is None


@settings(deadline=None)
@given(
    st.sampled_from([b"\x7fELF\x02\x01\x01\x00", b"\x7fELF\x01\x02", b"MZ", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe"]),
    st.binary(max_size=300),
)
def test_headers_that_lie_are_no_trouble(start: bytes, rest: bytes) -> None:
    found = described(start + rest)

    assert found is None or found.os in {"linux", "darwin", "windows", "netbsd", "freebsd", "openbsd", "solaris"}
