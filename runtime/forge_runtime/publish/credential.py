"""What a publisher shows to get in: one secret's text, read as the token, the login or the keys that its place wants.

"pypi-AgEI..."                                        a token
"user:password"                                       a login
{"username": "user", "password": "..."}               the same
{"access_key_id": "...", "secret_access_key": "..."}  keys; any other names hold what their publisher asks for
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


class CredentialUnusable(Exception):
    """The secret is there, and not what its publisher needs. Says nothing of what it holds."""


@dataclass(frozen=True, slots=True)
class Login:
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Credential:
    """Wraps a secret's text; `secrets` are what has to be hidden wherever it might be printed."""

    text: str = field(repr=False)

    def secrets(self) -> Iterable[str]:
        fields = self._fields()
        if fields is None:
            _, colon, password = self.text.partition(":")
            return (self.text.strip(), password) if colon and password else (self.text.strip(),)
        return (self.text, *(value for name, value in fields.items() if name not in _OPEN))

    def token(self) -> str:
        """One line without spaces, as a header takes it."""
        fields = self._fields()
        text = self.text.strip() if fields is None else fields.get("token") or fields.get("password") or ""
        if not text or not text.isascii() or not text.isprintable() or " " in text:
            raise CredentialUnusable("the publisher's secret holds no token (one line of visible characters)")
        return text

    def login(self, token_user: str | None = None) -> Login:
        """User and password; where `token_user` is given, the text may also be a token, which is that user's."""
        fields = self._fields()
        if fields is not None:
            if fields.get("username") and fields.get("password"):
                return Login(fields["username"], fields["password"])
        elif ":" in self.text and "\n" not in self.text.strip():
            user, _, password = self.text.strip().partition(":")
            return Login(user, password)
        if token_user is not None:
            return Login(token_user, self.token())
        raise CredentialUnusable('the publisher\'s secret is no login: write "user:password", or JSON with both')

    def keys(self, *names: str) -> Mapping[str, str]:
        """The named fields of a secret that is JSON; the first of them must be there."""
        fields = self._fields() or {}
        found = {name: fields[name] for name in names if fields.get(name)}
        if names[0] not in found:
            raise CredentialUnusable(f'the publisher\'s secret is no JSON object with "{names[0]}"')
        return found

    def _fields(self) -> Mapping[str, str] | None:
        """None where the text is no JSON object."""
        if not self.text.lstrip().startswith("{"):
            return None
        try:
            document = json.loads(self.text)
        except (ValueError, RecursionError):
            return None
        if not isinstance(document, dict):
            return None
        return {name: value for name, value in document.items() if isinstance(value, str)}


_OPEN = frozenset({"username", "access_key_id"})
"""Who we are is no secret, and hiding a short name would black out much of a log."""
