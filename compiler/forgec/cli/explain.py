"""`forgec explain [CODE]`: what a code means, why it is so and what to do; without a code, all of them."""

import argparse
import re
from typing import Final

from forgec.cli.command import DONE, Command
from forgec.cli.output import write
from forgec.diagnostic import Code

_NEAR_SHOWN: Final = 3


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "code", nargs="?", metavar="CODE", help="such as FC203; all codes with their titles if left out"
    )


def _run(arguments: argparse.Namespace) -> int:
    codes = {code.id: code for code in Code}
    if arguments.code is None:
        write("".join(f"{name}  {code.title}\n" for name, code in sorted(codes.items())).encode())
        return DONE
    name = arguments.code.upper()
    if name not in codes:
        arguments.usage.error(f"there is no code {arguments.code!r}; {_advice(name, list(codes))}")
    from forgec.explain.section import sections

    write(f"{name}: {codes[name].title}\n\n{sections()[name].text}\n".encode())
    return DONE


def _advice(name: str, codes: list[str]) -> str:
    """Of the same hundred the nearest ones, since a number is rather misremembered than misspelt."""
    if re.fullmatch(r"FC[0-9]{3}", name):
        same = [code for code in codes if code[:3] == name[:3]]
        near = sorted(same, key=lambda code: abs(int(code[2:]) - int(name[2:])))[:_NEAR_SHOWN]
        if near:
            return f"near it are {', '.join(sorted(near))}"
    return "`forgec explain` lists them"


COMMAND: Final = Command(add_arguments=_add_arguments, run=_run)
