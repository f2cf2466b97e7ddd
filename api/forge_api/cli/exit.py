"""How `forge` ends: its exit codes, and the line that says why."""

import sys
from typing import Final

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNREACHABLE: Final = 75
EXIT_CONFIGURATION: Final = 78
EXIT_INTERRUPTED: Final = 130


def complain(message: str, code: int) -> int:
    print(f"forge: {message}", file=sys.stderr)
    return code
