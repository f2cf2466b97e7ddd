"""Configuration that people wrote and discovery does not see: told, since a project that is left out looks like one
that passed. What a `.gitignore` excludes was left out on purpose, and is not told."""

from collections.abc import Iterator, Sequence
from typing import Final

from forgec.diagnostic import Code, Diagnostic, Severity
from forgec.discovery.files import FORGE_DIRECTORY, ForgeFiles, shown
from forgec.discovery.tree import EntryKind
from forgec.nearest import did_you_mean
from forgec.source import whole_file

PROJECT_NAME: Final = "project.cue"
REPO_NAME: Final = "repo.cue"


def unseen(files: ForgeFiles) -> Iterator[Diagnostic]:
    """Of projects. Where the root's repo.cue is not seen, that is an error of its own."""
    places: dict[str, str | None] = {}
    beside: dict[str, list[str]] = {}
    unread: dict[str, list[str]] = {}
    for entry in files.leaves(FORGE_DIRECTORY):
        parts = entry.path.split("/")
        for index, part in enumerate(parts):
            if part.casefold() != FORGE_DIRECTORY:
                continue
            directory = "/".join(parts[: index + 1])
            if part != FORGE_DIRECTORY:
                places.setdefault(directory, f"{shown(directory)} is not called {FORGE_DIRECTORY}: case matters")
            elif index == len(parts) - 1:
                places[directory] = files.why_absent(directory) or f"{shown(directory)} is a file, not a directory"
            else:
                beside.setdefault(directory, []).append(parts[index + 1])
                if len(parts) == index + 2 and parts[-1].endswith(".cue"):
                    unread.setdefault(directory, []).append(parts[-1])
                if parts[index + 1] == PROJECT_NAME and (len(parts) > index + 2 or entry.kind is not EntryKind.FILE):
                    path = f"{directory}/{PROJECT_NAME}"
                    places[path] = files.why_absent(path)
            break
    for directory, names in beside.items():
        similar = _similar(names)
        if similar is not None:
            path = f"{directory}/{similar}"
            places[path] = f"{shown(path)} is not called {PROJECT_NAME}"
    for path, reason in places.items():
        if "/" in path:  # else it is the root's own directory, which repo.cue is missed in
            message = f"no project is seen here: {reason}"
            yield Diagnostic(Code.CONFIG_UNSEEN, message, whole_file(shown(path)), severity=Severity.WARNING)
    for directory, names in unread.items():
        yield from _unread(directory, [name for name in names if f"{directory}/{name}" not in places])


def _unread(directory: str, names: Sequence[str]) -> Iterator[Diagnostic]:
    """CUE files that may be taken for parts of the package beside them: one warning a directory."""
    known = {PROJECT_NAME, REPO_NAME} if directory == FORGE_DIRECTORY else {PROJECT_NAME}
    others = sorted(name for name in names if name.casefold() not in known)
    if not others:
        return
    more = f", nor are {len(others) - 1} more here" if len(others) > 1 else ""
    message = f"this file is not read{more}: a project's configuration is {PROJECT_NAME} alone"
    if others[0] == REPO_NAME:
        message = f"this file is not read{more}: {REPO_NAME} is the repository's, in {FORGE_DIRECTORY} at its root"
    advice = "move what it says there, or the file out of the directory"
    path = shown(f"{directory}/{others[0]}")
    yield Diagnostic(Code.CONFIG_UNSEEN, message, whole_file(path), help=advice, severity=Severity.WARNING)


def _similar(names: Sequence[str]) -> str | None:
    """The name that was probably meant for a project's file, in a `.forge` directory without one."""
    others = [name for name in names if name.casefold() != REPO_NAME]
    if PROJECT_NAME in others or not others:
        return None
    folded = [name for name in others if name.casefold() == PROJECT_NAME]
    if folded:
        return folded[0]
    return next((name for name in others if did_you_mean(name, [PROJECT_NAME]) and name.endswith(".cue")), None)
