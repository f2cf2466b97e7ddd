"""The API as the command line calls it: JSON in, JSON out, and errors that say what to do."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx2

ATTEMPT_TIMEOUT_S: Final = 10.0
AWAY_S_MAX: Final = 60.0
"""How long a watched run may go without an answer: a killed API is back within seconds, a stopped one never."""

NEXT_OFFSET_HEADER: Final = "X-Log-Next-Offset"
"""Where a log goes on that is too long for one reply."""


class ApiUnreachable(Exception):
    """No answer from the API; nothing is known about the request."""


class ApiRefused(Exception):
    """The API answered with an error; `status` is HTTP's, `code` the API's own."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class ApiClient:
    """One API and its token. Calls block; each has a limit of 10 s."""

    def __init__(self, url: str, token_file: Path) -> None:
        try:
            token = token_file.read_text().strip()
        except OSError as error:
            raise ApiUnreachable(f"cannot read the API's token: {error.strerror} ({token_file})") from None
        self._url = url
        self._http = httpx2.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=ATTEMPT_TIMEOUT_S,
            trust_env=False,  # a proxy of the environment must not see the token, nor stand between loopback and us
        )

    def register(self, repository: str, clone_url: str) -> None:
        self._call("PUT", f"/v1/repositories/{repository}", {"clone_url": clone_url, "enabled": True})

    def create_run(self, body: dict[str, Any]) -> dict[str, Any]:
        return self._json("POST", "/v1/runs", body)

    def run(self, run_id: str) -> dict[str, Any]:
        return self._json("GET", f"/v1/runs/{run_id}")

    def runs(self, **filters: str) -> list[dict[str, Any]]:
        query = "&".join(f"{name}={value}" for name, value in filters.items())
        found: list[dict[str, Any]] = self._json("GET", f"/v1/runs?{query}")["runs"]
        return found

    def jobs(self, run_id: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._json("GET", f"/v1/runs/{run_id}/jobs")["jobs"]
        return found

    def cancel(self, run_id: str) -> None:
        self._call("DELETE", f"/v1/runs/{run_id}")

    def log(self, step_id: str) -> str | None:
        """A step's whole log, or None while there is none."""
        read, offset = b"", "0"
        try:
            while offset:
                reply = self._call("GET", f"/v1/steps/{step_id}/log?offset={offset}")
                read += reply.content
                offset = reply.headers.get(NEXT_OFFSET_HEADER, "")
        except ApiRefused as refusal:
            if refusal.status == 404:
                return None
            raise
        return read.decode(errors="replace")  # the whole: a reply may end inside a character

    def releases(self, project: str) -> dict[str, Any]:
        """The newest releases of `owner/repository/project`, and how many there are."""
        return self._json("GET", f"/v1/releases/{quote(project)}")

    def release(self, project: str, reference: str) -> dict[str, Any]:
        return self._json("GET", f"/v1/releases/{quote(project)}/{quote(reference)}")

    def deploy(self, release_id: str, environment: str, approval_id: str | None) -> dict[str, Any]:
        body = {"release_id": release_id, "environment": environment, "approval_id": approval_id}
        return self._json("POST", "/v1/deployments", body)

    def deployment(self, known: dict[str, Any]) -> dict[str, Any]:
        """What has become of a deployment; itself where it is older than a hundred others."""
        place = f"{known['environment']}/{known['repository']}/{known['project']}"
        page = self._json("GET", f"/v1/deployments/{quote(place)}/history?limit=100")
        return next((each for each in page["deployments"] if each["id"] == known["id"]), known)

    def approvals(self, release_id: str, environment: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._json("GET", f"/v1/approvals/{release_id}/{quote(environment)}")["approvals"]
        return found

    def approve(self, release_id: str, environment: str, justification: str) -> dict[str, Any]:
        body = {"release_id": release_id, "environment": environment, "justification": justification}
        return self._json("POST", "/v1/approvals", body)

    def patiently(self, call: Callable[[], Any], waiting: Callable[[float], None]) -> Any:
        """Repeat a reading call while the API is away; `waiting(seconds)` is told how long it has been."""
        began = time.monotonic()
        while True:
            try:
                return call()
            except (ApiUnreachable, ApiRefused) as error:
                if isinstance(error, ApiRefused) and error.status < 500:
                    raise
                away_s = time.monotonic() - began
                if away_s > AWAY_S_MAX:
                    raise
                waiting(away_s)
                time.sleep(0.3)

    def _json(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        document: dict[str, Any] = self._call(method, path, body).json()
        return document

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx2.Response:
        try:
            response = self._http.request(method, path, json=body)
        except httpx2.TransportError as error:
            raise ApiUnreachable(
                f"the API at {self._url} does not answer ({type(error).__name__}); is `forge up` running?"
            ) from None
        if response.is_success:
            return response
        try:
            error_body = response.json()["error"]
            raise ApiRefused(response.status_code, str(error_body["code"]), str(error_body["message"]))
        except (ValueError, KeyError, TypeError):
            raise ApiRefused(response.status_code, "unknown", f"the API answered {response.status_code}") from None
