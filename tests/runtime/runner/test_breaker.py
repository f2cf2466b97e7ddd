"""When a daemon may be given work: the breaker's transitions, and what holds for every history."""

from hypothesis import given
from hypothesis import strategies as st

from forge_runtime.runner import breaker
from forge_runtime.runner.breaker import PAUSE_S, PAUSE_S_MAX, PROBES_FAILED_MAX, Breaker, Probe

CLOSED = Breaker(open_until=None)

EVENTS = st.lists(
    st.tuples(st.sampled_from([*Probe, "lost", "served"]), st.floats(0, 100, allow_nan=False)), max_size=60
)


def after(state: Breaker, *probes: Probe, now: float = 100.0) -> Breaker:
    for probe in probes:
        state = breaker.probed(state, probe, now)
    return state


def test_a_daemon_is_not_used_before_it_was_seen() -> None:
    assert not Breaker().closed
    assert after(Breaker(), Probe.HEALTHY).closed


def test_one_failed_probe_opens_nothing_and_three_in_a_row_do() -> None:
    failed = [Probe.FAILED] * PROBES_FAILED_MAX

    assert after(CLOSED, *failed[1:]).closed
    assert not after(CLOSED, *failed).closed
    assert after(CLOSED, *failed[1:], Probe.HEALTHY, Probe.FAILED).closed


def test_a_probe_closes_what_probes_opened_at_once() -> None:
    assert after(CLOSED, *[Probe.FAILED] * PROBES_FAILED_MAX, Probe.HEALTHY).closed


def test_a_daemon_that_drains_gets_nothing_from_the_first_probe_on() -> None:
    assert not after(CLOSED, Probe.DRAINING).closed
    assert after(CLOSED, Probe.DRAINING, Probe.HEALTHY).closed


def test_a_daemon_that_lost_a_step_rests_even_if_its_probes_succeed() -> None:
    lost = breaker.lost(CLOSED, 100.0)

    assert not after(lost, Probe.HEALTHY, now=100.0 + PAUSE_S - 0.1).closed
    assert after(lost, Probe.HEALTHY, now=100.0 + PAUSE_S).closed


def test_each_loss_without_success_doubles_the_rest() -> None:
    state, rests = CLOSED, []
    for _ in range(12):
        state = breaker.lost(state, 0.0)
        assert state.open_until is not None
        rests.append(state.open_until)
        state = breaker.probed(state, Probe.HEALTHY, state.open_until)

    assert rests[:4] == [5.0, 10.0, 20.0, 40.0]
    assert rests[-1] == PAUSE_S_MAX
    assert breaker.lost(breaker.served(state), 0.0).open_until == PAUSE_S


@given(EVENTS)
def test_only_a_healthy_probe_closes_and_never_before_the_rest_is_over(events: list[tuple[object, float]]) -> None:
    state, now = Breaker(), 0.0
    for event, pause_s in events:
        now += pause_s
        before = state
        if event == "lost":
            state = breaker.lost(state, now)
            assert not state.closed
        elif event == "served":
            state = breaker.served(state)
            assert state.closed == before.closed
        else:
            assert isinstance(event, Probe)
            state = breaker.probed(state, event, now)
        if state.closed and not before.closed:
            assert event is Probe.HEALTHY
            assert before.open_until is not None
            assert now >= before.open_until
