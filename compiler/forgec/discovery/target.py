"""Do the targets that projects name exist, with all that they lead to, and are they given the arguments they take?

Only what is certain is an error. What may yet turn out well when it runs, and what cannot be told before, is a warning.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from forgec.diagnostic import Code, Diagnostic, Related, Severity
from forgec.discovery.argument import Arguments, reserved
from forgec.discovery.earthfiles import Earthfiles, NoEarthfile
from forgec.discovery.place import left_out, place
from forgec.discovery.recipe import RecipeId, Recipes
from forgec.discovery.rules import build_arg_name
from forgec.syntax.data import Node
from forgec.syntax.earthfile_ast import Earthfile
from forgec.syntax.earthfile_builtin import BUILT_IN_ARGS
from forgec.syntax.earthfile_call import is_self_contained


class TargetUse(Struct, frozen=True, kw_only=True):
    """A step or a producer: its target and arguments, and the node that holds both."""

    target: str
    args: tuple[str, ...]
    node: Node


WARNINGS_MAX: Final = 200
"""Of one tree: they are part of the discovery document, which must not become too large by them."""


class TargetCheck:
    """The check of a whole tree: what one project's targets lead to is not walked again for another's."""

    def __init__(self, earthfiles: Earthfiles) -> None:
        self._earthfiles = earthfiles
        self._recipes = Recipes(self._earthfiles)
        self._arguments = Arguments(self._recipes)
        self._warnings = 0

    def earthfile(self, directory: str) -> Earthfile | None:
        """None where there is none that can be read."""
        found = self._earthfiles.at(directory)
        return found if isinstance(found, Earthfile) else None

    def is_faultless(self, directory: str, uses: Sequence[TargetUse]) -> bool:
        """Whether an Earthfile calls nothing outside of itself, and nothing is wrong with what is used of it.

        Then it stays so until one of both changes, and `check`, which tells a mistake once, to whoever leads there
        first, has nothing to tell of these targets to anybody.
        """
        earthfile = self.earthfile(directory)
        if earthfile is None or not is_self_contained(earthfile):
            return False
        return next(TargetCheck(self._earthfiles).check(directory, uses), None) is None

    def check(self, directory: str, uses: Sequence[TargetUse]) -> Iterator[Diagnostic]:
        """`directory` is the project's, relative to the root."""
        for finding in self._check(directory, uses):
            if finding.severity is Severity.WARNING:
                self._warnings += 1
            if finding.severity is Severity.ERROR or self._warnings < WARNINGS_MAX:
                yield finding
            elif self._warnings == WARNINGS_MAX:
                message = f"{finding.message} (further warnings of Earthfiles are left out)"
                yield replace(finding, message=message)

    def _check(self, directory: str, uses: Sequence[TargetUse]) -> Iterator[Diagnostic]:
        if not uses:
            return
        earthfile = self._earthfiles.at(directory)
        if isinstance(earthfile, NoEarthfile):
            yield from _no_earthfile(earthfile, uses[0])
            return
        for use in uses:
            id_ = RecipeId(directory, use.target.removeprefix("+"))
            if self._recipes.find(id_) is None:
                message = f'target "{use.target}" is not in {earthfile.source.name}'
                advice = self._recipes.elsewhere(id_)
                yield Diagnostic(Code.TARGET_MISSING, message, place(use.node, "target"), help=advice)
            else:
                yield from self._check_use(id_, use)

    def _check_use(self, id_: RecipeId, use: TargetUse) -> Iterator[Diagnostic]:
        reached, findings = self._recipes.reach(id_, place(use.node, "target"))
        yield from findings
        yield from self._arguments.settle(reached)
        yield from self._check_args(id_, use)

    def _check_args(self, id_: RecipeId, use: TargetUse) -> Iterator[Diagnostic]:
        given: dict[str, str] = {}
        for index, text in enumerate(use.args):
            name = build_arg_name(text)
            if name is None:
                continue
            given[name] = text.partition("=")[2]
            span = place(use.node, "args", index)
            if name in BUILT_IN_ARGS:
                yield reserved(name, span)
            elif not self._arguments.takes(id_, name):
                yield self._arguments.undeclared(id_, name, span, (), severity=Severity.ERROR)
        for need in self._arguments.needs(id_):
            if given.get(need.name) or left_out(use.node, "args"):
                continue
            how = "given an empty one" if need.name in given else "not given one"
            yield Diagnostic(
                Code.ARG_REQUIRED,
                f'target "{use.target}" requires a value for the argument "{need.name}", and is {how}',
                place(use.node, "target"),
                need.related,
                help=f'add args: ["--{need.name}=value"]',
                severity=need.severity,
            )


def _no_earthfile(absent: NoEarthfile, use: TargetUse) -> Iterator[Diagnostic]:
    asked = place(use.node, "target")
    if not absent.findings:
        message = f'target "{use.target}" cannot be found: {absent.reason}'
        yield Diagnostic(Code.EARTHFILE_MISSING, message, asked)
    for finding in absent.findings:
        yield replace(finding, related=(*finding.related, Related(asked, "a target of it is asked for here")))
