"""The fake CLI as a program in a folder of its own, and what it was called with."""

import json
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SOURCE = Path(__file__).with_name("fake_cli.py")


@dataclass
class FakeCli:
    folder: Path
    name: str = "earth"

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        copy = self.folder / _SOURCE.name
        copy.write_text(_SOURCE.read_text())
        call = f"{shlex.quote(sys.executable)} {shlex.quote(str(copy))}"
        self.program.write_text(f'#!/bin/sh\nFAKE_EARTHLY_NAME={self.name} exec {call} "$@"\n')
        self.program.chmod(0o755)
        self.behave()

    @property
    def program(self) -> Path:
        return self.folder / self.name

    def behave(self, **script: object) -> None:
        """What it does from now on; see the table in fake_cli.py."""
        (self.folder / "fake.json").write_text(json.dumps(script))

    @property
    def calls(self) -> list[Mapping[str, Any]]:
        """Of builds, in order; `--version` is none."""
        file = self.folder / "called.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    @property
    def called(self) -> Mapping[str, Any]:
        """The only call."""
        (call,) = self.calls
        return call
