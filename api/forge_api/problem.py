"""Every error reply of the API: one shape, one set of codes, never a traceback.

{"error": {"code": "conflict", "message": "...", "details": {"request_id": "...", "trace_id": "...", "errors": [...]}}}
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from forge_runtime.trace import HEADER as TRACE_HEADER

REQUEST_ID_HEADER: Final = "X-Request-ID"

_METHODS: Final = ("DELETE", "GET", "PATCH", "POST", "PUT")

_CODES: Final = {
    400: ("invalid_request", "the request is not valid HTTP or JSON"),
    401: ("authentication_required", "a valid bearer token is required"),
    403: ("permission_denied", "not permitted"),
    404: ("not_found", "there is nothing at this address"),
    405: ("method_not_allowed", "this address does not answer to that method"),
    409: ("conflict", "the request contradicts the present state"),
    413: ("payload_too_large", "the request's body is too large"),
    415: ("unsupported_media_type", "a request's body must be application/json"),
    422: ("validation_error", "the request is not valid"),
    429: ("rate_limited", "too many at once; try again later"),
    500: ("internal_error", "an error of the platform; its log has the details under the request's id"),
    503: ("unavailable", "a part of the platform does not answer; try again"),
}


class Problem(Exception):
    """An error reply. The message is for the caller: what, why, and what to do now."""

    def __init__(
        self,
        status: int,
        message: str | None = None,
        *,
        details: Mapping[str, Any] | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        self.status = status
        self.code, standard = _CODES[status]
        self.message = message or standard
        self.details = dict(details or {})
        self.retry_after_s = retry_after_s
        super().__init__(self.message)


def not_found(what: str) -> Problem:
    return Problem(404, f"there is no {what}")


def conflict(message: str, reason: str | None = None) -> Problem:
    return Problem(409, message, details=_reason(reason))


def forbidden(message: str, reason: str | None = None) -> Problem:
    return Problem(403, message, details=_reason(reason))


def invalid(path: str, message: str, reason: str | None = None) -> Problem:
    """A field that is well-formed by itself and wrong all the same."""
    errors = {"errors": [{"path": path, "message": message}]}
    return Problem(422, f"{path}: {message}", details=errors | _reason(reason))


def _reason(code: str | None) -> dict[str, Any]:
    """For programs: an error code of the platform, finer than that of HTTP's status."""
    return {} if code is None else {"reason": code}


def busy(message: str, retry_after_s: int) -> Problem:
    return Problem(429, message, retry_after_s=retry_after_s)


def unavailable(what: str) -> Problem:
    return Problem(503, f"{what} does not answer; try again", retry_after_s=5)


def problem_response(problem: Problem, state: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """`state` is the request's, with its id and its trace.

    ASCII only: a name echoed from the request may hold lone surrogates, which UTF-8 cannot carry.
    """
    request_id, trace = state["request_id"], state["trace"]
    details = problem.details | {"request_id": request_id, "trace_id": trace.trace_id}
    body = {"error": {"code": problem.code, "message": problem.message, "details": details}}
    reply = Response(json.dumps(body).encode("ascii"), problem.status, media_type="application/json")
    reply.headers[REQUEST_ID_HEADER] = (
        request_id  # an error that nobody expected is answered outside of whoever adds it
    )
    reply.headers[TRACE_HEADER] = str(trace)
    if problem.status == 401:
        reply.headers["WWW-Authenticate"] = "Bearer"
    if problem.retry_after_s is not None:
        reply.headers["Retry-After"] = str(problem.retry_after_s)
    reply.headers.update(headers or {})
    return reply


def install_problems(app: FastAPI) -> None:
    """Answer every exception of the application in the one shape."""

    async def answer(request: Request, error: Exception) -> Response:
        headers = {}
        if isinstance(error, HTTPException) and error.status_code == 405:
            headers["Allow"] = ", ".join(sorted(_methods(app, request)))
        return problem_response(_problem_of(error), request.scope["state"], headers)

    for kind in (Problem, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, answer)


def _problem_of(error: Exception) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, RequestValidationError):
        return _invalid_request(error)
    if isinstance(error, HTTPException) and error.status_code in _CODES:
        return Problem(error.status_code)
    return Problem(500)


def _invalid_request(error: RequestValidationError) -> Problem:
    """All that is wrong at once; never the values, which may be secrets."""
    found = error.errors()
    if any(item["type"] == "json_invalid" for item in found):
        return Problem(400, "the body is not valid JSON")
    errors = [
        {"path": ".".join(str(part) for part in item["loc"][1:]) or str(item["loc"][0]), "message": str(item["msg"])}
        for item in found
    ]
    summary = "; ".join(f"{item['path']}: {item['message']}" for item in errors[:3])
    return Problem(422, summary, details={"errors": errors})


def _methods(app: FastAPI, request: Request) -> set[str]:
    """All methods of an address: each route knows only its own, so every one is asked for every method."""
    return {
        method
        for method in _METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in app.routes)
    }
