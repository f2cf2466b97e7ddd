"""Every pair of every table, and the laws that a parent's state obeys."""

import itertools
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge_runtime.job import JobState
from forge_runtime.status import (
    DEPLOYMENT,
    JOB,
    PHASE,
    RUN,
    STEP,
    TASK,
    Change,
    ChildStatus,
    Machine,
    Refused,
    RunStatus,
    Same,
    conclude,
    derive,
    next_status,
    reach,
)

MACHINES = (RUN, PHASE, TASK, STEP, JOB, DEPLOYMENT)
PAIRS = [(machine, a, b) for machine in MACHINES for a in machine.arrows for b in machine.arrows]

LEGAL = {
    "run": "pending>discovering pending>failed pending>cancelled discovering>running discovering>succeeded "
    "discovering>failed discovering>cancelled running>succeeded running>failed running>cancelled",
    "phase": "pending>running pending>skipped pending>cancelled running>succeeded running>failed running>cancelled",
    "job": "queued>leased queued>failed queued>cancelled queued>expired leased>queued leased>succeeded leased>failed "
    "leased>cancelled failed>queued",
    "deployment": "pending>active pending>failed active>superseded failed>active",
}
LEGAL["task"] = LEGAL["step"] = LEGAL["phase"]


@pytest.mark.parametrize(("machine", "current", "wanted"), PAIRS, ids=lambda value: getattr(value, "name", value))
def test_each_pair_of_states_is_judged_as_the_contract_lists_it(machine: Machine, current: str, wanted: str) -> None:
    verdict = next_status(machine, current, wanted)

    if current == wanted:
        assert verdict == Same()
    elif f"{current}>{wanted}" in LEGAL[machine.name].split():
        assert verdict == Change(wanted)
    else:
        assert isinstance(verdict, Refused)
        assert current in verdict.reason


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_arrows_lead_to_known_states_only(machine: Machine) -> None:
    assert {target for targets in machine.arrows.values() for target in targets} <= set(machine.arrows)


def test_tables_and_enumerations_name_the_same_states() -> None:
    assert set(RUN.arrows) == set(RunStatus)
    assert set(STEP.arrows) == set(ChildStatus)
    assert set(JOB.arrows) == set(JobState)


def test_unknown_status_is_refused_by_name() -> None:
    verdict = next_status(STEP, "pending", "sleeping")

    assert verdict == Refused('"sleeping" is not a status of a step')


@pytest.mark.parametrize(
    ("machine", "current", "wanted"),
    [
        (STEP, "pending", "succeeded"),
        (STEP, "pending", "failed"),
        (RUN, "pending", "running"),
        (RUN, "pending", "succeeded"),
        (JOB, "queued", "succeeded"),
        (DEPLOYMENT, "pending", "superseded"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_states_that_were_missed_on_the_way_are_passed_through(machine: Machine, current: str, wanted: str) -> None:
    assert isinstance(next_status(machine, current, wanted), Refused)
    assert reach(machine, current, wanted) == Change(wanted)


@pytest.mark.parametrize(("machine", "current", "wanted"), PAIRS, ids=lambda value: getattr(value, "name", value))
def test_nothing_leads_out_of_a_final_state(machine: Machine, current: str, wanted: str) -> None:
    if machine.final(current) and current != wanted:
        assert isinstance(reach(machine, current, wanted), Refused)


def test_a_running_step_is_never_skipped() -> None:
    assert isinstance(reach(STEP, "running", "skipped"), Refused)


@pytest.mark.parametrize(
    ("children", "parent"),
    [
        ("", "skipped"),
        ("pending", "pending"),
        ("pending skipped", "pending"),
        ("pending running", "running"),
        ("pending succeeded", "running"),
        ("pending cancelled", "running"),
        ("running failed", "failed"),
        ("pending failed cancelled", "failed"),
        ("succeeded cancelled", "cancelled"),
        ("succeeded skipped", "succeeded"),
        ("skipped skipped", "skipped"),
        ("skipped cancelled", "cancelled"),
    ],
)
def test_a_parent_follows_its_children(children: str, parent: str) -> None:
    assert derive(children.split()) == parent


CHILDREN = st.lists(st.sampled_from(list(ChildStatus)), max_size=6)


@given(CHILDREN, st.randoms(use_true_random=False))
def test_a_parent_does_not_depend_on_the_order_or_number_of_equal_children(
    children: list[ChildStatus], random: Random
) -> None:
    shuffled = children + children[:1]
    random.shuffle(shuffled)

    assert derive(shuffled) == derive(children)


@given(CHILDREN.filter(bool), st.data())
def test_a_parent_never_goes_back_while_its_children_go_on(children: list[ChildStatus], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(children) - 1))
    before = derive(children)
    for after in STEP.arrows[children[index]]:
        changed = [*children[:index], ChildStatus(after), *children[index + 1 :]]

        assert not isinstance(reach(STEP, before, derive(changed)), Refused)


@pytest.mark.parametrize(
    ("cancelled", "failed", "phases"),
    list(itertools.product([True, False], [True, False], ["succeeded failed", "succeeded skipped", ""])),
)
def test_a_run_is_cancelled_if_asked_for_else_failed_if_anything_failed(
    cancelled: bool, failed: bool, phases: str
) -> None:
    status = conclude(phases.split(), cancelled=cancelled, failed=failed)

    if cancelled:
        assert status is RunStatus.CANCELLED
    elif failed or "failed" in phases:
        assert status is RunStatus.FAILED
    else:
        assert status is RunStatus.SUCCEEDED
