"""The grammars of this package by file name.

Read through `importlib.resources`, so an installed wheel and an editable checkout find the same text.
"""

from importlib.resources import files


def text(name: str) -> str:
    """The grammar in the file `name`, such as `cue.lark`."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
