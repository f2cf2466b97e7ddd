"""The dispatcher's command line: three leaves, and an error for anything else."""

import pytest

from forge_runtime.command_line import BadCommand, Command, parse_command

RUN_ID = "01a20dee-73bd-7d0a-b6b8-c29e69ed3286"
RUN = ("--run", f"forge-{RUN_ID}")


def test_discovery_takes_a_run() -> None:
    assert parse_command(["discover", *RUN]) == Command(leaf="discover", run_id=RUN_ID)


def test_unit_takes_a_plan_and_its_id_in_any_order() -> None:
    command = parse_command(["run", "--unit", "g01-test-s001", "--plan", "sha256:0", *RUN])

    assert command == Command(leaf="run", run_id=RUN_ID, plan="sha256:0", unit="g01-test-s001")


def test_end_takes_the_engines_word_in_any_case() -> None:
    assert parse_command(["finish", *RUN, "--status", "Failed"]) == Command(
        leaf="finish", run_id=RUN_ID, status="failed"
    )


def test_value_may_stand_behind_an_equals_sign() -> None:
    assert parse_command(["finish", f"--run=forge-{RUN_ID}", "--plan=sha256:0"]).plan == "sha256:0"


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ([], "discover, run, finish"),
        (["walk", *RUN], '"walk"'),
        (["discover"], "needs --run"),
        (["run", *RUN], "needs --plan and --unit"),
        (["discover", "--run", "nonsense"], '"nonsense"'),
        (["discover", "--run", "forge-nonsense"], '"forge-nonsense"'),
        (["discover", "--run"], "--run needs a value"),
        (["run", *RUN, "--plan", "--unit", "u"], "--plan needs a value"),
        (["run", *RUN, "--plan=", "--unit", "u"], "--plan needs a value"),
        (["discover", *RUN, "--color", "red"], '"--color"'),
        (["discover", *RUN, "more"], '"more"'),
        (["discover", *RUN, "-run", "x"], '"-run"'),
    ],
)
def test_line_that_is_not_understood_says_why(line: list[str], what: str) -> None:
    with pytest.raises(BadCommand) as caught:
        parse_command(line)

    assert what in str(caught.value)
