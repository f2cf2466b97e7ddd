"""When a failure is tried again, and after how long."""

import pytest

from forge_runtime.retry import ATTEMPTS_MAX, Retry, Stop, after_failure, backoff_s


@pytest.mark.parametrize(("attempt", "delay_s"), [(1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0)])
def test_infrastructure_is_tried_again_after_a_doubling_delay(attempt: int, delay_s: float) -> None:
    assert after_failure("infra", attempt, jitter=0.25) == Retry(delay_s + 0.25)


def test_the_last_attempt_stops() -> None:
    assert after_failure("infra", ATTEMPTS_MAX, jitter=0.0) == Stop()
    assert after_failure("infra", 3, jitter=0.0, attempts_max=3) == Stop()


@pytest.mark.parametrize("error_class", ["user", "config", "timeout", "cancelled", "policy", "internal"])
def test_no_other_class_is_tried_again(error_class: str) -> None:
    assert after_failure(error_class, 1, jitter=0.0) == Stop()


def test_delay_never_passes_a_minute_and_its_jitter() -> None:
    assert backoff_s(6, 0.0) == 60.0
    assert backoff_s(10_000, 0.5) == 60.5
