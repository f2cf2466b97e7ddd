"""Output: to standard output or, whole or not at all, to a file."""

import argparse
import contextlib
import os
import stat
import sys
from collections.abc import Sequence
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
    if target is not None:
        write_files([(target, data)])
        return
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        drop_standard_output()
        raise unwritable(None, error) from None


def write_files(contents: Sequence[tuple[str, bytes]]) -> None:
    """Replace all of these files, or none of them: each is whole at any time. A device or a pipe is written to."""
    staged: dict[Path, Path] = {}
    before: dict[Path, bytes | None] = {}
    name = ""
    try:
        for name, data in contents:
            file = resolved(name)
            if file.is_file() or not file.exists():
                before[file] = file.read_bytes() if file.is_file() else None
                staged[file] = _staged(data, file)
        for name, data in contents:
            file = resolved(name)
            if file in staged:
                staged[file].replace(file)
            else:
                file.write_bytes(data)
    except BrokenPipeError:
        raise
    except OSError as error:
        for file, temporary in staged.items():
            if not temporary.exists():
                _restore(file, before[file])
        raise unwritable(name, error, alone=len(contents) == 1) from None
    finally:
        for temporary in staged.values():
            temporary.unlink(missing_ok=True)


def resolved(target: str) -> "Path":
    """The file to replace, behind all links; OSError where there can be none, as with links in a circle.

    A device or a pipe is what its name says: what stands behind /dev/stdout may have no name.
    """
    from pathlib import Path

    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(os.stat(target).st_mode):  # noqa: PTH116
            return Path(target)
    return Path(target).resolve()


def unwritable(target: str | None, error: OSError, *, alone: bool = True) -> ForgeError:
    where = "to standard output" if target is None else target
    rest = "" if alone else "; nothing was changed"
    return fail(Code.UNWRITABLE, f"cannot write {where}: {error.strerror}{rest}")


def drop_standard_output() -> None:
    """What is left in its buffer would fail once more, with a complaint, when the interpreter flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _staged(data: bytes, target: "Path") -> "Path":
    """The data in a file beside the target, for `replace`; it has the target's mode.

    By chance its name is nobody's: that of a process is, in a container, also the one that was killed before.
    """
    temporary = target.with_name(f".forgec-{os.urandom(8).hex()}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
        if target.exists():
            temporary.chmod(stat.S_IMODE(target.stat().st_mode))
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _restore(target: "Path", data: bytes | None) -> None:
    if data is None:
        target.unlink(missing_ok=True)
    else:
        target.write_bytes(data)
