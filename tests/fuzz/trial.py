"""One trial: an input through the whole compiler, to output or to diagnostics that can be shown, within limits."""

import re
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Final

from tests.fuzz.corpus import Kind

from forgec import pipeline
from forgec.diagnostic import Diagnostic, ForgeError
from forgec.discovery.places import Located
from forgec.discovery.tree import MemoryTree
from forgec.discovery.trigger import Trigger
from forgec.manifest.lower import ManifestOptions
from forgec.render.finding import finding_of
from forgec.render.github import render_github
from forgec.render.json import render_json
from forgec.render.sarif import render_sarif
from forgec.render.text import render_text

CPU_LIMIT_S: Final = 5.0
"""Of one input, in seconds of this process's own time: a busy machine makes no input slow."""

_REPO: Final = b"""package repo
forgeVersion: "v1.0.0"
tagging: strategy: "monorepo"
phases: test: group: 1
"""
_PUBLISHERS: Final = b'publishers: images: {type: "docker", registry: "registry.example", namespace: "shop"}\n'
_HEAD: Final = b'package project\nname: "api"\n'
_EARTHFILE: Final = b"VERSION 0.8\nunit:\n    ARG X\n    RUN true\nlint:\n    RUN true\nimage:\n    RUN true\n"
_TRIGGER: Final = Trigger(branch="main", trigger_type="push")
_TARGET = re.compile(rb"^([a-z][a-zA-Z0-9.-]{0,30}):", re.MULTILINE)
_ARG = re.compile(rb"\bARG (?:--\w+ )*([A-Za-z_]\w*)")
_MOVING = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class Broken(Exception):
    """The compiler broke one of its promises; `why` says which."""


class TooSlow(BaseException):
    """Not an Exception, so that no handler on the way takes it for a finding."""


def try_input(kind: Kind, data: bytes) -> bool:
    """True where the input was compiled, false where it was refused; every other end raises."""
    with _limited():
        try:
            located = _read(kind, data)
            plan = pipeline.plan(located.document, shard_size=2, places=located.places)
            workflow = pipeline.lower(plan, ManifestOptions(), dynamic=False)
            assert pipeline.emit(workflow), "a workflow is some text"
        except ForgeError as error:
            _check_shown(error.diagnostics)
            return False
        _check_shown(located.findings)
        return True


def _read(kind: Kind, data: bytes) -> Located:
    if kind == "document":
        return pipeline.read_located("discovery.json", data)
    return pipeline.discover_located(MemoryTree(_tree(kind, data)), _TRIGGER)


def _tree(kind: Kind, data: bytes) -> Mapping[str, bytes]:
    files = {".forge/repo.cue": _REPO, "api/.forge/project.cue": _project(b"unit", b"X"), "api/Earthfile": _EARTHFILE}
    if kind == "earthfile":
        target, arg = _TARGET.search(data), _ARG.search(data)
        project = _project(target[1] if target else b"unit", arg[1] if arg else None)
        return {**files, "api/.forge/project.cue": project, "api/Earthfile": data}
    if b"package repo" in data:
        return {**files, ".forge/repo.cue": data}
    if b"publishers" in data:
        files[".forge/repo.cue"] += _PUBLISHERS
    return {**files, "api/.forge/project.cue": data if b"package" in data else _HEAD + data}


def _project(target: bytes, arg: bytes | None) -> bytes:
    """A project that uses a target of its Earthfile, with an argument if there is one."""
    flag = b"--ci" if arg is None else b"--%s=1" % arg
    return _HEAD + b'ci: phases: test: unit: {action: "earthly", target: "+%s", args: ["%s"]}\n' % (target, flag)


def _check_shown(diagnostics: Sequence[Diagnostic]) -> None:
    """Every diagnostic has words and a place within its text, and no form of it moves a cursor."""
    for diagnostic in diagnostics:
        if not diagnostic.message:
            raise Broken(f"{diagnostic.code.id} without a message")
        for span in (diagnostic.span, *(related.span for related in diagnostic.related)):
            if span is not None and not 0 <= span.start <= span.end <= len(span.source.text):
                raise Broken(f"{diagnostic.code.id} has the place {span.start} to {span.end}")
    findings = [finding_of(diagnostic) for diagnostic in diagnostics]
    said = render_text(diagnostics, color=False)
    match len(findings) % 3:  # one of the other forms is enough: all of them take more time than finding anything
        case 0:
            render_json(findings)
        case 1:
            said += render_github(findings)
        case _:
            render_sarif(findings)
    if moving := _MOVING.search(said):
        raise Broken(f"a text for people holds {moving[0]!r}")


@contextmanager
def _limited() -> Iterator[None]:
    previous = signal.signal(signal.SIGPROF, _stop)
    signal.setitimer(signal.ITIMER_PROF, CPU_LIMIT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise TooSlow(f"more than {CPU_LIMIT_S:.0f} s")
