"""The earthly runner against a program that behaves as the CLI does: real processes, real files, one daemon or two."""

import asyncio
import json
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.runner.step import DAEMON, EarthlyStep, Healthy

from forge_runtime.job import JobState
from forge_runtime.runner.earthly import EarthlyRunner
from forge_runtime.runner.endpoint import parse_endpoints
from forge_runtime.runner.pool import RunnerPool
from forge_runtime.runner.port import StepOutcome, StepRequest

FAILING = {"command": "RUN exit 3", "exit": 3, "line": 5}


def test_flags_come_before_the_target_and_build_args_behind_it(earthly: EarthlyStep) -> None:
    outcome = earthly.run("--ci", "--no-cache", "--platform=linux/arm64", "--region=eu", "--config=x")

    assert outcome == StepOutcome(status=JobState.SUCCEEDED, exit_code=0)
    argv = list(earthly.argv)
    at = argv.index("./libs/x+test")
    assert argv[at + 1 :] == ["--region=eu", "--config=x"]
    assert argv[2:4] == ["--ci", "--strict"]
    assert argv[at - 4 : at] == ["--buildkit-host", DAEMON, "--no-cache", "--platform=linux/arm64"]
    assert argv.count("--ci") == 1


def test_the_root_project_is_a_dot(earthly: EarthlyStep) -> None:
    earthly.run(project=".")

    assert ".+test" in earthly.argv


@pytest.mark.parametrize("secrets", [{}, {"TOKEN": "n0t-t0ld"}], ids=["", "with a secret"])
def test_files_of_the_repository_cannot_steer_the_cli(earthly: EarthlyStep, secrets: dict[str, str]) -> None:
    earthly.secrets = secrets
    for name in (".env", ".arg", ".secret"):
        (earthly.root / "workspace" / name).write_text("EARTHLY_ALLOW_PRIVILEGED=true\nEARTH_PUSH=true\n")

    earthly.run()

    files = earthly.cli.called["files"]
    assert {option: text for option, text in files.items() if option != "--config"} == {
        "--env-file-path": "",
        "--arg-file-path": "",
        "--secret-file-path": "",
    }
    assert not [name for name in earthly.cli.called["environment"] if name.endswith(("PRIVILEGED", "PUSH"))]


def test_the_configuration_is_the_steps_own(earthly: EarthlyStep) -> None:
    earthly.run()

    assert json.loads(earthly.cli.called["files"]["--config"]) == {
        "global": {"buildkit_restart_timeout_s": 10, "tls_enabled": False}
    }


def test_the_environment_is_private_to_the_step(earthly: EarthlyStep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("EARTHLY_BUILDKIT_HOST", "tcp://other:1")
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/agent")

    earthly.run()

    environment = earthly.cli.called["environment"]
    folder = earthly.root / "scratch" / "attempt-1"
    assert environment["HOME"] == str(folder / "home")
    assert environment["DOCKER_CONFIG"] == str(folder / "home" / ".docker")
    assert environment["NO_COLOR"] == "1"
    assert environment["SSH_AUTH_SOCK"] == ""
    assert "--ssh-auth-sock=" in earthly.argv
    assert environment["FORGE_RUN_ID"] == "run-1"
    assert not {"GITHUB_ACTIONS", "EARTHLY_BUILDKIT_HOST"} & set(environment)
    assert earthly.cli.called["cwd"] == str(earthly.root / "workspace")


@pytest.mark.parametrize(
    ("version", "prefixes"),
    [("0.8.18", {"EARTH_"}), ("0.8.16", {"EARTH_", "EARTHLY_"}), ("dev", {"EARTH_", "EARTHLY_"})],
)
def test_variables_have_the_prefixes_that_the_version_reads(
    earthly: EarthlyStep, version: str, prefixes: set[str]
) -> None:
    earthly.cli.behave(version=version)

    earthly.run()

    environment = earthly.cli.called["environment"]
    assert {name.removesuffix("ENV_FILE") for name in environment if name.endswith("_ENV_FILE")} == prefixes


def test_the_cli_sends_its_spans_where_the_worker_sends_its(earthly: EarthlyStep) -> None:
    earthly.telemetry = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}

    earthly.run()

    assert earthly.cli.called["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://collector:4318"


@pytest.mark.parametrize(
    ("script", "code", "error_class"),
    [
        ({"exit": 1}, "STEP_FAILED", "user"),
        ({"exit": 2}, "RUNNER_UNAVAILABLE", "infra"),
        ({"exit": 6}, "RUNNER_UNAVAILABLE", "infra"),
        ({"exit": 7}, "RUNNER_UNAVAILABLE", "infra"),
        ({"exit": 9}, "CONFIG_INVALID", "config"),
        ({"exit": 255}, "CONFIG_INVALID", "config"),
        ({"signal": signal.SIGKILL}, "RUNNER_UNAVAILABLE", "infra"),
        ({"failure": {"kind": "BUILDKIT_CRASHED", "message": "gone"}}, "RUNNER_UNAVAILABLE", "infra"),
        ({"failure": {"kind": "CONNECTION_FAILURE", "message": "no"}, "exit": 1}, "RUNNER_UNAVAILABLE", "infra"),
        ({"failure": {"kind": "OTHER", "message": "transport is closing"}}, "RUNNER_UNAVAILABLE", "infra"),
        ({"failure": {"kind": "OTHER", "message": "target x not found"}}, "STEP_FAILED", "user"),
        ({"failure": {"kind": "RATE_LIMITED", "message": "429"}}, "RUNNER_UNAVAILABLE", "infra"),
        ({"failure": {"kind": "GIT", "message": "denied"}}, "GIT_FETCH_FAILED", "infra"),
        ({"failure": {"kind": "SYNTAX", "message": "unexpected"}}, "CONFIG_INVALID", "config"),
        ({"failure": {"kind": "INVALID_PARAM", "message": "ARG"}}, "CONFIG_INVALID", "config"),
        ({"failure": {"kind": "NEEDS_PRIVILEGED", "message": "-P"}}, "CONFIG_INVALID", "config"),
        ({"failure": {"kind": "OOM_KILLED", "message": "memory"}}, "STEP_FAILED", "user"),
        ({"failure": {"kind": "FILE_NOT_FOUND", "message": 'failed: "/x": not found'}}, "STEP_FAILED", "user"),
        ({"failure": {"kind": "A_NEW_KIND", "message": "?"}}, "STEP_FAILED", "user"),
        ({"commands": [FAILING]}, "STEP_FAILED", "user"),
    ],
    ids=lambda value: json.dumps(value)[:60] if isinstance(value, dict) else None,
)
def test_ends_of_the_cli_become_errors(
    earthly: EarthlyStep, script: Mapping[str, object], code: str, error_class: str
) -> None:
    earthly.cli.behave(**script)

    outcome = earthly.run()

    assert outcome.status is JobState.FAILED
    assert outcome.error
    assert (outcome.error.code, outcome.error.error_class) == (code, error_class)
    assert outcome.error.retryable == (error_class == "infra")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("Error: transport is closing", "RUNNER_UNAVAILABLE"),
        ("Error: 429 Too Many Requests", "RUNNER_UNAVAILABLE"),
        ("  +test | transport is closing", "STEP_FAILED"),
    ],
)
def test_without_a_manifest_the_clis_own_words_count_and_no_commands(
    earthly: EarthlyStep, line: str, code: str
) -> None:
    earthly.cli.behave(exit=1, print=[line], manifest="missing")

    outcome = earthly.run()

    assert outcome.error
    assert outcome.error.code == code


@pytest.mark.parametrize("manifest", [None, "missing", "broken"])
def test_the_failing_commands_exit_code_and_place_are_found(earthly: EarthlyStep, manifest: str | None) -> None:
    spoof = ["did not complete successfully. Exit code 77", "ERROR ./other:9:9"]
    earthly.cli.behave(commands=[FAILING | {"output": spoof}], manifest=manifest)

    outcome = earthly.run()

    assert outcome.exit_code == 3
    assert outcome.error
    assert outcome.error.location
    assert (outcome.error.location.file, outcome.error.location.line) == ("libs/x/Earthfile", 5)
    assert outcome.error.context.get("command") == ("RUN exit 3" if manifest is None else None)


def test_a_commands_text_cannot_pretend_another_exit_code(earthly: EarthlyStep) -> None:
    earthly.cli.behave(commands=[FAILING | {"command": "RUN echo did not complete successfully. Exit code 0; exit 3"}])

    assert earthly.run().exit_code == 3


def test_broken_output_becomes_lines_of_text(earthly: EarthlyStep) -> None:
    earthly.cli.behave(raw=b"a\0b\n10%\r55%\r100%\r\n[##] done\x1b[K\n\x1b[31mred\x1b[0m\nabc\xe2\x82".hex())

    earthly.run()

    own = earthly.lines[earthly.lines.index("a\N{SYMBOL FOR NULL}b") :]
    assert own[:4] == ["a\N{SYMBOL FOR NULL}b", "100%", "[##] done", "\x1b[31mred\x1b[0m"]
    assert own[4].startswith("abc\N{REPLACEMENT CHARACTER}")


def test_a_flood_is_read_to_its_end(earthly: EarthlyStep) -> None:
    earthly.cli.behave(flood=100_000)

    outcome = earthly.run(timeout_s=120)

    assert outcome.status is JobState.SUCCEEDED
    assert sum(line == "x" * 100 for line in earthly.lines) == 100_000


def test_the_time_limit_is_an_error_of_class_timeout(earthly: EarthlyStep) -> None:
    earthly.cli.behave(hang=60)

    outcome = earthly.run(timeout_s=1.5)

    assert outcome.error
    assert (outcome.error.code, outcome.error.error_class) == ("STEP_TIMEOUT", "timeout")


def test_a_cli_that_ignores_sigterm_is_gone_soon_after_cancellation(earthly: EarthlyStep) -> None:
    earthly.cli.behave(hang=60, ignore_term=True, print=["started"])

    async def cancel() -> float:
        task = asyncio.create_task(earthly.start())
        async with asyncio.timeout(10):
            await earthly.printed.wait()
        began = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - began

    assert 1 <= asyncio.run(cancel()) < 5


@pytest.mark.parametrize("program", [None, "#!/bin/sh\necho hello\n", "#!/bin/sh\nexit 3\n"])
def test_a_program_that_is_not_the_cli_is_an_infrastructure_error(earthly: EarthlyStep, program: str | None) -> None:
    earthly.cli.program.unlink()
    if program is not None:
        earthly.cli.program.write_text(program)
        earthly.cli.program.chmod(0o755)

    outcome = earthly.run()

    assert outcome.error
    assert (outcome.error.code, outcome.error.retryable) == ("RUNNER_UNAVAILABLE", True)
    assert str(earthly.cli.program) in outcome.error.message


@pytest.mark.parametrize("arg", ["--buildkit-host=tcp://evil", "--push", "--allow-privileged", "--secret-file=x=y"])
def test_args_that_could_redirect_the_cli_never_reach_it(earthly: EarthlyStep, arg: str) -> None:
    outcome = earthly.run(arg)

    assert outcome.error
    assert outcome.error.error_class == "config"
    assert earthly.cli.calls == []


def test_a_secret_is_named_on_the_command_line_and_its_value_is_in_the_environment_alone(earthly: EarthlyStep) -> None:
    earthly.secrets = {"NPM_TOKEN": "n0t-t0ld"}
    earthly.cli.behave(print=["+test | it is n0t-t0ld"])

    outcome = earthly.run()

    assert outcome.status is JobState.SUCCEEDED
    argv = list(earthly.argv)
    assert argv[argv.index("--secret") + 1] == "NPM_TOKEN"
    assert "n0t-t0ld" not in " ".join(argv)
    assert earthly.cli.called["environment"]["NPM_TOKEN"] == "n0t-t0ld"
    assert "+test | it is ***" in earthly.lines


def test_a_secret_in_a_failures_message_is_masked_in_the_log(earthly: EarthlyStep) -> None:
    earthly.secrets = {"NPM_TOKEN": "n0t-t0ld"}
    earthly.cli.behave(failure={"kind": "SYNTAX", "message": "unexpected n0t-t0ld"})

    earthly.run()

    assert not [line for line in earthly.lines if "n0t-t0ld" in line]


@pytest.mark.parametrize("name", ["PATH", "LD_PRELOAD", "EARTHLY_BUILDKIT_HOST", "https_proxy", "GIT_SSH_COMMAND"])
def test_a_secret_whose_name_would_steer_the_cli_is_refused(earthly: EarthlyStep, name: str) -> None:
    earthly.secrets = {name: "n0t-t0ld"}

    outcome = earthly.run()

    assert outcome.error is not None
    assert outcome.error.error_class == "config"
    assert name in outcome.error.message
    assert earthly.cli.calls == []


def test_a_secret_that_no_variable_can_hold_is_refused_and_not_told(earthly: EarthlyStep) -> None:
    earthly.secrets = {"KEY": "n0t\0t0ld"}

    outcome = earthly.run()

    assert outcome.error is not None
    assert outcome.error.error_class == "config"
    assert "the secret KEY has a NUL" in outcome.error.message
    assert "t0ld" not in outcome.error.message
    assert earthly.cli.calls == []


def test_secrets_that_are_together_too_large_for_a_program_are_the_repositorys_fault(earthly: EarthlyStep) -> None:
    earthly.secrets = dict.fromkeys((f"KEY{number}" for number in range(100)), "n0t-t0ld" * 7500)

    outcome = earthly.run()

    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.error_class) == ("CONFIG_INVALID", "config")
    assert outcome.error.message == ("the arguments and secrets of +test are together more than a program can be given")
    assert earthly.cli.calls == []


def test_a_step_that_loses_its_daemon_is_tried_once_on_another(earthly: EarthlyStep) -> None:
    earthly.hosts = "tcp://a:1,tcp://b:1,tcp://c:1"
    earthly.cli.behave(exit=7)

    outcome = earthly.run()

    hosts = [call["argv"][call["argv"].index("--buildkit-host") + 1] for call in earthly.cli.calls]
    assert len(hosts) == len(set(hosts)) == 2
    assert outcome.error
    assert outcome.error.code == "RUNNER_UNAVAILABLE"


def test_the_second_daemon_may_do_better(earthly: EarthlyStep) -> None:
    earthly.hosts = "tcp://a:1,tcp://b:1"
    earthly.cli.behave(exit=6)
    first = {call["argv"][call["argv"].index("--buildkit-host") + 1] for call in (earthly.run(), earthly.cli.calls)[1]}
    assert first == {"tcp://a:1", "tcp://b:1"}
    preferred = earthly.cli.calls[0]["argv"]
    broken = preferred[preferred.index("--buildkit-host") + 1]
    earthly.cli.behave(hosts={broken: {"exit": 6}})
    earthly.lines.clear()
    (earthly.root / "scratch").rename(earthly.root / "used")
    (earthly.root / "scratch").mkdir()

    outcome = earthly.run()

    assert outcome.status is JobState.SUCCEEDED
    assert any("trying once more on another daemon" in line for line in earthly.lines)


@pytest.mark.parametrize(
    ("script", "lost"),
    [
        ({"exit": 6}, True),
        ({"failure": {"kind": "BUILDKIT_CRASHED", "message": "gone"}}, True),
        ({"exit": 2}, False),
        ({"failure": {"kind": "OTHER", "message": "target `transport is closing` not found"}}, False),
        ({"failure": {"kind": "OTHER", "message": "transport is closing"}, "manifest": "missing"}, False),
        ({"commands": [FAILING]}, False),
    ],
    ids=lambda value: json.dumps(value)[:50],
)
async def test_only_what_is_certain_makes_a_daemon_rest(
    earthly: EarthlyStep, script: Mapping[str, object], lost: bool
) -> None:
    earthly.cli.behave(**script)
    gauge = Gauge()
    pool = RunnerPool(parse_endpoints("tcp://a:1"), gauge, watch=Healthy)
    request = StepRequest(
        workspace=earthly.root / "workspace",
        project_path=".",
        target="+test",
        args=(),
        scratch=earthly.root / "scratch",
        timeout_s=30,
    )

    async def ignore(_line: str) -> None:
        return None

    async with pool.serving():
        await EarthlyRunner(cli=str(earthly.cli.program), pool=pool).run(request, ignore)

    assert gauge.told == [False, True, False][: 3 if lost else 2]


class Gauge:
    """What was said of the only daemon, in order."""

    def __init__(self) -> None:
        self.told: list[bool] = []

    def runner_up(self, _runner: str, up: bool) -> None:
        self.told.append(up)


def test_a_failing_command_is_not_tried_again(earthly: EarthlyStep) -> None:
    earthly.hosts = "tcp://a:1,tcp://b:1"
    earthly.cli.behave(commands=[FAILING])

    earthly.run()

    assert len(earthly.cli.calls) == 1


def test_without_daemons_the_cli_looks_after_its_own(earthly: EarthlyStep) -> None:
    earthly.hosts = ""

    earthly.run()

    assert "--buildkit-host" not in earthly.argv
    assert json.loads(earthly.cli.called["files"]["--config"]) == {}


def test_saved_artifacts_come_under_their_saved_names(earthly: EarthlyStep) -> None:
    saved = earthly.root / "saved"
    earthly.wanted = {"save_to": saved}
    earthly.cli.behave(artifacts={"app.bin": "1", "lib/a": "2"}, links={"lib/b": "a"}, local=True)

    outcome = earthly.run()

    assert outcome.status is JobState.SUCCEEDED
    argv = list(earthly.argv)
    at = argv.index("--artifact")
    assert argv[at + 1] == "./libs/x+test/*"
    files = {str(path.relative_to(saved)) for path in saved.rglob("*") if not path.is_dir()}
    assert files == {"app.bin", "lib/a", "lib/b"}


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ({"artifacts": {"a": "1"}, "links": {"b": "/etc/passwd"}}, "'b' is a link that leads out"),
        ({}, "cannot save artifact"),
    ],
)
def test_artifacts_that_cannot_be_given_fail_the_step(
    earthly: EarthlyStep, script: Mapping[str, Any], words: str
) -> None:
    earthly.wanted = {"save_to": earthly.root / "saved"}
    earthly.cli.behave(**script)

    outcome = earthly.run()

    assert outcome.status is JobState.FAILED
    assert outcome.error
    assert words in outcome.error.message


def test_a_request_for_both_artifacts_and_image_is_a_mistake(earthly: EarthlyStep, tmp_path: Path) -> None:
    earthly.wanted = {"save_to": tmp_path / "a", "save_image": tmp_path / "b"}

    with pytest.raises(ValueError, match="not both"):
        earthly.run()
