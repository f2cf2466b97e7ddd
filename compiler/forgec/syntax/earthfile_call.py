"""What the commands of an Earthfile call: targets, their artifacts, and functions."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from forgec.source import Span
from forgec.syntax import earthfile_ast as ast


class Call(Struct, frozen=True, kw_only=True):
    """A reference with what is passed along. `certain` calls happen whenever their recipe runs to its end.

    Of `args` one whose name contains `$` may come to be any. `pass_args` adds all that the caller has.
    `to_dockerfile`: the arguments are for a Dockerfile too.
    """

    reference: ast.Reference
    args: tuple[ast.Flag, ...]
    pass_args: bool
    certain: bool
    to_dockerfile: bool


def walk(recipe: ast.Recipe) -> Iterator[ast.Command]:
    """All commands of a recipe in order, those inside blocks too."""
    for command, _certain in placed(recipe):
        yield command


def placed(recipe: ast.Recipe, *, certain: bool = True) -> Iterator[tuple[ast.Command, bool]]:
    """All commands in order, each with whether it is reached whatever conditions and lists come to."""
    for command in recipe:
        yield command, certain
        match command:
            case ast.If():
                for branch in command.branches:
                    yield from placed(branch.body, certain=False)
                yield from placed(command.otherwise, certain=False)
            case ast.For():
                yield from placed(command.body, certain=False)
            case ast.Wait() | ast.WithDocker():
                yield from placed(command.body, certain=certain)
            case ast.Try():
                yield from placed(command.body, certain=certain)
                yield from placed(command.caught, certain=False)
                yield from placed(command.finally_, certain=certain)
            case _:
                pass


def declared_args(recipe: ast.Recipe) -> Mapping[str, ast.Arg]:
    """The ARGs of a recipe by name; the first declaration of a name counts."""
    found: dict[str, ast.Arg] = {}
    for command in walk(recipe):
        if isinstance(command, ast.Arg):
            found.setdefault(command.name, command)
    return found


def calls(command: ast.Command, *, certain: bool = True) -> Iterator[Call]:
    """What one command calls, without the commands inside its block."""
    match command:
        case ast.From():
            operands: tuple[ast.Operand, ...] = (command.base,)
        case ast.FromDockerfile() | ast.Copy():
            operands = command.sources
        case ast.WithDocker():
            operands = command.loads
        case ast.Build():
            operands = (command.target,)
        case ast.Do():
            operands = (command.function,)
        case _:
            return
    build_args = tuple(_build_arg(flag) for flag in command.flags if flag.name == "build-arg")
    for operand in operands:
        reference = _reference(command, operand)
        if reference is not None:
            yield Call(
                reference=reference,
                args=operand.args + build_args,
                pass_args=any(flag.name == "pass-args" and flag.value != "false" for flag in command.flags),
                certain=certain,
                to_dockerfile=isinstance(command, ast.FromDockerfile),
            )


def is_self_contained(earthfile: ast.Earthfile) -> bool:
    """Whether all that its recipes call is in the same file."""
    recipes = (earthfile.base, *(each.recipe for each in (*earthfile.targets.values(), *earthfile.functions.values())))
    commands = (command for recipe in recipes for command in walk(recipe))
    return all(call.reference.project == "" for command in commands for call in calls(command))


def parse_reference(text: str, span: Span, *, function: bool = False) -> ast.Reference | None:
    """`project+name` or `project+name/path`; None if the text is no reference (an image, a file)."""
    quoted = len(text) > 2 and text[0] == text[-1] and text[0] in "'\""
    match = _REFERENCE.fullmatch(text[1:-1] if quoted else text)
    if match is None:
        return None
    return ast.Reference(
        project=match["project"],
        name=match["name"],
        path=match["path"],
        function=function,
        dynamic=_DYNAMIC.search(match["project"] + match["name"]) is not None,
        span=span,
    )


def _reference(command: ast.Command, operand: ast.Operand) -> ast.Reference | None:
    """None for an image or a file. BUILD and DO name nothing else, so there any text is one."""
    function = isinstance(command, ast.Do)
    reference = parse_reference(operand.text, operand.span, function=function)
    takes_artifacts = isinstance(command, ast.Copy | ast.FromDockerfile)
    if reference is not None and takes_artifacts and reference.path is None:
        return None  # a file whose name has a plus
    if reference is not None and not takes_artifacts and reference.path is not None:
        return replace(reference, name=f"{reference.name}/{reference.path}", path=None)
    if reference is None and isinstance(command, ast.Build | ast.Do | ast.WithDocker):
        dynamic = _DYNAMIC.search(operand.text) is not None
        return ast.Reference(
            project=operand.text, name="", path=None, function=function, dynamic=dynamic, span=operand.span
        )
    return reference


def _build_arg(flag: ast.Flag) -> ast.Flag:
    """`--build-arg name=value` as `--name=value`."""
    name, equal, value = (flag.value or "").partition("=")
    return ast.Flag(name=name, value=value if equal else None, span=flag.span)


_REFERENCE: Final = re.compile(r"(?P<project>(?:[^+\\\s]|\\.)*)\+(?P<name>[^+/\s]+)(?:/(?P<path>.*))?", re.DOTALL)
_DYNAMIC: Final = re.compile(r"[$*\"']")
"""A variable, a wildcard, or quotes in the middle, which are not taken apart here."""
