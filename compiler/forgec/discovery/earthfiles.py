"""The Earthfiles of a tree: each is parsed once, and where there is none, why."""

import functools
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import islice
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from forgec.diagnostic import Code, Diagnostic, ForgeError, Severity
from forgec.discovery.files import ForgeFiles, shown
from forgec.memo import Memo
from forgec.nearest import KNOWN_MAX, did_you_mean
from forgec.source import Source
from forgec.syntax.earthfile import parse_earthfile
from forgec.syntax.earthfile_ast import Earthfile

FILE_NAMES: Final = ("Earthfile", "build.earth")
"""The second is the older one; the build tool reads it where the first is missing."""

HOLDERS_MAX: Final = 3
"""Places where a missing name is found instead; a reader picks from no more."""

KNOWN_VERSION: Final = (0, 8)
"""The newest version of the language that the parser knows."""


class NoEarthfile(Struct, frozen=True, kw_only=True):
    """`certain`: nobody else would find or read it either. `findings` tell what is wrong with a file that is there."""

    reason: str
    certain: bool
    findings: tuple[Diagnostic, ...] = ()


class Earthfiles:
    """The Earthfile of each directory; directories are paths from the root, "." is the root itself."""

    def __init__(self, files: ForgeFiles) -> None:
        self._files = files
        self._read: dict[str, Earthfile | NoEarthfile] = {}

    def at(self, directory: str) -> Earthfile | NoEarthfile:
        if directory not in self._read:
            self._read[directory] = self._load(directory)
        return self._read[directory]

    def is_there(self, directory: str) -> bool:
        return isinstance(self.at(directory), Earthfile)

    def near(self, directory: str, caller: str) -> str | None:
        """The directory with an Earthfile that was probably meant, as `caller` would write it."""
        if len(self._directories) > KNOWN_MAX:
            return None
        return did_you_mean(_relative(directory, caller), [_relative(known, caller) for known in self._directories])

    def matching(self, pattern: str) -> Iterator[str]:
        """The directories with an Earthfile whose path a pattern describes; no `*` goes over a slash."""
        parts = pattern.split("/")
        for directory in self._directories:
            names = directory.split("/")
            if len(names) == len(parts) and all(map(fnmatchcase, names, parts)):
                yield directory

    def holders(self, name: str, caller: str) -> Sequence[str]:
        """References to targets and functions of this name elsewhere in the tree, as `caller` would write them."""
        others = (known for known in self._directories_of.get(name, ()) if known != caller)
        return [f"{_relative(known, caller)}+{name}" for known in islice(others, HOLDERS_MAX)]

    def _load(self, directory: str) -> Earthfile | NoEarthfile:
        paths = [posixpath.normpath(posixpath.join(directory, name)) for name in FILE_NAMES]
        if directory.startswith(("/", "~")) or directory.partition("/")[0] == "..":
            return NoEarthfile(reason=f"{shown(paths[0])} lies outside of the repository", certain=False)
        for path in paths:
            if self._files.visible(path):
                return self._parse(path)
        why = self._files.why_absent(paths[0])
        if why is not None:
            return NoEarthfile(reason=why, certain=False)
        misspelt = self._files.misspelt(paths[0])
        but = f", but {shown(misspelt)} does: upper and lower case differ" if misspelt else ""
        return NoEarthfile(reason=f"{shown(paths[0])} does not exist{but}", certain=True)

    def _parse(self, path: str) -> Earthfile | NoEarthfile:
        """What is certainly wrong is an error. What only this parser may not know leaves a doubt, and is a warning."""
        source: Source | None = None
        try:
            source = self._files.read(path)
            text = source.text
            return _PARSED.get((source.name, text), functools.partial(parse_earthfile, source), lambda _: len(text))
        except ForgeError as error:
            known = source is None or not _is_newer(source)
            certain = tuple(each for each in error.diagnostics if known and each.code in _CERTAIN)
            findings = certain or (_doubt(error.diagnostics[0]),)
            return NoEarthfile(reason=f"{shown(path)} cannot be read", certain=bool(certain), findings=findings)

    @cached_property
    def _directories(self) -> Sequence[str]:
        return self._files.named(FILE_NAMES[0])

    @cached_property
    def _directories_of(self) -> Mapping[str, Sequence[str]]:
        """Reads every Earthfile of the tree, once, for the sake of a name that is missing."""
        found: dict[str, list[str]] = {}
        for directory in self._directories:
            earthfile = self.at(directory)
            if isinstance(earthfile, Earthfile):
                for name in (*earthfile.targets, *earthfile.functions):
                    found.setdefault(name, []).append(directory)
        return found


_PARSED: Final[Memo[Earthfile]] = Memo()

_CERTAIN: Final = frozenset({Code.EARTHFILE_SYNTAX, Code.NOT_UTF8})
_VERSION = re.compile(r"^[ \t]*VERSION\b[^\n#]*?\b(\d+)\.(\d+)[ \t\r]*(?:#.*)?$", re.MULTILINE)


def _is_newer(source: Source) -> bool:
    version = _VERSION.search(source.text)
    return version is not None and (int(version[1]), int(version[2])) > KNOWN_VERSION


def _doubt(diagnostic: Diagnostic) -> Diagnostic:
    message = f"the targets of this Earthfile cannot be checked before they run: {diagnostic.message}"
    return replace(diagnostic, code=Code.TARGET_DYNAMIC, message=message, severity=Severity.WARNING)


def _relative(directory: str, caller: str) -> str:
    path = posixpath.relpath(directory, caller)
    return path if path.startswith("..") else f"./{path}"
