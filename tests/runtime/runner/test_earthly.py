"""The earthly runner against a program that stands for the CLI: a real process with scripted behaviour."""

import asyncio
import json
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from forge_runtime.job import JobState
from forge_runtime.mask import Mask
from forge_runtime.runner.earthly import EarthlyRunner
from forge_runtime.runner.port import StepOutcome, StepRequest


@dataclass
class Cli:
    """The fake CLI in a directory of its own, and what it was called with."""

    root: Path
    lines: list[str] = field(default_factory=list)

    def behave(self, **script: object) -> None:
        (self.root / "fake.json").write_text(json.dumps(script))

    def run(self, *args: str, project: str = "libs/x", timeout_s: float = 30) -> StepOutcome:
        return asyncio.run(self.start(*args, project=project, timeout_s=timeout_s))

    secrets: dict[str, str] = field(default_factory=dict)

    async def start(self, *args: str, project: str = "libs/x", timeout_s: float = 30) -> StepOutcome:
        request = StepRequest(
            workspace=self.root / "workspace",
            project_path=project,
            target="+test",
            args=args,
            scratch=self.root / "scratch",
            timeout_s=timeout_s,
            environment={"FORGE_RUN_ID": "run-1"},
            secrets=self.secrets,
            mask=Mask(self.secrets.values()),
        )
        runner = EarthlyRunner(cli=str(self.root / "earth"), buildkit_host="tcp://builder:8372")
        return await runner.run(request, self._take)

    async def _take(self, line: str) -> None:
        self.lines.append(line)

    @property
    def called(self) -> Mapping[str, Any]:
        called: Mapping[str, Any] = json.loads((self.root / "called.json").read_text())
        return called


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    for name in ("workspace", "scratch"):
        (tmp_path / name).mkdir()
    shutil.copy(Path(__file__).with_name("fake_earthly.py"), tmp_path / "fake_earthly.py")
    program = tmp_path / "earth"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {tmp_path}/fake_earthly.py "$@"\n')
    program.chmod(0o755)
    cli = Cli(tmp_path)
    cli.behave()
    return cli


def test_flags_come_before_the_target_and_build_args_behind_it(cli: Cli) -> None:
    outcome = cli.run("--ci", "--no-cache", "--platform=linux/arm64", "--region=eu", "--config=x")

    assert outcome == StepOutcome(status=JobState.SUCCEEDED, exit_code=0)
    argv = cli.called["argv"]
    at = argv.index("./libs/x+test")
    assert argv[at + 1 :] == ["--region=eu", "--config=x"]
    assert argv[2:4] == ["--ci", "--strict"]
    assert argv[at - 4 : at] == ["--buildkit-host", "tcp://builder:8372", "--no-cache", "--platform=linux/arm64"]
    assert argv.count("--ci") == 1


def test_the_root_project_is_a_dot(cli: Cli) -> None:
    cli.run(project=".")

    assert ".+test" in cli.called["argv"]


def test_files_of_the_repository_cannot_steer_the_cli(cli: Cli) -> None:
    for name in (".env", ".arg", ".secret"):
        (cli.root / "workspace" / name).write_text("EARTHLY_BUILDKIT_HOST=tcp://evil:1\n")

    cli.run()

    files = cli.called["files"]
    assert {option: text.strip() for option, text in files.items()} == {
        "--config": "{}",
        "--env-file-path": "",
        "--arg-file-path": "",
        "--secret-file-path": "",
    }


def test_the_environment_is_private_to_the_step(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("EARTHLY_BUILDKIT_HOST", "tcp://other:1")

    cli.run()

    environment = cli.called["environment"]
    assert environment["HOME"] == str(cli.root / "scratch" / "home")
    assert environment["NO_COLOR"] == "1"
    assert environment["SSH_AUTH_SOCK"] == ""
    assert environment["FORGE_RUN_ID"] == "run-1"
    assert not {"GITHUB_ACTIONS", "EARTHLY_BUILDKIT_HOST"} & set(environment)
    assert cli.called["cwd"] == str(cli.root / "workspace")


@pytest.mark.parametrize(
    ("script", "status", "code", "error_class"),
    [
        ({"exit": 1}, JobState.FAILED, "STEP_FAILED", "user"),
        ({"exit": 2}, JobState.CANCELLED, "CANCELLED", "cancelled"),
        ({"exit": 6}, JobState.FAILED, "RUNNER_UNAVAILABLE", "infra"),
        ({"exit": 7}, JobState.FAILED, "RUNNER_UNAVAILABLE", "infra"),
        ({"exit": 9}, JobState.FAILED, "CONFIG_INVALID", "config"),
        ({"exit": 255}, JobState.FAILED, "CONFIG_INVALID", "config"),
        ({"exit": 1, "print": ["Error: transport is closing"]}, JobState.FAILED, "RUNNER_UNAVAILABLE", "infra"),
        ({"exit": 1, "print": ["  +test | transport is closing"]}, JobState.FAILED, "STEP_FAILED", "user"),
    ],
)
def test_exit_codes_and_words_become_errors(
    cli: Cli, script: Mapping[str, object], status: JobState, code: str, error_class: str
) -> None:
    cli.behave(**script)

    outcome = cli.run()

    assert outcome.status is status
    assert outcome.error
    assert (outcome.error.code, outcome.error.error_class) == (code, error_class)
    assert outcome.error.retryable == (error_class == "infra")


def test_the_failing_commands_own_exit_code_and_place_are_found(cli: Cli) -> None:
    cli.behave(
        exit=1,
        print=[
            "  ./libs/x+test | ERROR ./libs/x/Earthfile:5:4",
            "  ./libs/x+test |       The command",
            "  ./libs/x+test |           RUN exit 3",
            "  ./libs/x+test |       did not complete successfully. Exit code 3",
        ],
    )

    outcome = cli.run()

    assert outcome.exit_code == 3
    assert outcome.error
    assert outcome.error.location
    assert (outcome.error.location.file, outcome.error.location.line) == ("libs/x/Earthfile", 5)


def test_a_cut_character_at_the_end_of_output_is_replaced(cli: Cli) -> None:
    cli.behave(print=["first"], raw="616263e282")

    cli.run()

    assert cli.lines == ["first", "abc\N{REPLACEMENT CHARACTER}"]


def test_the_time_limit_is_an_error_of_class_timeout(cli: Cli) -> None:
    cli.behave(hang=60)

    outcome = cli.run(timeout_s=0.5)

    assert outcome.error
    assert (outcome.error.code, outcome.error.error_class) == ("STEP_TIMEOUT", "timeout")


def test_a_cli_that_ignores_sigterm_is_gone_soon_after_cancellation(cli: Cli) -> None:
    cli.behave(hang=60, ignore_term=True, print=["started"])

    async def cancel() -> float:
        task = asyncio.create_task(cli.start())
        async with asyncio.timeout(10):
            while not cli.lines:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        began = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - began

    took_s = asyncio.run(cancel())

    assert 1 <= took_s < 2


def test_a_cli_that_cannot_be_started_is_an_infrastructure_error(cli: Cli) -> None:
    (cli.root / "earth").unlink()

    outcome = cli.run()

    assert outcome.error
    assert (outcome.error.code, outcome.error.retryable) == ("RUNNER_UNAVAILABLE", True)


@pytest.mark.parametrize("arg", ["--buildkit-host=tcp://evil", "--push", "--allow-privileged", "--secret-file=x=y"])
def test_args_that_could_redirect_the_cli_never_reach_it(cli: Cli, arg: str) -> None:
    outcome = cli.run(arg)

    assert outcome.error
    assert outcome.error.error_class == "config"
    assert not (cli.root / "called.json").exists()


def test_a_secret_is_named_on_the_command_line_and_its_value_is_in_the_environment_alone(cli: Cli) -> None:
    cli.secrets = {"NPM_TOKEN": "n0t-t0ld"}
    cli.behave(print=["+test | it is n0t-t0ld"])

    outcome = cli.run()

    assert outcome.status is JobState.SUCCEEDED
    argv = cli.called["argv"]
    assert argv[argv.index("--secret") + 1] == "NPM_TOKEN"
    assert "n0t-t0ld" not in " ".join(argv)
    assert cli.called["environment"]["NPM_TOKEN"] == "n0t-t0ld"
    assert cli.lines == ["+test | it is ***"]


@pytest.mark.parametrize("name", ["PATH", "LD_PRELOAD", "EARTHLY_BUILDKIT_HOST", "https_proxy", "GIT_SSH_COMMAND"])
def test_a_secret_whose_name_would_steer_the_cli_is_refused(cli: Cli, name: str) -> None:
    cli.secrets = {name: "n0t-t0ld"}
    cli.behave()

    outcome = cli.run()

    assert outcome.error is not None
    assert outcome.error.error_class == "config"
    assert name in outcome.error.message
