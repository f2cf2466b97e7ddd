"""Who may use the registry: whoever knows its one token. Two ways to show it, as registries out there have them.

basic    Authorization: Basic forge:<token>, or Bearer <token>
bearer   a short token for one scope, which `/token` gives for Basic forge:<token>
"""

import base64
import binascii
import hmac
import secrets
import time
from typing import Final, Literal

from starlette.datastructures import URL
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

Mode = Literal["basic", "bearer"]

USER: Final = "forge"
TOKEN_S: Final = 300
TOKENS_MAX: Final = 10_000


class Access:
    """Without a token, everybody may do everything."""

    def __init__(self, token: str | None, mode: Mode) -> None:
        self._token = None if token is None else token.encode()
        self._mode = mode
        self._given: dict[str, tuple[frozenset[str], float]] = {}

    def challenge(self, request: Request, repository: str | None, action: str) -> str | None:
        """What a request must show and did not, as WWW-Authenticate says it; None if it may go on."""
        if self._token is None or self.allows(request, repository, action):
            return None
        if self._mode == "basic":
            return f'Basic realm="{USER}"'
        realm = URL(scope=request.scope).replace(path="/token", query="")
        scope = f',scope="repository:{repository}:{action}"' if repository else ""
        return f'Bearer realm="{realm}",service="forge-registry"{scope}'

    def allows(self, request: Request, repository: str | None, action: str) -> bool:
        if self._token is None:
            return True
        if self._mode == "basic":
            return self._is_known(request)
        scheme, _, credential = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return False
        scopes, until = self._given.get(credential.strip(), (frozenset[str](), 0.0))
        if until <= time.monotonic():
            return False
        return repository is None or {f"{repository}:{one}" for one in action.split(",")} <= scopes

    def give(self, request: Request) -> Response:
        """`/token`: for the registry's own token, one for the scopes that are asked for."""
        if not self._is_known(request):
            return JSONResponse({"errors": [{"code": "UNAUTHORIZED", "message": "unknown user"}]}, 401)
        scopes: set[str] = set()
        for text in " ".join(request.query_params.getlist("scope")).split():
            kind, _, rest = text.partition(":")
            repository, _, actions = rest.rpartition(":")
            if kind == "repository":
                scopes |= {f"{repository}:{action}" for action in actions.split(",")}
        now = time.monotonic()
        self._given = {known: kept for known, kept in self._given.items() if kept[1] > now}
        if len(self._given) >= TOKENS_MAX:
            return JSONResponse({"errors": [{"code": "TOOMANYREQUESTS", "message": "too many tokens"}]}, 429)
        token = secrets.token_urlsafe(32)
        self._given[token] = (frozenset(scopes), now + TOKEN_S)
        return JSONResponse({"token": token, "expires_in": TOKEN_S})

    def expire(self) -> None:
        """Every token given so far is worth nothing, as after a restart."""
        self._given = {}

    def _is_known(self, request: Request) -> bool:
        if self._token is None:
            return True
        scheme, _, credential = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return hmac.compare_digest(credential.strip().encode(), self._token)
        if scheme.lower() != "basic":
            return False
        try:
            user, _, password = base64.b64decode(credential, validate=True).partition(b":")
        except (binascii.Error, ValueError):
            return False
        # Both are compared whatever the first comes to: how long it takes tells nothing.
        return hmac.compare_digest(user, USER.encode()) & hmac.compare_digest(password, self._token)
