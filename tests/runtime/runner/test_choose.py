"""Which runner is taken, and when none may be."""

import pytest

from forge_runtime.runner.choose import RunnerRefused, RunnerSurroundings, choose_runner
from forge_runtime.settings import RunnerSetting


def installed(*programs: str, engine: str = "local") -> RunnerSurroundings:
    return RunnerSurroundings(engine=engine, which=lambda name: f"/bin/{name}" if name in programs else None)


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
