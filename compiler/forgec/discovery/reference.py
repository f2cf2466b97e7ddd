"""Where a reference of an Earthfile leads: to a directory of the tree, to another repository, or nobody can say yet."""

import posixpath
import re

from msgspec import Struct

from forgec.diagnostic import Code, Diagnostic
from forgec.nearest import did_you_mean
from forgec.syntax import earthfile_ast as ast
from forgec.syntax.earthfile_call import walk


class Here(Struct, frozen=True, kw_only=True):
    """A directory of the tree. `same_file`: the reference names no file, so its own is meant."""

    directory: str
    same_file: bool
    imported: ast.Import | None


class Elsewhere(Struct, frozen=True, kw_only=True):
    repository: str
    same_file: bool = False


class Unknown(Struct, frozen=True, kw_only=True):
    """It depends on what variables come to, or on which directories match."""

    message: str
    same_file: bool


class Matching(Struct, frozen=True, kw_only=True):
    """Every directory whose path matches, segment by segment."""

    pattern: str
    same_file: bool = False


class Imports:
    """The IMPORTs in force at a place: those of the base recipe, and those above in the same recipe."""

    def __init__(self, base: ast.Recipe = ()) -> None:
        self._by_alias: dict[str, ast.Import] = {}
        for command in walk(base):
            if isinstance(command, ast.Import):
                self.add(command)

    def add(self, command: ast.Import) -> None:
        self._by_alias[command.alias] = command

    def get(self, alias: str) -> ast.Import | None:
        return self._by_alias.get(alias)

    def near(self, alias: str) -> str | None:
        return did_you_mean(alias, self._by_alias)


_TARGET = re.compile(r"[a-z][A-Za-z0-9.-]*")
_FUNCTION = re.compile(r"[A-Z][A-Z0-9._]*")
_TARGET_OR_FUNCTION = re.compile(f"{_TARGET.pattern}|{_FUNCTION.pattern}")
_REMOTE = re.compile(r"[\w-]+(?:\.[\w-]+)+[/:]")
_PATTERN = re.compile(r"\.(?:(?!\*\*)[^$\"'])*")


def misnamed(reference: ast.Reference) -> Diagnostic | None:
    """What no file could hold under this name, since the language has no such names."""
    if reference.dynamic:
        return None
    wanted = _FUNCTION if reference.function else _TARGET
    advice = None
    if not reference.name:
        message = f'"{reference.project[:80]}" names no {"function" if reference.function else "target"}'
        advice = 'a reference has a plus, as in "+name" or "./directory+name"'
    elif wanted.fullmatch(reference.name) is None:
        what = "function" if reference.function else "target"
        message = f'"{reference.name[:80]}" is not the name of a {what}'
        other = _TARGET if reference.function else _FUNCTION
        if other.fullmatch(reference.name):
            advice = (
                "DO runs functions, whose names are capitals" if reference.function else "a function is run with DO"
            )
        elif not reference.function:
            advice = "names of targets begin with a lower-case letter and hold letters, digits, dots and hyphens"
    else:
        return None
    return Diagnostic(Code.REFERENCE_MISSING, message, reference.span, help=advice)


def locate(
    reference: ast.Reference, directory: str, imports: Imports
) -> "Here | Elsewhere | Matching | Unknown | Diagnostic":
    """`directory` is that of the file that holds the reference."""
    project = reference.project.replace("\\+", "+")
    if reference.dynamic and _REMOTE.match(project) and _TARGET_OR_FUNCTION.fullmatch(reference.name):
        return Elsewhere(repository=project)
    if reference.dynamic and _PATTERN.fullmatch(project) and _TARGET.fullmatch(reference.name):
        return Matching(pattern=posixpath.normpath(posixpath.join(directory, project)))
    if reference.dynamic:
        message = f'"{reference.target if reference.name else project}" is known only when it runs'
        return Unknown(message=message, same_file=project == "" or not reference.name)
    if project == "" or posixpath.normpath(project) == ".":
        return Here(directory=directory, same_file=True, imported=None)
    imported = None
    if not _names_a_path(project):
        imported = imports.get(project)
        if imported is None:
            advice = (
                imports.near(project) or f'for a directory write "./{reference.target}", for another IMPORT it first'
            )
            message = f'"{project[:80]}" is not the name of an IMPORT above'
            return Diagnostic(Code.IMPORT_UNKNOWN, message, reference.span, help=advice)
        project = imported.path
        if "$" in project:
            message = f'"{reference.target}" is known only when it runs: IMPORT {project}'
            return Unknown(message=message, same_file=False)
    if project.startswith("."):
        path = posixpath.normpath(posixpath.join(directory, project))
        return Here(directory=path, same_file=False, imported=imported)
    if project.startswith(("/", "~/")):
        return Here(directory=project, same_file=False, imported=imported)
    return Elsewhere(repository=project)


def _names_a_path(project: str) -> bool:
    return project.startswith((".", "~/")) or "/" in project or ":" in project
