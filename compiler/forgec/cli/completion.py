"""`forgec completion SHELL`: the script that completes this command line.

source <(forgec completion bash)        or in a file that the shell reads at its start
"""

import argparse
import importlib
from typing import Final

from forgec.cli.argument import path
from forgec.cli.command import DONE, Command
from forgec.cli.output import write

_SHELLS: Final = ("bash", "zsh", "fish")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=_SHELLS, metavar="SHELL", help=f"of {', '.join(_SHELLS)}")


def _run(arguments: argparse.Namespace) -> int:
    from forgec.cli.main import COMMANDS
    from forgec.completion import SHELLS, Completed, Option

    commands = []
    for name, purpose in COMMANDS.items():
        parser = argparse.ArgumentParser(prog=name)
        command: Command = importlib.import_module(f"forgec.cli.{name.replace('-', '_')}").COMMAND
        command.add_arguments(parser)
        options = tuple(
            Option(
                names=tuple(action.option_strings),
                purpose=(action.help or "").replace("%%", "%"),
                choices=_choices(action),
                file=_is_file(action),
                flag=action.nargs == 0,
            )
            for action in parser._actions
            if action.option_strings
        )
        given = [action for action in parser._actions if not action.option_strings]
        words = next((_choices(action) for action in given if _choices(action)), ())
        files = any(map(_is_file, given))
        commands.append(Completed(name=name, purpose=purpose, options=options, words=words, files=files))
    write(SHELLS[arguments.shell](commands).encode())
    return DONE


def _choices(action: argparse.Action) -> tuple[str, ...]:
    """Also of what argparse does not check itself."""
    from forgec.diagnostic import Code
    from forgec.manifest.target import VERSIONS

    known = {"CODE": tuple(code.id for code in Code), "VERSION": tuple(VERSIONS)}
    return tuple(map(str, action.choices or ())) or known.get(str(action.metavar), ())


def _is_file(action: argparse.Action) -> bool:
    return action.type is path or action.metavar == "FILE"


COMMAND: Final = Command(add_arguments=_add_arguments, run=_run)
