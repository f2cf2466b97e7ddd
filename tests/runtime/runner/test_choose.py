"""Which runner is taken, and when none may be."""

from dataclasses import replace

import pytest

from forge_runtime.runner.choose import RunnerRefused, RunnerSurroundings, choose_runner
from forge_runtime.runner.earthly import EarthlyRunner
from forge_runtime.settings import RunnerSetting


def installed(*programs: str, engine: str = "local") -> RunnerSurroundings:
    found = {name: f"/bin/{name}" for name in programs}
    return RunnerSurroundings(engine=engine, which=found.get, environ={})


@pytest.mark.parametrize(
    ("setting", "surroundings", "name"),
    [
        ("auto", installed(), "host"),
        ("auto", installed("earth"), "earthly"),
        ("auto", installed("earthly", engine="argo"), "earthly"),
        ("host", installed("earth"), "host"),
        ("earthly", installed("earthly"), "earthly"),
    ],
)
def test_the_runner_follows_setting_and_machine(
    setting: RunnerSetting, surroundings: RunnerSurroundings, name: str
) -> None:
    assert choose_runner(setting, surroundings).name == name


@pytest.mark.parametrize(
    ("setting", "surroundings", "words"),
    [
        ("earthly", installed(), "neither earth nor earthly is on PATH"),
        ("host", installed("earth", engine="argo"), "refused when the engine is argo"),
        ("auto", installed(engine="argo"), "refused when the engine is argo"),
    ],
)
def test_a_setting_that_cannot_be_followed_says_why(
    setting: RunnerSetting, surroundings: RunnerSurroundings, words: str
) -> None:
    with pytest.raises(RunnerRefused, match=words):
        choose_runner(setting, surroundings)


def test_the_present_name_of_the_cli_comes_first() -> None:
    runner = choose_runner("auto", installed("earthly", "earth"))

    assert isinstance(runner, EarthlyRunner)
    assert runner.cli == "/bin/earth"


def test_named_daemons_are_a_pool_and_spans_go_where_the_workers_go() -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318",
        "OTEL_SERVICE_NAME": "forge-worker",
        "NATS_URL": "nats://x",
    }
    surroundings = replace(installed("earth"), buildkit_hosts="tcp://a:1,tcp://b:1", environ=environ)

    runner = choose_runner("earthly", surroundings)

    assert isinstance(runner, EarthlyRunner)
    assert runner.pool is not None
    assert runner.pool.names == ["a:1", "b:1"]
    assert dict(runner.telemetry) == {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}


def test_a_daemons_address_that_cannot_be_used_is_refused_at_the_start() -> None:
    with pytest.raises(RunnerRefused, match="starts a container of its own"):
        choose_runner("earthly", replace(installed("earth"), buildkit_hosts="tcp://127.0.0.1:8372"))
