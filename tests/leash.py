"""Child processes that do not outlive the process that started them, however that one ends.

The kernel kills such a child (PR_SET_PDEATHSIG, set by setpriv of util-linux between fork and exec): it works when we
are killed ourselves and cannot clean up, and on a child that is stopped. "The process" is to the kernel the thread that
started it: start what must last in a thread that lasts. The child's own children are not on the leash.
"""

from collections.abc import Sequence
from os import PathLike


def on_leash(command: Sequence[str | PathLike[str]]) -> tuple[str | PathLike[str], ...]:
    """The command that starts this one on a leash, under the same process id."""
    return ("setpriv", "--pdeathsig", "KILL", "--", *command)
