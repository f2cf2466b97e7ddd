"""Do the targets that a project names exist in its Earthfile, and do they declare the arguments they are given?

Only what is certain is an error. An Earthfile that cannot be read here may still be one that Earthly reads, so it is a
warning and its targets are found missing when they run.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from forgec.diagnostic import Code, Diagnostic, ForgeError, Related, Severity
from forgec.discovery.place import place
from forgec.discovery.rules import build_arg_name, suggestion
from forgec.source import Source
from forgec.syntax.data import Node
from forgec.syntax.earthfile import parse_earthfile
from forgec.syntax.earthfile_ast import Build, Copy, Do, Earthfile, From, Target
from forgec.syntax.earthfile_call import declared_args, walk


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetUse:
    """A step or a producer: its target and arguments, and the node that holds both."""

    target: str
    args: tuple[str, ...]
    node: Node


def check_targets(uses: Sequence[TargetUse], source: Source) -> Iterator[Diagnostic]:
    """`source` is the Earthfile of the project that the uses belong to."""
    try:
        earthfile = parse_earthfile(source)
    except ForgeError as error:
        first = error.diagnostics[0]
        message = f"the targets of this Earthfile cannot be checked before they run: {first.message}"
        yield Diagnostic(Code.TARGET_DYNAMIC, message, first.span, help=first.help, severity=Severity.WARNING)
        return
    for use in uses:
        target = earthfile.targets.get(use.target.removeprefix("+"))
        if target is None:
            message = f'target "{use.target}" is not in {source.name}'
            advice = suggestion(use.target, (f"+{name}" for name in earthfile.targets))
            yield Diagnostic(Code.TARGET_MISSING, message, place(use.node, "target"), help=advice)
        else:
            yield from _check_args(use, target, earthfile)


_PASS_ARGS_SINCE = (0, 7)
"""From this language version on arguments reach another target only where `--pass-args` says so."""


def _check_args(use: TargetUse, target: Target, earthfile: Earthfile) -> Iterator[Diagnostic]:
    if _passes_args_on(target, earthfile):
        return
    declared = {*declared_args(earthfile.base), *declared_args(target.recipe)}
    for index, arg in enumerate(use.args):
        name = build_arg_name(arg)
        if name is not None and name not in declared:
            known = ", ".join(sorted(declared_args(target.recipe)))
            yield Diagnostic(
                Code.BAD_VALUE,
                f'target "{use.target}" declares no argument "{name}"',
                place(use.node, "args", index),
                (Related(target.span, "the target"),),
                help=f"it declares {known}" if known else f'declare it in the target with "ARG {name}"',
            )


def _passes_args_on(target: Target, earthfile: Earthfile) -> bool:
    """Whether an argument that the target does not declare may still matter to what it uses."""
    version = tuple(int(part) for part in (earthfile.version or "0").split(".") if part.isdigit())
    if version < _PASS_ARGS_SINCE:
        return True
    return any(
        flag.name == "pass-args"
        for command in walk(target.recipe)
        if isinstance(command, From | Copy | Build | Do)
        for flag in command.flags
    )
