"""The token of one machine: whoever can read its file is the operator.

Opaque, random, in a file of mode 0600. It is compared in constant time, and a wrong one is told nothing.
"""

import hmac
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from forge_api.settings import SettingsInvalid

TOKEN_CHARS_MIN: Final = 32


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls: `user:<name>`, `github:<login>` or `sa:<namespace>/<name>`."""

    subject: str


LOCAL: Final = Principal("user:local")


class LocalToken:
    """Knows the one token of this machine."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()

    def principal(self, authorization: str | None) -> Principal | None:
        """The caller behind an Authorization header, or None."""
        scheme, _, credential = (authorization or "").partition(" ")
        given = credential.strip().encode("utf-8", "surrogatepass")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given, self._token):
            return None
        return LOCAL


def read_token(path: Path) -> LocalToken:
    """The token in a file; SettingsInvalid if others may read it, or if it is too short to be random."""
    try:
        mode = path.stat().st_mode
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsInvalid(f"cannot read the API's token at {path}: {error}") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SettingsInvalid(f"others may read the API's token at {path}; `chmod 600 {path}`")
    if len(token) < TOKEN_CHARS_MIN:
        raise SettingsInvalid(f"the API's token at {path} has {len(token)} characters, fewer than {TOKEN_CHARS_MIN}")
    return LocalToken(token)
