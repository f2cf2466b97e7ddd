"""The subset of expr-lang that retry strategies use."""

import pytest

from forge_runtime.engine.expression import ExpressionError, compile_expression

NAMES = frozenset({"lastRetry.exitCode", "lastRetry.status", "lastRetry.message", "lastRetry.duration"})

RETRY = (
    "!(lastRetry.message contains 'deadline') && (lastRetry.status == 'Error' || "
    "asInt(lastRetry.exitCode) in [-1, 64, 65, 75, 137, 143])"
)


def last(exit_code: str, status: str = "Failed", message: str = "main: Error (exit code)") -> dict[str, str]:
    return {
        "lastRetry.exitCode": exit_code,
        "lastRetry.status": status,
        "lastRetry.message": message,
        "lastRetry.duration": "1",
    }


@pytest.mark.parametrize(
    ("values", "retried"),
    [
        (last("1"), False),
        (last("75"), True),
        (last("76"), False),
        (last("78"), False),
        (last("137"), True),
        (last("-1"), True),
        (last("-1", status="Error"), True),
        (last("137", message="Pod was active on the node longer than the specified deadline"), False),
    ],
)
def test_only_infrastructure_exit_codes_are_retried(values: dict[str, str], retried: bool) -> None:
    assert compile_expression(RETRY, NAMES)(values) is retried


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 == 1", True),
        ("'a' != 'a'", False),
        ("1 in []", False),
        ("! (1 == 2) && 2 == 2", True),
        ("1 == 2 && 1 == 1 || 3 == 3", True),
        ("1 == 1 || asInt('x') == 1", True),
    ],
)
def test_operators_bind_and_shortcut_as_in_expr_lang(text: str, expected: bool) -> None:
    assert compile_expression(text, NAMES)({}) is expected


@pytest.mark.parametrize(
    "text",
    ["", "lastRetry.unknown == 1", "1 +", "len('x') == 1", "(1 == 1", "1 == 1)", "a ? b : c", "[1", "(" * 60 + "1"],
)
def test_what_is_outside_the_subset_is_refused_before_it_runs(text: str) -> None:
    with pytest.raises(ExpressionError):
        compile_expression(text, NAMES)


def test_a_value_that_is_no_truth_value_is_an_error() -> None:
    with pytest.raises(ExpressionError, match="not true or false"):
        compile_expression("1", NAMES)({})
