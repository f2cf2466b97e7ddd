"""Output: to standard output or, whole or not at all, to a file."""

import argparse
import contextlib
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from forgec.cli.argument import STREAM, path
from forgec.diagnostic import Code, ForgeError, fail

if TYPE_CHECKING:
    from pathlib import Path


def add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o",
        "--output",
        type=lambda text: None if text == STREAM else path(text),
        metavar="FILE",
        help="replace this file instead of printing",
    )


def write(data: bytes, target: str | None = None) -> None:
    """`target`: the file to replace; None for standard output."""
    try:
        if target is None:
            sys.stdout.buffer.write(data)
            sys.stdout.flush()
        else:
            _write_file(data, resolved(target))
    except BrokenPipeError:
        raise
    except OSError as error:
        if target is None:
            drop_standard_output()
        raise unwritable(target, error) from None


def resolved(target: str) -> "Path":
    """The file to replace, behind all links; OSError where there can be none, as with links in a circle."""
    from pathlib import Path

    with contextlib.suppress(FileNotFoundError):
        os.stat(target)  # noqa: PTH116
    return Path(target).resolve()


def unwritable(target: str | None, error: OSError) -> ForgeError:
    where = "to standard output" if target is None else target
    return fail(Code.UNWRITABLE, f"cannot write {where}: {error.strerror}")


def write_files(contents: "Mapping[Path, bytes]") -> None:
    """Replace all of these files, or none of them."""
    staged: dict[Path, Path] = {}
    before: dict[Path, bytes | None] = {}
    replaced: list[Path] = []
    try:
        before |= {target: target.read_bytes() if target.is_file() else None for target in contents}
        for target, data in contents.items():
            staged[target] = _staged(data, target)
        for target, temporary in staged.items():
            temporary.replace(target)
            replaced.append(target)
    except OSError as error:
        for target in replaced:
            _restore(target, before[target])
        raise fail(Code.UNWRITABLE, f"cannot write {error.filename}: {error.strerror}; nothing was changed") from None
    finally:
        for temporary in staged.values():
            temporary.unlink(missing_ok=True)


def drop_standard_output() -> None:
    """What is left in its buffer would fail once more, with a complaint, when the interpreter flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _write_file(data: bytes, target: "Path") -> None:
    """Whole or not at all: a reader of the file never sees a part, and an error leaves what was there."""
    if target.exists() and not target.is_file():  # a device or a pipe cannot be replaced
        target.write_bytes(data)
        return
    temporary = _staged(data, target)
    try:
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _staged(data: bytes, target: "Path") -> "Path":
    """The data in a file beside the target, for `replace`."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _restore(target: "Path", data: bytes | None) -> None:
    if data is None:
        target.unlink(missing_ok=True)
    else:
        target.write_bytes(data)
