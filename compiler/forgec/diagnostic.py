"""Diagnostics: what is wrong with an input, where, why, and what to do now.

Expected problems are values, collected and reported together; `ForgeError` carries them across a stage that
cannot go on. A broken invariant is a bug and raises like any other Python error.
"""

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from forgec.source import Span


class Severity(enum.StrEnum):
    ERROR = "error"
    WARNING = "warning"


class Code(enum.Enum):
    """Every problem the compiler knows. The value is (stable id, error code in API records, title).

    FC1xx text does not parse, FC2xx values are wrong, FC3xx discovery, FC4xx plan, FC5xx manifest,
    FC6xx the command's own surroundings (files, git).
    """

    SYNTAX = ("FC101", "CONFIG_INVALID", "text does not parse")
    UNSUPPORTED = ("FC102", "CONFIG_INVALID", "construct is valid but not supported")
    NOT_UTF8 = ("FC103", "CONFIG_INVALID", "file is not UTF-8")
    JSON_SYNTAX = ("FC104", "CONFIG_INVALID", "JSON does not parse")
    DUPLICATE_KEY = ("FC105", "CONFIG_INVALID", "JSON object has a key twice")
    EARTHFILE_SYNTAX = ("FC106", "CONFIG_INVALID", "Earthfile does not parse")
    TOO_DEEP = ("FC107", "CONFIG_INVALID", "text is nested too deeply or too large")

    CONFLICT = ("FC201", "CONFIG_INVALID", "values do not unify")
    UNRESOLVED = ("FC202", "CONFIG_INVALID", "reference to a name that is not defined")
    UNKNOWN_FIELD = ("FC203", "CONFIG_INVALID", "field is not allowed here")
    MISSING_FIELD = ("FC204", "CONFIG_INVALID", "required field is missing")
    WRONG_TYPE = ("FC205", "CONFIG_INVALID", "value has the wrong type")
    BAD_VALUE = ("FC206", "CONFIG_INVALID", "value is outside what is allowed")
    INCOMPLETE = ("FC207", "CONFIG_INVALID", "value is not concrete")
    CYCLE = ("FC208", "CONFIG_INVALID", "reference cycle")
    WRONG_PACKAGE = ("FC209", "CONFIG_INVALID", "file belongs to another package")

    REPO_CONFIG_MISSING = ("FC301", "REPO_CONFIG_MISSING", ".forge/repo.cue is missing")
    NESTED_FORGE = ("FC302", "CONFIG_INVALID", ".forge directory inside another .forge")
    PROJECT_DUPLICATE = ("FC303", "PROJECT_DUPLICATE", "two projects have one name")
    UNKNOWN_PHASE = ("FC304", "CONFIG_INVALID", "phase is not declared in repo.cue")
    REQUIRED_PHASE_MISSING = ("FC305", "REQUIRED_PHASE_MISSING", "project takes no part in a required phase")
    UNKNOWN_PUBLISHER = ("FC306", "CONFIG_INVALID", "publisher is not declared in repo.cue")
    TARGET_MISSING = ("FC307", "CONFIG_INVALID", "Earthfile has no such target")
    EARTHFILE_MISSING = ("FC308", "CONFIG_INVALID", "project has steps but no Earthfile")
    TOO_MANY_PROJECTS = ("FC309", "CONFIG_INVALID", "repository has too many projects")
    OUTPUT_TOO_LARGE = ("FC310", "DISCOVERY_OUTPUT_TOO_LARGE", "discovery document is too large")
    VERSION_UNSUPPORTED = ("FC311", "FORGE_VERSION_UNSUPPORTED", "forgeVersion is not supported")
    VERSION_NEWER = ("FC312", "FORGE_VERSION_UNSUPPORTED", "forgeVersion is newer than this compiler")
    TARGET_DYNAMIC = ("FC313", "CONFIG_INVALID", "target cannot be checked before it runs")

    TOO_MANY_GROUPS = ("FC401", "CONFIG_INVALID", "plan has too many groups")
    PLAN_INCONSISTENT = ("FC402", "CONFIG_INVALID", "discovery document contradicts itself")

    NAME_INVALID = ("FC501", "CONFIG_INVALID", "name does not fit Argo's or Kubernetes' rules")
    NODE_COLLISION = ("FC502", "CONFIG_INVALID", "two nodes of the workflow get one id")
    MANIFEST_TOO_LARGE = ("FC503", "CONFIG_INVALID", "workflow is larger than Argo accepts")

    UNREADABLE = ("FC601", "CONFIG_INVALID", "file or directory cannot be read")
    NOT_A_REPOSITORY = ("FC602", "CONFIG_INVALID", "not a git repository")
    COMMIT_NOT_FOUND = ("FC603", "COMMIT_NOT_FOUND", "commit or reference is not there")
    UNWRITABLE = ("FC604", "CONFIG_INVALID", "file cannot be written")
    GIT_FAILED = ("FC605", "GIT_FETCH_FAILED", "git command failed")

    @property
    def id(self) -> str:
        return self.value[0]

    @property
    def error_code(self) -> str:
        """The code in error records of the API and of job results."""
        return self.value[1]

    @property
    def title(self) -> str:
        return self.value[2]


@dataclass(frozen=True, slots=True)
class Related:
    """Another place that contributed, and how ("first declared here")."""

    span: Span
    message: str


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding. `message` says what and why, `help` what to do now; `project` names whose it is."""

    code: Code
    message: str
    span: Span | None = None
    related: tuple[Related, ...] = ()
    help: str | None = None
    severity: Severity = Severity.ERROR
    project: str | None = None

    def sort_key(self) -> tuple[str, int, int, str, str]:
        if self.span is None:
            return ("", 0, 0, self.code.id, self.message)
        at = self.span.position
        return (self.span.source.name, at.line, at.column, self.code.id, self.message)


class ForgeError(Exception):
    """One or more diagnostics, at least one of them an error, that end a stage."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = ordered(diagnostics)
        assert self.diagnostics, "a ForgeError needs a diagnostic"
        super().__init__("; ".join(d.message for d in self.diagnostics[:3]))


def fail(code: Code, message: str, span: Span | None = None, *, help: str | None = None) -> ForgeError:  # noqa: A002
    """A ForgeError of a single diagnostic, for `raise fail(...)`."""
    return ForgeError([Diagnostic(code, message, span, help=help)])


def ordered(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Sorted by file, place and code, repeated ones dropped: the order in which they are shown."""
    unique: dict[tuple[str, int, int, str, str], Diagnostic] = {}
    for diagnostic in diagnostics:
        unique.setdefault(diagnostic.sort_key(), diagnostic)
    return tuple(unique[key] for key in sorted(unique))


def has_errors(diagnostics: Iterable[Diagnostic]) -> bool:
    return any(d.severity is Severity.ERROR for d in diagnostics)
