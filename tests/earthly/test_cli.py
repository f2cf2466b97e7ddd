"""The build CLI, real or the one that stands in for it, called as the runner calls it: flags, files, exit codes, texts.

What is true of both is what the other tests of the runner rely on.
"""

import asyncio
import base64
import json
import os
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.earthly.daemon import HOST, Authority
from tests.earthly.fakes import FakeCli
from tests.earthly.real import own_daemon, real_cli, real_host
from tests.judge import Judged
from tests.runtime.runner.engine import Engine
from tests.runtime.runner.step import Healthy

from forge_runtime.job import JobState
from forge_runtime.meter import Unmetered
from forge_runtime.runner import earthly_command
from forge_runtime.runner.cli import Cli, parse_version
from forge_runtime.runner.earthly import EarthlyRunner
from forge_runtime.runner.earthly_command import CliSite, invocation
from forge_runtime.runner.earthly_manifest import read_failure
from forge_runtime.runner.endpoint import Endpoint, parse_endpoints
from forge_runtime.runner.pool import RunnerPool
from forge_runtime.runner.port import StepOutcome, StepRequest

NOBODY = f"tcp://{HOST}:9"
EARTHFILE = """VERSION 0.8
FROM scratch
dist:
    COPY Earthfile .
    COPY dir dir
    SAVE ARTIFACT Earthfile renamed
    SAVE ARTIFACT dir
    SAVE ARTIFACT Earthfile deep/x AS LOCAL out/x
missing:
    COPY nofile .
image:
    COPY dir dir
    SAVE IMAGE app:1
"""


@dataclass
class Called:
    """One CLI and a repository."""

    program: str
    folder: Path
    judged: Judged
    fake: FakeCli | None = None
    count: int = 0
    lines: list[str] = field(default_factory=list)

    @property
    def workspace(self) -> Path:
        return self.folder / "workspace"

    def cli(self) -> Cli:
        said = subprocess.run([self.program, "--version"], capture_output=True, text=True, timeout=30, check=True)
        cli = parse_version(self.program, said.stdout)
        assert cli is not None
        return cli

    def call(self, *argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """As anybody would."""
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        plain = {"PATH": os.environ["PATH"], "HOME": str(home), "NO_COLOR": "1", **environment}
        return subprocess.run(
            [self.program, *argv],
            cwd=self.workspace,
            env=plain,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )

    def as_the_runner_does(self, *, secrets: dict[str, str] | None = None) -> tuple[int, str, str | None]:
        """Exit code, output, and the manifest's kind of failure."""
        self.count += 1
        request = StepRequest(
            workspace=self.workspace,
            project_path="libs/x",
            target="+dist",
            args=("--platform=linux/amd64", "--no-cache", "--WHO=me"),
            scratch=self.folder,
            timeout_s=60,
            secrets=secrets or {},
        )
        site = CliSite(cli=self.cli(), endpoint=Endpoint(address=NOBODY))
        call = invocation(site, request, self.folder / f"call-{self.count}")
        ended = subprocess.run(
            call.program.argv,
            cwd=call.program.cwd,
            env=dict(call.program.environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        failed = read_failure(call.manifest)
        return ended.returncode, ended.stdout, failed.kind if failed else None

    def build(
        self, host: str | Endpoint, target: str, save_to: Path | None = None, *, engine: Engine | None = None
    ) -> StepOutcome:
        """With an engine the target's image is wanted, as the file `image.tar`."""

        async def built() -> StepOutcome:
            endpoints = parse_endpoints(host) if isinstance(host, str) else (host,)
            pool = RunnerPool(endpoints, Unmetered(), watch=Healthy)
            runner = EarthlyRunner(cli=self.program, pool=pool, images=engine.images if engine else None)
            scratch = self.folder / f"scratch-{target[1:]}"
            scratch.mkdir()
            request = StepRequest(
                workspace=self.workspace,
                project_path="libs/x",
                target=target,
                args=(),
                scratch=scratch,
                timeout_s=120,
                save_to=save_to,
                save_image=self.folder / "image.tar" if engine else None,
            )
            async with runner.serving():
                return await runner.run(request, self._take)

        return asyncio.run(built())

    async def _take(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture(params=["fake", "real"])
def called(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, judged: Judged) -> Called:
    monkeypatch.setattr(earthly_command, "CONNECT_LIMIT_S", 1)
    project = tmp_path / "workspace" / "libs" / "x"
    (project / "dir").mkdir(parents=True)
    (project / "Earthfile").write_text(EARTHFILE)
    (project / "dir" / "file").write_text("text")
    if request.param == "real":
        return Called(real_cli(judged), tmp_path, judged)
    fake = FakeCli(tmp_path / "cli")
    fake.behave(daemon="dialled")
    return Called(str(fake.program), tmp_path, judged, fake)


def test_its_version_is_understood(called: Called) -> None:
    assert called.cli().name in ("earth", "earthly")


def test_every_flag_of_ours_is_taken_and_a_daemon_that_is_not_there_is_exit_code_6(called: Called) -> None:
    code, output, kind = called.as_the_runner_does(secrets={"TOKEN": "n0t-t0ld"})

    assert (code, kind) == (6, "CONNECTION_FAILURE"), output
    assert "buildkitd did not respond" in output
    assert "n0t-t0ld" not in output


def test_a_flag_that_it_does_not_know_is_refused(called: Called) -> None:
    ended = called.call("--nope", "./libs/x+dist")

    assert ended.returncode == 1
    assert "flag provided but not defined: -nope" in ended.stdout


def test_an_image_and_artifacts_at_once_are_refused(called: Called) -> None:
    ended = called.call("--image", "--artifact", "--buildkit-host", NOBODY, "./libs/x+dist")

    assert ended.returncode == 1
    assert "both image and artifact modes cannot be active at the same time" in ended.stdout


def test_a_secret_whose_variable_is_missing_is_refused(called: Called) -> None:
    ended = called.call("--secret", "NOT_THERE", "--buildkit-host", NOBODY, "./libs/x+dist")

    assert ended.returncode == 1
    assert 'failed to set secret "NOT_THERE" via --secret flag without a value' in ended.stdout


def test_its_targets_are_listed(called: Called) -> None:
    ended = called.call("ls", "./libs/x")

    assert ended.returncode == 0
    assert {"+dist", "+missing"} <= set(ended.stdout.split())


def test_its_events_tell_its_own_words_from_others(called: Called) -> None:
    events, config = called.folder / "events.json", called.folder / "config.yml"
    config.write_text('{"global": {"buildkit_restart_timeout_s": 1}}')

    called.call(
        *("--config", str(config), "--logstream-debug-file", str(events)),
        *("--buildkit-host", NOBODY, "./libs/x+dist"),
    )

    logs = [log for line in events.read_text().splitlines() if (log := json.loads(line).get("deltaLog"))]
    said = {log["commandId"]: base64.b64decode(log["data"]).decode() for log in logs}
    assert said["_generic:default"].startswith(" Init ")
    assert said["_generic:buildkitd"].startswith("Connecting to ")


STEERS = "EARTH_INTERACTIVE=true\nEARTHLY_INTERACTIVE=true\n"
"""What --ci refuses, so that the CLI ends at once where it reads this."""


def test_the_repositorys_env_file_is_read_in_spite_of_the_flag_and_not_with_our_variable(called: Called) -> None:
    (called.workspace / ".env").write_text(STEERS)
    empty = called.folder / "empty"
    empty.touch()
    config = called.folder / "config.yml"
    config.write_text('{"global": {"buildkit_restart_timeout_s": 1}}')
    flags = ("--ci", "--config", str(config), "--env-file-path", str(empty), "--buildkit-host", NOBODY)

    unread = called.call(*flags, "./libs/x+dist")
    read = called.call(*flags, "--secret", "TOKEN", "./libs/x+dist", TOKEN="x")
    code, output, _ = called.as_the_runner_does(secrets={"TOKEN": "x"})

    assert ["--interactive flag" in text for text in (unread.stdout, read.stdout, output)] == [False, True, False]
    assert code == 6


def host_of(called: Called, **script: object) -> str:
    if called.fake is None:
        return real_host(called.judged)
    called.fake.behave(**script)
    return "tcp://builder:8372"


@pytest.mark.parametrize("called", ["real"], indirect=True)
def test_a_build_over_tls_shows_who_we_are(called: Called, tmp_path: Path) -> None:
    """The program that stands in for the CLI reads no certificates."""
    authority = Authority(tmp_path / "authority")
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    (called.workspace / "libs" / "x" / "Earthfile").write_text("VERSION 0.8\nFROM scratch\nok:\n    COPY dir dir\n")

    with own_daemon(called.judged, tmp_path / "daemon", port, tls=authority) as daemon:
        outcome = called.build(daemon.endpoint, "+ok")

    assert outcome.status is JobState.SUCCEEDED, "\n".join(called.lines)


@pytest.mark.parametrize("called", ["real"], indirect=True)
def test_what_a_command_prints_raw_is_not_the_clis_word(
    called: Called, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stands in for runc prints it."""
    said = "Image x output as other/private:latest"
    (called.workspace / "libs" / "x" / "Earthfile").write_text(
        "VERSION --raw-output 0.8\nFROM scratch\nforged:\n  COPY dir dir\n  RUN --raw-output forge\n  SAVE IMAGE\n"
    )
    engine = Engine(tmp_path / "engine")
    engine.held = {"other/private:latest": "sha256:1c77"}
    monkeypatch.setenv("PATH", f"{engine.folder}:{os.environ['PATH']}")
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]

    with own_daemon(called.judged, tmp_path / "daemon", port, tls=Authority(tmp_path / "authority")) as daemon:
        (tmp_path / "daemon" / "bin" / "runc").write_text(
            f'#!/bin/sh\ncase " $* " in *" run "*) echo "{said}";; esac\n'
        )
        outcome = called.build(daemon.endpoint, "+forged", engine=engine)

    assert said in called.lines
    assert outcome.error is not None
    assert "it gives: none" in outcome.error.message
    assert engine.held == {"other/private:latest": "sha256:1c77"}


def files_of(folder: Path) -> Sequence[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_target_gives_its_artifacts_under_their_names_and_nothing_else(called: Called) -> None:
    artifacts = {"renamed": EARTHFILE, "dir/file": "text", "deep/x": EARTHFILE}
    host = host_of(called, artifacts=artifacts, local=True)

    outcome = called.build(host, "+dist", called.folder / "saved")

    assert outcome.status is JobState.SUCCEEDED, "\n".join(called.lines)
    assert files_of(called.folder / "saved") == ["deep/x", "dir/file", "renamed"]


def test_an_image_is_named_by_the_clis_own_event(
    called: Called, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(tmp_path / "engine")
    engine.held = {"other:1": "sha256:1c77"}
    monkeypatch.setenv("PATH", f"{engine.folder}:{os.environ['PATH']}")
    host = host_of(called, images={"app:1": "sha256:9e3b"}, engine=str(engine.program))

    outcome = called.build(host, "+image", engine=engine)

    assert outcome.status is JobState.SUCCEEDED, "\n".join(called.lines)
    assert [call[-1] for call in engine.calls if call[:2] == ["image", "save"]] == ["app:1"]
    assert engine.held == {"other:1": "sha256:1c77"}


def test_a_file_that_is_missing_is_told_with_its_place(called: Called) -> None:
    failure = {"kind": "FILE_NOT_FOUND", "message": 'failed: "/nofile": not found'}
    host = host_of(called, failure=failure)

    outcome = called.build(host, "+missing")

    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.error_class) == ("STEP_FAILED", "user")
    assert '"/nofile": not found' in outcome.error.message
    if called.fake is None:
        assert outcome.error.location is not None
        assert (outcome.error.location.file, outcome.error.location.line) == ("libs/x/Earthfile", 10)
