"""Diagnostics: what is wrong with an input, where, why, and what to do now.

Expected problems are values, collected and reported together; `ForgeError` carries them across a stage that
cannot go on. A broken invariant is a bug and raises like any other Python error.
"""

import enum
from collections.abc import Iterable

from msgspec import Struct

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
    UNUSED_NAME = ("FC210", "CONFIG_INVALID", "import, let or alias is not used")
    REDECLARED = ("FC211", "CONFIG_INVALID", "name is declared twice in one scope")

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
    REFERENCE_MISSING = ("FC314", "CONFIG_INVALID", "Earthfile names a target or function that does not exist")
    REFERENCE_NO_EARTHFILE = ("FC315", "CONFIG_INVALID", "Earthfile names a directory that holds no Earthfile")
    IMPORT_UNKNOWN = ("FC316", "CONFIG_INVALID", "Earthfile uses a name that no IMPORT gives")
    ARG_UNDECLARED = ("FC317", "CONFIG_INVALID", "argument is declared nowhere that it reaches")
    ARG_REQUIRED = ("FC318", "CONFIG_INVALID", "required argument is not passed")
    ARG_RESERVED = ("FC319", "CONFIG_INVALID", "argument is one that the build tool sets itself")
    TARGET_CYCLE = ("FC320", "CONFIG_INVALID", "targets need each other")
    FUNCTION_KEYWORD = ("FC321", "CONFIG_INVALID", "function does not begin with FUNCTION")
    TARGET_REMOTE = ("FC322", "CONFIG_INVALID", "target of another repository cannot be checked")
    CONFIG_UNSEEN = ("FC323", "CONFIG_INVALID", "configuration lies where discovery does not look")
    VALUE_MISSING = ("FC324", "CONFIG_INVALID", "@repo or @artifact names a value that is not there")

    TOO_MANY_GROUPS = ("FC401", "CONFIG_INVALID", "plan has too many groups")
    PLAN_INCONSISTENT = ("FC402", "CONFIG_INVALID", "discovery document contradicts itself")
    STEP_ABOVE_PHASE = ("FC410", "CONFIG_INVALID", "step may run longer than its phase says")
    STARTS_ABOVE_RUN = ("FC411", "CONFIG_INVALID", "all starts of a step take longer than a run may")
    TASK_ABOVE_RUN = ("FC412", "CONFIG_INVALID", "steps of a task, one after another, take longer than a run may")
    RUN_ABOVE_LIMIT = ("FC413", "CONFIG_INVALID", "groups, one after another, take longer than a run may")
    WORKERS_TOO_FEW = ("FC414", "CONFIG_INVALID", "so many workers are too few for the run")

    NAME_INVALID = ("FC501", "CONFIG_INVALID", "name does not fit Argo's or Kubernetes' rules")
    NODE_COLLISION = ("FC502", "CONFIG_INVALID", "two nodes of the workflow get one id")
    MANIFEST_TOO_LARGE = ("FC503", "CONFIG_INVALID", "workflow is larger than Argo accepts")

    YAML_SYNTAX = ("FC510", "CONFIG_INVALID", "YAML does not parse")
    NOT_A_WORKFLOW = ("FC511", "CONFIG_INVALID", "document is not an Argo Workflow")
    WORKFLOW_NAME = ("FC512", "CONFIG_INVALID", "workflow has no name that Argo accepts")
    ELEMENT_NAME = ("FC513", "CONFIG_INVALID", "template, step, task or parameter has a name that Argo refuses")
    NAME_TWICE = ("FC514", "CONFIG_INVALID", "two elements of one list have one name")
    POD_NAME_LONG = ("FC515", "CONFIG_INVALID", "pods get a name that is longer than a label may be")
    TEMPLATE_KIND = ("FC516", "CONFIG_INVALID", "template has no body, or more than one")
    TEMPLATE_UNKNOWN = ("FC517", "CONFIG_INVALID", "workflow refers to a template that it does not have")
    DEPENDENCY_INVALID = ("FC518", "CONFIG_INVALID", "dependencies of a DAG's tasks cannot be met")
    TOO_MANY_TEMPLATES = ("FC520", "CONFIG_INVALID", "workflow has more templates than Argo accepts")
    TOO_MANY_TASKS = ("FC521", "CONFIG_INVALID", "DAG has more tasks than Argo accepts")
    TOO_MANY_INPUTS = ("FC522", "CONFIG_INVALID", "template has more input parameters than Argo accepts")
    TOO_MANY_METRICS = ("FC523", "CONFIG_INVALID", "template or workflow has more metrics than Argo accepts")
    LITERAL_TOO_LARGE = ("FC524", "CONFIG_INVALID", "text is larger than Argo or Linux pass on well")
    TAG_FOREIGN = ("FC530", "CONFIG_INVALID", "text has braces that are no tag of Argo's")
    TAG_UNRESOLVED = ("FC531", "CONFIG_INVALID", "tag names what is not known at its place")
    ARGUMENT_MISSING = ("FC532", "CONFIG_INVALID", "template is called without an input that it needs")
    TAG_OPEN = ("FC533", "CONFIG_INVALID", "tag is opened and not closed")
    FAIL_FAST_WITH_RETRY = ("FC540", "CONFIG_INVALID", "failFast keeps the retries of its children from working")
    RETRY_ON_GROUP = ("FC541", "CONFIG_INVALID", "retry repeats a whole group of steps")
    RETRY_POLICY_IMPLICIT = ("FC542", "CONFIG_INVALID", "retry has an expression and no policy")
    RETRY_AFTER_DEADLINE = ("FC543", "CONFIG_INVALID", "retry starts again what its deadline has stopped")
    DEADLINE_ON_GROUP = ("FC550", "CONFIG_INVALID", "deadline stands on a template that has none")
    DEADLINE_BEYOND_WORKFLOW = ("FC551", "CONFIG_INVALID", "deadline of a template is later than the workflow's")
    NAME_GENERATED = ("FC560", "CONFIG_INVALID", "name is known only to the cluster, so node ids cannot be checked")
    COMMAND_MISSING = ("FC570", "CONFIG_INVALID", "container has no command")
    NOT_CLEANED_UP = ("FC580", "CONFIG_INVALID", "workflow or pods are kept for too long, or not long enough")
    TOKEN_MOUNTED = ("FC581", "CONFIG_INVALID", "containers get a token of the cluster")
    FIELD_NOT_IN_TARGET = ("FC590", "CONFIG_INVALID", "field is not in the chosen version of Argo")
    TOO_MANY_PODS = ("FC599", "CONFIG_INVALID", "workflow starts more pods than a controller handles well")

    UNREADABLE = ("FC601", "CONFIG_INVALID", "file or directory cannot be read")
    NOT_A_REPOSITORY = ("FC602", "CONFIG_INVALID", "not a git repository")
    COMMIT_NOT_FOUND = ("FC603", "COMMIT_NOT_FOUND", "commit or reference is not there")
    UNWRITABLE = ("FC604", "CONFIG_INVALID", "file cannot be written")
    GIT_FAILED = ("FC605", "GIT_FETCH_FAILED", "git command failed")
    OPERAND_UNKNOWN = ("FC610", "CONFIG_INVALID", "neither a path nor a revision")
    OPERAND_AMBIGUOUS = ("FC611", "CONFIG_INVALID", "both a path and a revision")
    GOLDEN_CASE_MISSING = ("FC612", "CONFIG_INVALID", "directory holds no golden case")
    GOLDEN_CASE_INVALID = ("FC613", "CONFIG_INVALID", "golden case does not say what its input is")
    GOLDEN_IN_CI = ("FC614", "CONFIG_INVALID", "golden files are not updated in CI")

    CUE_REFUSED = ("FC620", "CONFIG_INVALID", "cue refuses a file")
    CUE_MISSING = ("FC621", "CONFIG_INVALID", "cue command is not installed")
    CUE_VERSION = ("FC622", "CONFIG_INVALID", "cue command has the wrong version")
    CUE_FAILED = ("FC623", "CONFIG_INVALID", "cue command gave no answer")

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


class Related(Struct, frozen=True):
    """Another place that contributed, and how ("first declared here")."""

    span: Span
    message: str


class Diagnostic(Struct, frozen=True):
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


def unrelated(findings: Iterable[Diagnostic], earlier: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Without those at a place of which something is told already: they may be consequences."""
    told = {span for each in earlier for span in (each.span, *(related.span for related in each.related))}
    return [each for each in findings if each.span not in told]
