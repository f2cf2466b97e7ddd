"""What types cannot say of secrets, steps, publishers and artifacts: rules across fields, each finding at its place.

Configuration written in CUE and discovery documents written by hand pass the same rules. Every function takes a
decoded value and the node it was decoded from. Where something is wrong and was left out, only what does not depend on
it is judged.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Protocol

from forgec.diagnostic import Code, Diagnostic, Severity
from forgec.discovery.model import RESERVED_SECRET_NAME, Artifact, Publisher, Repository, Secret
from forgec.discovery.place import find, key_place, left_out, place
from forgec.nearest import did_you_mean
from forgec.syntax.data import Node
from forgec.units import parse_duration

STEP_SECRETS_ROOT: Final = "ci"
PUBLISHER_SECRETS_ROOT: Final = "publishers"

SUPPORTED_MAJOR, SUPPORTED_MINOR = 1, 0
"""Of forgeVersion. Another major version may mean other things by the same words; a newer minor one adds some."""


class StepLike(Protocol):
    """What a project's step and a discovery document's step have in common."""

    @property
    def args(self) -> tuple[str, ...]: ...
    @property
    def secrets(self) -> tuple[Secret, ...]: ...
    @property
    def timeout(self) -> str | None: ...


def check_repository(repository: Repository, node: Node) -> Iterator[Diagnostic]:
    yield from _check_version(repository.forge_version, node)
    for name, phase in repository.phases.items():
        yield from _check_duration(phase.timeout, node, "phases", name, "timeout")
    for name, publisher in repository.publishers.items():
        yield from _check_publisher(name, publisher, node)


def check_step(step: StepLike, node: Node) -> Iterator[Diagnostic]:
    if step.timeout is not None:
        yield from _check_duration(step.timeout, node, "timeout")
    yield from check_args(step.args, node)
    names: set[str] = set()
    for index, secret in enumerate(step.secrets):
        yield from _check_secret(secret, STEP_SECRETS_ROOT, node, "secrets", index)
        yield from _check_binding(secret, names, node, index)


_BUILD_ARG = re.compile(r"--([A-Za-z_][A-Za-z0-9_]*)=.*", re.DOTALL)
_EARTHLY_FLAG = re.compile(r"--ci|--no-cache|--platform=[A-Za-z0-9/_.,-]+")


def check_args(args: Sequence[str], node: Node) -> Iterator[Diagnostic]:
    """The flags that a repository may set; any other could redirect the runner, its configuration or its secrets."""
    for index, arg in enumerate(args):
        if _EARTHLY_FLAG.fullmatch(arg) is None and build_arg_name(arg) is None:
            yield Diagnostic(
                Code.BAD_VALUE,
                f'argument "{arg[:80]}" is not allowed',
                place(node, "args", index),
                help="allowed are --ci, --no-cache, --platform=PLATFORM, and build arguments as --NAME=value",
            )


def build_arg_name(arg: str) -> str | None:
    """The NAME of `--NAME=value`; None for a flag."""
    match = _BUILD_ARG.fullmatch(arg)
    return None if match is None or match[1] == "platform" else match[1]


def check_artifact(artifact: Artifact, node: Node, publishers: Mapping[str, Publisher]) -> Iterator[Diagnostic]:
    """An artifact's producer arguments, and its publishers against those of the repository."""
    yield from check_args(artifact.producer.earthly.args, find(node, "producer", "earthly") or node)
    primaries = []
    for name, fields in artifact.publishers.items():
        if name not in publishers:
            message = f'publisher "{name}" is not in repo.cue'
            span = key_place(node, "publishers", name)
            yield Diagnostic(Code.UNKNOWN_PUBLISHER, message, span, help=suggestion(name, publishers))
            continue
        yield from _check_publication(publishers[name].type, fields, node, name)
        if fields.get("primary") is True:
            primaries.append(name)
    for name in primaries[1:]:
        yield Diagnostic(
            Code.BAD_VALUE,
            f'publisher "{primaries[0]}" is primary already; an artifact has one primary place',
            place(node, "publishers", name, "primary"),
        )


def suggestion(name: str, known: Iterable[str]) -> str:
    """What a name that is not known was probably meant to be, or else what there is."""
    candidates = sorted(known)
    near = did_you_mean(name, candidates)
    if near:
        return near
    if candidates:
        return f"there is {', '.join(candidates[:10])}{', ...' if len(candidates) > 10 else ''}"
    return "there is none"


def _check_version(version: str, node: Node) -> Iterator[Diagnostic]:
    if left_out(node, "forgeVersion"):
        return
    major, minor, _patch = (int(part) for part in version.removeprefix("v").split("."))
    ours = f"v{SUPPORTED_MAJOR}.{SUPPORTED_MINOR}"
    span = place(node, "forgeVersion")
    if major != SUPPORTED_MAJOR:
        message = f'forgeVersion "{version}" has another major version than this compiler, which reads {ours}'
        yield Diagnostic(Code.VERSION_UNSUPPORTED, message, span, help=f'write forgeVersion: "{ours}.0"')
    elif minor > SUPPORTED_MINOR:
        message = f'forgeVersion "{version}" is newer than this compiler, which reads {ours}'
        yield Diagnostic(Code.VERSION_NEWER, message, span, severity=Severity.WARNING)


def _check_duration(text: str, node: Node, *path: str) -> Iterator[Diagnostic]:
    try:
        parse_duration(text)
    except ValueError as error:
        yield Diagnostic(Code.BAD_VALUE, str(error), place(node, *path))


_PUBLISHER_FIELDS: Final[Mapping[str, tuple[frozenset[str], frozenset[str]]]] = {
    "docker": (frozenset({"registry", "namespace"}), frozenset()),
    "docs": (frozenset({"bucket"}), frozenset({"prefix", "region", "public_url"})),
    "s3": (frozenset({"bucket"}), frozenset({"prefix", "region", "public_url"})),
    "github": (frozenset(), frozenset({"owner", "repo", "repository"})),
    "pypi": (frozenset(), frozenset({"repository"})),
    "crate": (frozenset(), frozenset({"registry"})),
    "cue": (frozenset({"registry"}), frozenset()),
}
"""What a publisher of each type must have and may have, besides its credentials."""

_ANY_PUBLISHER: Final = {"type", "credentials"}


def _check_publisher(name: str, publisher: Publisher, node: Node) -> Iterator[Diagnostic]:
    where = ("publishers", name)
    if not left_out(node, *where):
        yield from _check_publisher_fields(name, publisher, node)
    if publisher.credentials is not None:
        credentials = (*where, "credentials")
        yield from _check_secret(publisher.credentials, PUBLISHER_SECRETS_ROOT, node, *credentials)
        if publisher.credentials.name is not None or publisher.credentials.maps:
            message = '"name" and "maps" bind a secret to a step; credentials of a publisher have neither'
            yield Diagnostic(Code.UNKNOWN_FIELD, message, place(node, *credentials))


def _check_publisher_fields(name: str, publisher: Publisher, node: Node) -> Iterator[Diagnostic]:
    where = ("publishers", name)
    required, optional = _PUBLISHER_FIELDS[publisher.type]
    given = {field for field in publisher.__struct_fields__ if getattr(publisher, field) is not None}
    for field in sorted(required - given):
        message = f'publisher "{name}" of type "{publisher.type}" needs "{field}"'
        yield Diagnostic(Code.MISSING_FIELD, message, key_place(node, *where))
    for field in sorted(given - required - optional - _ANY_PUBLISHER):
        message = f'a publisher of type "{publisher.type}" has no field "{field}"'
        yield Diagnostic(Code.UNKNOWN_FIELD, message, key_place(node, *where, field))
    if publisher.type == "github":
        yield from _check_github(name, publisher, node)


_GITHUB_REPOSITORY = re.compile(r"[A-Za-z0-9-]+/[A-Za-z0-9._-]+")


def _check_github(name: str, publisher: Publisher, node: Node) -> Iterator[Diagnostic]:
    where = ("publishers", name)
    apart = (publisher.owner, publisher.repo)
    if publisher.repository is None and None in apart:
        message = f'publisher "{name}" of type "github" needs "repository", or both "owner" and "repo"'
        yield Diagnostic(Code.MISSING_FIELD, message, key_place(node, *where))
    elif publisher.repository is not None and apart != (None, None):
        message = f'publisher "{name}" names its repository twice: by "repository", and by "owner" and "repo"'
        yield Diagnostic(Code.BAD_VALUE, message, key_place(node, *where, "repository"))
    elif publisher.repository is not None and not _GITHUB_REPOSITORY.fullmatch(publisher.repository):
        message = f'"{publisher.repository}" is not a repository (write it like "owner/name")'
        yield Diagnostic(Code.BAD_VALUE, message, place(node, *where, "repository"))


_PUBLICATION_FIELDS: Final[Mapping[str, Mapping[str, type]]] = {
    "docker": {"tags": list},
    "github": {"asset_name": str},
}
"""What an artifact may say to a publisher of each type, besides `primary`."""


def _check_publication(type_: str, fields: Mapping[str, object], node: Node, name: str) -> Iterator[Diagnostic]:
    allowed = {"primary": bool, **_PUBLICATION_FIELDS.get(type_, {})}
    for field, value in fields.items():
        where = ("publishers", name, field)
        if field not in allowed:
            message = f'a publisher of type "{type_}" takes no field "{field}"'
            yield Diagnostic(Code.UNKNOWN_FIELD, message, key_place(node, *where), help=suggestion(field, allowed))
        elif not isinstance(value, allowed[field]):
            wanted = {list: "a list of strings", str: "a string", bool: "true or false"}[allowed[field]]
            yield Diagnostic(Code.WRONG_TYPE, f'"{field}" must be {wanted}', place(node, *where))
        elif isinstance(value, list):
            for index, item in enumerate(value):
                if not isinstance(item, str):
                    yield Diagnostic(Code.WRONG_TYPE, f'"{field}" must hold strings', place(node, *where, index))


_SECRET_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "aws": frozenset({"key", "region"}),
    "env": frozenset({"key"}),
    "file": frozenset({"key"}),
}
"""The providers that are enabled, and what a reference to each may hold besides the secret's name and binding."""


def _check_secret(secret: Secret, root: str, node: Node, *path: str | int) -> Iterator[Diagnostic]:
    if left_out(node, *path):
        return
    allowed = _SECRET_FIELDS.get(secret.provider)
    if allowed is None:
        message = f'secrets of the provider "{secret.provider}" are not enabled'
        enabled = ", ".join(_SECRET_FIELDS)
        yield Diagnostic(Code.BAD_VALUE, message, place(node, *path, "provider"), help=f"enabled are {enabled}")
        return
    for field in ("key", "region", "namespace", "repository", "version"):
        if getattr(secret, field) is not None and field not in allowed:
            message = f'a secret of the provider "{secret.provider}" has no field "{field}"'
            yield Diagnostic(Code.UNKNOWN_FIELD, message, key_place(node, *path, field))
    if (secret.secret_name is None) == (secret.path is None):
        given = "neither is there" if secret.path is None else "both are there"
        message = f'a secret is named by "secretName", or by "path", which means the same: {given}'
        yield Diagnostic(Code.MISSING_FIELD, message, place(node, *path))
        return
    reference = secret.secret_name or secret.path or ""
    if not names_secret(reference.removeprefix(f"{root}/")):
        field = "path" if secret.secret_name is None else "secretName"
        message = f'"{reference[:80]}" is not the name of a secret below "{root}/"'
        yield Diagnostic(Code.BAD_VALUE, message, place(node, *path, field), help=_SECRET_NAME_HELP)
    if secret.region is not None and "region" in allowed and not _REGION.fullmatch(secret.region):
        message = f'"{secret.region[:80]}" is not the name of a region'
        yield Diagnostic(Code.BAD_VALUE, message, place(node, *path, "region"), help='write it like "eu-west-1"')


_SEGMENT = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9_+=.@-]{1,255}")
_SECRET_NAME_CHARS_MAX: Final = 480
_SECRET_NAME_HELP: Final = (
    'parts between "/" hold letters, digits and _+=.@-, are not "." or "..", and have at most 255 characters each, '
    f"{_SECRET_NAME_CHARS_MAX} together"
)
_REGION = re.compile(r"[a-z0-9-]{1,63}")


def names_secret(reference: str) -> bool:
    """Whether every store could have a secret of this name, below its scope.

    The characters and, with the scope, the length of AWS Secrets Manager (512); a part is a file's name (NAME_MAX).
    """
    segments = reference.split("/")
    return len(reference) <= _SECRET_NAME_CHARS_MAX and all(_SEGMENT.fullmatch(segment) for segment in segments)


_BINDING = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]{0,127}")


def _check_binding(secret: Secret, taken: set[str], node: Node, index: int) -> Iterator[Diagnostic]:
    """What the build calls a step's secret: one name, or a name for each of several keys."""
    where = ("secrets", index)
    if left_out(node, *where):
        return
    if (secret.name is None) == (not secret.maps):
        message = 'a step\'s secret has either "name", or "maps" from names to keys of a JSON secret'
        yield Diagnostic(Code.MISSING_FIELD, message, place(node, *where))
        return
    if secret.maps and secret.key is not None:
        message = '"key" picks one value and "maps" several; leave one of them out'
        yield Diagnostic(Code.BAD_VALUE, message, key_place(node, *where, "key"))
    for name in secret.maps or (secret.name or "",):
        span = key_place(node, *where, "maps", name) if secret.maps else place(node, *where, "name")
        if not _BINDING.fullmatch(name):
            yield Diagnostic(Code.BAD_VALUE, f'"{name}" is not a name that a build can call a secret', span)
        elif RESERVED_SECRET_NAME.fullmatch(name):
            message = f'a secret cannot be called "{name}": a variable of that name steers the build tool'
            yield Diagnostic(Code.BAD_VALUE, message, span)
        elif name in taken:
            yield Diagnostic(Code.BAD_VALUE, f'two secrets of one step are called "{name}"', span)
        taken.add(name)
