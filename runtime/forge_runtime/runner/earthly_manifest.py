"""The manifest that the build CLI writes when it ends: which command failed, where, and what kind of failure it was.

It comes from a flag that the CLI does not document, so it is used where it is there and reads, and missed by nobody.
Its texts are the repository's own and prove nothing; its kinds and places are the CLI's.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

MANIFEST_BYTES_MAX: Final = 16 * 1024 * 1024
"""A build of 1 000 commands writes 1 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """What the CLI says of a failure. `kind` is without its prefix ("NONZERO_EXIT"); `file` as in the Earthfile's
    place; `line` and `column` from 1."""

    kind: str
    message: str
    command: str | None = None
    exit_code: int | None = None
    file: str | None = None
    line: int | None = None
    column: int | None = None


def read_failure(path: Path) -> Failed | None:
    """None where there is no manifest, it does not read, or it knows of no failure."""
    try:
        with path.open("rb") as file:
            data = file.read(MANIFEST_BYTES_MAX + 1)
    except OSError:
        return None
    return failure_in(data) if len(data) <= MANIFEST_BYTES_MAX else None


def failure_in(data: bytes) -> Failed | None:
    try:
        manifest = _DECODER.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return None
    failure = manifest.failure
    if failure is None:
        return None
    command = manifest.commands.get(failure.command_id)
    place = command.source_location if command else None
    return Failed(
        kind=failure.type.removeprefix("FAILURE_TYPE_"),
        message=failure.error_message,
        command=(command.name or None) if command else None,
        exit_code=exit_code_in(failure.error_message),
        file=(place.file or None) if place else None,
        line=place.start_line if place and place.start_line > 0 else None,
        column=place.start_column if place and place.start_column > 0 else None,
    )


def exit_code_in(text: str) -> int | None:
    """Of the command that failed, from the CLI's sentence at the end; the command's own text stands before it."""
    codes = _EXIT_CODE.findall(text)
    return int(codes[-1]) if codes else None


class _Place(Struct, rename="camel"):
    file: str = ""
    start_line: int = 0
    start_column: int = 0


class _Command(Struct, rename="camel"):
    name: str = ""
    source_location: _Place | None = None


class _Failure(Struct, rename="camel"):
    type: str = ""
    command_id: str = ""
    error_message: str = ""


class _Manifest(Struct, rename="camel"):
    commands: dict[str, _Command] = {}
    failure: _Failure | None = None


_DECODER: Final = msgspec.json.Decoder(_Manifest)
_EXIT_CODE: Final = re.compile(r"did not complete successfully\. Exit code (\d{1,3})\b")
