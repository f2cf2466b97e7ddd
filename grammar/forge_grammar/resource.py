"""The grammars of this package by file name, and the tables that were made of them.

Read from the folder of this module, as wheels and editable checkouts both have it. `importlib.resources` would find
the same files, and its import takes longer than all of them.
"""

from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent


def data(name: str) -> bytes:
    """The grammar in the file `name`, such as `cue.lark`, or its table, `cue.lark.json`."""
    return (FOLDER / name).read_bytes()
