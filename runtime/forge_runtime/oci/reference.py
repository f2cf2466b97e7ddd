"""What something in a registry is called: `registry.example:5000/owner/name/project:v1@sha256:<hex>`.

The grammar is that of the OCI distribution specification 1.1. The registry is always named: none is meant by default,
so its part must look like a host (a dot, a port, or `localhost`), as every client of such names wants it.
"""

import re
from dataclasses import dataclass, replace
from typing import Final

NAME_CHARS_MAX: Final = 255
"""Registry and repository together: a limit that many clients have, as the distribution specification says."""


class BadReference(ValueError):
    """The text is no name of anything in a registry; it says which part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """`registry` is a host and maybe a port. Where there are a tag and a digest, the digest says what is meant."""

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    def __post_init__(self) -> None:
        _check("registry", REGISTRY, self.registry)
        _check("repository", _REPOSITORY, self.repository)
        if len(self.registry) + 1 + len(self.repository) > NAME_CHARS_MAX:
            raise BadReference(f'"{self.name[:60]}..." is longer than {NAME_CHARS_MAX} characters')
        if self.tag is not None:
            _check("tag", TAG, self.tag)
        if self.digest is not None:
            _check("digest", DIGEST, self.digest)

    @property
    def name(self) -> str:
        """Without tag and digest."""
        return f"{self.registry}/{self.repository}"

    @property
    def identifier(self) -> str:
        """What a manifest is asked for by: the digest, else the tag, else `latest`."""
        return self.digest or self.tag or "latest"

    def tagged(self, tag: str) -> "Reference":
        """The same repository, another tag, and whatever that points to."""
        return replace(self, tag=tag, digest=None)

    def at(self, digest: str) -> "Reference":
        """The same name, pinned."""
        return replace(self, digest=digest)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"


def parse_reference(text: str) -> Reference:
    """BadReference where the text is none, or names no registry."""
    name, at, digest = text.partition("@")
    registry, slash, rest = name.partition("/")
    repository, colon, tag = rest.partition(":")
    if not slash:
        raise BadReference(
            f'"{_short(text)}" names no repository in a registry, like "registry.example/owner/name:tag"'
        )
    return Reference(
        registry=registry,
        repository=repository,
        tag=tag if colon else None,
        digest=digest if at else None,
    )


def repository_of(*names: str) -> str:
    """The path of a repository made of names, or of paths of names, that may be in upper case: registries know none.

    BadReference where the grammar does not allow one of them.
    """
    path = "/".join(names).lower()
    _check("repository", _REPOSITORY, path)
    return path


def _check(part: str, grammar: re.Pattern[str], text: str) -> None:
    if not grammar.fullmatch(text):
        raise BadReference(f'"{_short(text)}" is not a {part} ({_RULES[part]})')


def _short(text: str) -> str:
    return text if len(text) <= 100 else text[:100] + "..."


_COMPONENT: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY: Final = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
TAG: Final = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_LABEL: Final = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_PORT: Final = r":[0-9]{1,5}"
REGISTRY: Final = re.compile(
    rf"localhost|{_LABEL}(?:\.{_LABEL})+|{_LABEL}(?:\.{_LABEL})*{_PORT}|\[[0-9a-fA-F:]{{2,39}}\](?:{_PORT})?"
)
DIGEST: Final = re.compile(r"sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128}")
"""The two algorithms that the image specification registers."""

_RULES: Final = {
    "registry": 'a host with a dot or a port, or "localhost"',
    "repository": "lower-case letters and digits, single separators, parts joined by slashes",
    "tag": "up to 128 letters, digits, `_`, `.` and `-`, the first no dot or dash",
    "digest": '"sha256:" and 64 hex digits, or "sha512:" and 128',
}
