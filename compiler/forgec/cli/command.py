"""What a command is to `main`, and the exit codes all of them share.

0 done; 1 findings, each with its place; 2 wrong usage; 70 a mistake of the compiler itself; 130 interrupted. A command
that has a use for 1 (as `diff` has) says with `error_exit` what findings end it with.
"""

import argparse
from collections.abc import Callable
from typing import Final

from msgspec import Struct

DONE: Final = 0
FOUND: Final = 1
USAGE: Final = 2
BUG: Final = 70  # EX_SOFTWARE of sysexits.h
INTERRUPTED: Final = 128 + 2
BROKEN_PIPE: Final = 128 + 13


class Command(Struct, frozen=True, kw_only=True):
    """`run` gives the exit code; what it cannot do it raises as a ForgeError.

    `arguments.usage` is the command's own parser, for `error` on what argparse cannot see; `arguments.report` takes
    findings that end nothing (see report.py), and is shown when `run` has ended.
    """

    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    error_exit: int = FOUND
