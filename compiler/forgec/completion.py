"""Completion for shells: a script made from what the commands' parsers know, for `bash`, `zsh` and `fish`.

The script holds every name, so completing starts no Python. A file is offered where one is asked for, and nowhere else.
"""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """`names` with their dashes; `choices` of its value, or whether it is a `file`. A flag takes no value."""

    names: tuple[str, ...]
    purpose: str
    choices: tuple[str, ...] = ()
    file: bool = False
    flag: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """A command; `words` are the choices of its first argument. `files`: it takes some as arguments."""

    name: str
    purpose: str
    options: tuple[Option, ...]
    words: tuple[str, ...] = ()
    files: bool = False


def bash(commands: Sequence[Completed]) -> str:
    """To bash a `=` is a word of its own, and words are as they were typed, with quotes and backslashes."""
    cases = []
    for command in commands:
        names = [name for option in command.options for name in option.names]
        values = "".join(
            f"        {'|'.join(option.names)})"
            f" words={shlex.quote(' '.join(option.choices))} files={_yes(option.file)} ;;\n"
            for option in command.options
            if not option.flag
        )
        cases.append(
            f"    {command.name})\n"
            f"      options={shlex.quote(' '.join(names))} words={shlex.quote(' '.join(command.words))}\n"
            f"      files={_yes(command.files)}\n"
            '      if [ "$COMP_CWORD" -eq 2 ] && [ -n "$words" ]; then files=""; fi\n'
            f'      case "$previous" in\n{values}        *) words="$words $options" ;;\n      esac ;;\n'
        )
    first = " ".join([*(command.name for command in commands), "--help", "--version"])
    return (
        "_forgec() {\n"
        '  local current="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}"\n'
        '  local words="" options="" files="" name\n'
        '  if [ "$previous" = "=" ]; then previous="${COMP_WORDS[COMP_CWORD-2]}"; fi\n'
        '  if [ "$current" = "=" ]; then current=""; fi\n'
        '  if [ "$COMP_CWORD" -eq 1 ]; then\n'
        f'    COMPREPLY=($(compgen -W {shlex.quote(first)} -- "$current"))\n'
        "    return\n"
        "  fi\n"
        '  case "${COMP_WORDS[1]}" in\n' + "".join(cases) + "  esac\n"
        '  COMPREPLY=($(compgen -W "$words" -- "$current"))\n'
        '  if [ -z "$files" ]; then return; fi\n'
        '  case "$current" in -*) return ;; esac\n'
        """  current="${current#[\\"\\']}"\n"""
        '  while IFS= read -r name; do COMPREPLY+=("$name"); done < <(compgen -f -- "${current//\\\\/}")\n'
        "}\n"
        "complete -o filenames -F _forgec forgec\n"
    )


def _yes(files: bool) -> str:
    return "yes" if files else '""'


def zsh(commands: Sequence[Completed]) -> str:
    names = "\n".join(f"    {_zsh_item(command.name, command.purpose)}" for command in commands)
    cases = []
    for command in commands:
        lines = [f"      {spec} \\" for option in command.options for spec in _zsh_options(option)]
        first = [f"'1:argument:({' '.join(command.words)})'"] if command.words else []
        others = "'*:file:_files'" if command.files else "'*:argument: '"
        cases.append(
            "\n".join([f"    ({command.name}) _arguments -s \\", *lines, f"      {' '.join([*first, others])} ;;"])
        )
    return (
        "#compdef forgec\n"
        "_forgec() {\n"
        "  local -a commands\n"
        f"  commands=(\n{names}\n  )\n"
        "  if (( CURRENT == 2 )); then\n"
        "    _describe command commands\n"
        "    return\n"
        "  fi\n"
        "  local command=$words[2]\n"
        "  shift words; (( CURRENT-- ))\n"
        "  case $command in\n" + "\n".join(cases) + "\n  esac\n"
        "}\n"
        "compdef _forgec forgec\n"
    )


def _zsh_options(option: Option) -> list[str]:
    """`--name[purpose]:value:(choices)`; brackets and colons of a purpose would end it."""
    purpose = option.purpose.translate({ord("["): "(", ord("]"): ")", ord(":"): " -"})
    action = f"({' '.join(option.choices)})" if option.choices else "_files" if option.file else " "
    value = "" if option.flag else f":value:{action}"
    return [shlex.quote(f"{name}[{purpose}]{value}") for name in option.names]


def _zsh_item(name: str, purpose: str) -> str:
    return shlex.quote(f"{name}:{purpose}")


def fish(commands: Sequence[Completed]) -> str:
    lines = []
    for command in commands:
        lines.append(
            "complete -c forgec -n __fish_use_subcommand -f"
            f" -a {shlex.quote(command.name)} -d {shlex.quote(command.purpose)}"
        )
        seen = f"complete -c forgec -n {shlex.quote(f'__fish_seen_subcommand_from {command.name}')}"
        if not command.files:
            lines.append(f"{seen} -f")
        if command.words:
            lines.append(f"{seen} -a {shlex.quote(' '.join(command.words))}")
        for option in command.options:
            names = " ".join(
                f"-l {name.removeprefix('--')}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names
            )
            offered = f" -x -a {shlex.quote(' '.join(option.choices))}" if option.choices else " -x"
            value = "" if option.flag else " -r -F" if option.file else offered
            lines.append(f"{seen} {names}{value} -d {shlex.quote(option.purpose)}")
    return "\n".join(lines) + "\n"


SHELLS: Final[dict[str, Callable[[Sequence[Completed]], str]]] = {"bash": bash, "zsh": zsh, "fish": fish}
