"""Every error has one body, and nothing that a caller sends makes a 500."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.api.harness import client_of, open_api

from forge_api.problem import Problem
from forge_api.settings import BODY_BYTES_MAX

RUN = "/v1/runs/018f0000-0000-7000-8000-000000000000"


def error_of(response: Any, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert list(body) == ["error"]
    error: dict[str, Any] = body["error"]
    assert error["code"] == code
    assert error["message"]
    assert error["details"]["request_id"] == response.headers["X-Request-ID"]
    return error


async def test_without_the_token_there_is_nothing_but_health(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api, client_of(api.app, token=None) as stranger:
        for method, path in [
            ("GET", "/v1/runs"),
            ("POST", "/v1/runs"),
            ("DELETE", RUN),
            ("GET", "/v1/openapi.json"),
            ("GET", "/nowhere"),
            ("PATCH", "/healthz/x"),
        ]:
            response = await stranger.request(method, path, content=b"{")
            error = error_of(response, 401, "authentication_required")

            assert response.headers["WWW-Authenticate"] == "Bearer"
            assert error["message"] == "a valid bearer token is required"
        assert (await stranger.get("/healthz")).status_code == 200
        assert (await stranger.get("/readyz")).status_code == 200


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer wrong", "Basic dDp0", "Bearer " + "t" * 42, b"Bearer \xff\xfe"]
)
async def test_wrong_token_is_told_the_same_as_none(tmp_path: Path, header: str | bytes) -> None:
    async with open_api(tmp_path) as api, client_of(api.app, token=None) as stranger:
        response = await stranger.get("/v1/runs", headers={"Authorization": header})

        assert error_of(response, 401, "authentication_required")["message"] == "a valid bearer token is required"


async def test_unknown_address_is_404(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        error_of(await api.client.get("/v1/nothing"), 404, "not_found")


async def test_wrong_method_is_405_and_lists_every_right_one(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        response = await api.client.patch(RUN, json={})

        error_of(response, 405, "method_not_allowed")
        assert response.headers["Allow"] == "DELETE, GET"


async def test_body_that_is_not_json_is_400(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        response = await api.client.post(
            "/v1/runs", content=b'{"repository":', headers={"Content-Type": "application/json"}
        )

        error_of(response, 400, "invalid_request")


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_body_of_another_type_is_415(tmp_path: Path, media_type: str) -> None:
    async with open_api(tmp_path) as api:
        response = await api.client.post("/v1/runs", content=b"{}", headers={"Content-Type": media_type})

        error_of(response, 415, "unsupported_media_type")


async def test_body_above_its_limit_is_413_whether_or_not_it_says_so(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        content = json.dumps({"repository": "x" * BODY_BYTES_MAX}).encode()
        headers = {"Content-Type": "application/json"}

        async def pieces() -> Any:
            yield content[: BODY_BYTES_MAX // 2]
            yield content[BODY_BYTES_MAX // 2 :]

        error_of(await api.client.post("/v1/runs", content=content, headers=headers), 413, "payload_too_large")
        error_of(await api.client.post("/v1/runs", content=pieces(), headers=headers), 413, "payload_too_large")


async def test_error_of_ours_is_500_without_its_text(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:

        async def broken() -> None:
            raise RuntimeError("secret of the house")

        api.app.add_api_route("/v1/broken", broken)
        response = await api.client.get("/v1/broken")

        error_of(response, 500, "internal_error")
        assert "secret" not in response.text


async def test_database_that_is_away_is_503(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        await api.platform.database.close()
        _break_database(tmp_path)

        response = await api.client.get("/v1/runs")
        ready = await api.client.get("/readyz")

        error_of(response, 503, "unavailable")
        assert int(response.headers["Retry-After"]) > 0
        assert (ready.status_code, ready.json()["parts"]["database"]) == (503, "does not answer")


def _break_database(tmp_path: Path) -> None:
    for path in tmp_path.glob("forge.db*"):
        path.unlink()
    (tmp_path / "forge.db").mkdir()


async def test_request_id_is_echoed_or_made(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        echoed = await api.client.get("/healthz", headers={"X-Request-ID": "abc-1"})
        made = await api.client.get("/healthz", headers={"X-Request-ID": "a b\x7f" + "c" * 200})

        assert echoed.headers["X-Request-ID"] == "abc-1"
        assert made.headers["X-Request-ID"] not in ("", "abc-1")
        assert len(made.headers["X-Request-ID"]) == 16


HOSTILE = [
    "\x00",
    "a\x00b",
    "\ud800",
    "\udfff\ud800",
    "\u2028",
    "💥",
    "-352",
    "9" * 400,
    "{{x}}",
    "../..",
    "%00",
    "%ff",
]


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
async def test_hostile_text_in_any_place_is_never_a_500(tmp_path: Path, text: str) -> None:
    async with open_api(tmp_path) as api:
        run_id = await api.new_run()
        step = (await api.run(run_id))["phases"][0]["tasks"][0]["steps"][0]["id"]
        bodies = [
            ("PUT", "/v1/repositories/acme/shop", {"clone_url": text}),
            ("PUT", "/v1/repositories/acme/shop", {"clone_url": "https://h/" + text}),
            ("PUT", f"/v1/steps/{step}/status", {"status": "running", "worker": text}),
            ("PUT", f"/v1/steps/{step}/status", {"status": "running", "logs_s3_key": text}),
            ("PUT", f"/v1/steps/{step}/status", {"status": text, "attempt": -1}),
            ("PUT", f"/v1/tasks/{step}/status", {"status": text, "error": {"code": text, text: text}}),
            *[
                ("POST", "/v1/runs", {"repository": "acme/shop", "commit_sha": "a" * 40, name: text})
                for name in ("repository", "commit_sha", "branch", "ref", "triggered_by", text)
            ],
            ("POST", "/v1/runs", {"repository": "acme/shop", "commit_sha": "a" * 40, "github_context": {text: text}}),
        ]
        escaped = text.encode("utf-8", "surrogatepass")
        quoted = "".join(f"%{byte:02x}" for byte in escaped)
        paths = [
            f"/v1/runs/{quoted}",
            f"/v1/runs?branch={quoted}",
            f"/v1/runs?limit={quoted}",
            f"/v1/runs?offset={quoted}",
            f"/v1/runs?repository={quoted}",
            f"/v1/runs/{run_id}?include={quoted}",
            f"/v1/repositories/{quoted}/{quoted}",
            f"/v1/steps/{quoted}/log",
            f"/v1/steps/{step}/log?offset={quoted}",
        ]

        found = [
            await api.client.request(
                method, path, content=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
            )
            for method, path, body in bodies
        ] + [await api.client.get(path) for path in paths]

        assert [response.status_code for response in found if response.status_code >= 500] == []


async def test_every_route_describes_its_error_replies(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        document = (await api.client.get("/v1/openapi.json")).json()

        for path, item in document["paths"].items():
            for operation in item.values():
                if path.startswith("/v1/"):
                    schema = operation["responses"]["422"]["content"]["application/json"]["schema"]
                    assert schema == {"$ref": "#/components/schemas/ErrorReply"}
                    assert operation["security"] == [{"HTTPBearer": []}]


def test_problem_without_words_of_its_own_has_the_standard_ones() -> None:
    assert Problem(409).message == "the request contradicts the present state"
