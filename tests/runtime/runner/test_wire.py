"""The generated messages are what their .proto file says. FORGE_GOLDEN=write writes them anew."""

import os
import subprocess
import sys
from pathlib import Path

RUNTIME = Path(__file__).resolve().parents[3] / "runtime"
PROTO = "forge_runtime/runner/wire/control.proto"


def test_generated_messages_are_those_of_the_proto_file(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        "-I",
        ".",
        f"--python_out={tmp_path}",
        f"--pyi_out={tmp_path}",
    ]
    subprocess.run([*command, PROTO], cwd=RUNTIME, check=True, timeout=60)

    for name in ("control_pb2.py", "control_pb2.pyi"):
        made = (tmp_path / PROTO).with_name(name).read_bytes()
        kept = (RUNTIME / PROTO).with_name(name)
        if os.environ.get("FORGE_GOLDEN") == "write":
            kept.write_bytes(made)
        assert kept.read_bytes() == made
