"""The tokens of one machine: whoever can read a token's file is whom it stands for.

    api.token               the operator, user:local
    tokens/worker-release   a service by its role, sa:local/worker-release
    tokens/approver.ada     a person by role and name, user:ada

Opaque, random, in files of mode 0600. They are compared in constant time, and a wrong one is told nothing.
"""

import hmac
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from forge_api.auth.permission import Role
from forge_api.settings import SettingsInvalid

TOKEN_CHARS_MIN: Final = 32

_FILE_NAME: Final = re.compile(r"([a-z-]+)(?:\.([A-Za-z0-9][A-Za-z0-9_-]{0,62}))?")


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls: `user:<name>`, `github:<login>` or `sa:<namespace>/<name>`."""

    subject: str
    role: Role


LOCAL: Final = Principal("user:local", Role.OPERATOR)


class Tokens:
    """Knows every token of this machine."""

    def __init__(self, known: Mapping[str, Principal]) -> None:
        self._known = {token.encode(): principal for token, principal in known.items()}

    def principal(self, authorization: str | None) -> Principal | None:
        """The caller behind an Authorization header, or None."""
        scheme, _, credential = (authorization or "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        given = credential.strip().encode("utf-8", "surrogatepass")
        found = [principal for token, principal in self._known.items() if hmac.compare_digest(given, token)]
        return found[0] if found else None


def read_tokens(operators: Path, others: Path | None = None) -> Tokens:
    """The operator's file and a directory of others; SettingsInvalid where one is open to others, too short, used twice
    or not named for a role."""
    known = {_read(operators): LOCAL}
    for path in sorted(others.iterdir()) if others is not None and others.is_dir() else ():
        token = _read(path)
        if token in known:
            raise SettingsInvalid(f"the token at {path} is also that of {known[token].subject}; each needs its own")
        known[token] = _named(path)
    return Tokens(known)


def _named(path: Path) -> Principal:
    """Whom a token stands for, by its file's name."""
    match = _FILE_NAME.fullmatch(path.name)
    role = next((role for role in Role if match is not None and role == match[1]), None)
    if match is None or role is None or role.service != (match[2] is None):
        services = ", ".join(role for role in Role if role.service)
        people = ", ".join(f"{role}.<name>" for role in Role if not role.service)
        raise SettingsInvalid(f"{path} is not named for whom its token stands: {services}, {people}")
    return Principal(f"sa:local/{role}" if role.service else f"user:{match[2]}", role)


def _read(path: Path) -> str:
    try:
        mode = path.stat().st_mode
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsInvalid(f"cannot read the API's token at {path}: {error}") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SettingsInvalid(f"others may read the API's token at {path}; `chmod 600 {path}`")
    if len(token) < TOKEN_CHARS_MIN:
        raise SettingsInvalid(f"the API's token at {path} has {len(token)} characters, fewer than {TOKEN_CHARS_MIN}")
    return token
