"""The simulation plays what dispatchers and workers do: stages, pods, waves, queues, workers."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forgec.estimate.schedule import Schedule, simulate
from forgec.estimate.work import Address, Job, Stage, Waves, critical_path

MANY = 10_000


def job(name: str, seconds: float) -> Job:
    return Job(Address("test", "api", name), "tasks", seconds)


def waves(*each: list[float]) -> Waves:
    return tuple(tuple(job(f"{at}-{number}", s) for number, s in enumerate(wave)) for at, wave in enumerate(each))


def stage(*units: tuple[Waves, ...]) -> Stage:
    return Stage("group", units)


def play(*stages: Stage, workers: int = MANY, pods_max: int = MANY) -> Schedule:
    return simulate(stages, workers=workers, pods_max=pods_max)


def seconds(schedule: Schedule) -> list[tuple[str, float]]:
    return [(wait.job.address.step, wait.seconds) for wait in schedule.waits]


def test_the_steps_of_a_wave_run_together_and_waves_one_after_another() -> None:
    schedule = play(stage((waves([3, 5], [2]),)))

    assert schedule.makespan_s == 7
    assert seconds(schedule) == [("0-0", 0), ("0-1", 0), ("1-0", 0)]


def test_a_group_waits_for_the_one_before() -> None:
    assert play(stage((waves([3]), waves([9]))), stage((waves([4]),))).makespan_s == 13


def test_one_worker_does_one_thing_at_a_time_in_the_order_of_submission() -> None:
    first, second = waves([3, 5], [2]), waves([7])

    schedule = play(stage((first, second)), workers=1)

    assert schedule.makespan_s == 17
    assert schedule.busy == 1
    assert seconds(schedule) == [("0-0", 0), ("0-1", 3), ("0-0", 8), ("1-0", 7)], "a later wave joins the queue's end"
    assert schedule.longest_wait.seconds == 8


def test_only_so_many_pods_run_at_once() -> None:
    units = [(waves([4]),), (waves([1]), waves([6])), (waves([2]),)]

    assert play(stage(*units), pods_max=1).makespan_s == 12
    assert play(stage(*units), pods_max=2).makespan_s == 6
    assert play(stage(*units), pods_max=3).makespan_s == 6


def test_each_pool_has_workers_of_its_own() -> None:
    build = Job(Address("_release", "api", "artifact:image"), "artifacts", 5)

    schedule = play(stage((waves([4]), ((build,),))), workers=1)

    assert schedule.makespan_s == 5
    assert schedule.busy == pytest.approx(4 / 5), "of the workers of steps"


def test_work_without_duration_takes_no_time() -> None:
    schedule = play(stage((waves([0.0], [0.0]),)), workers=1)

    assert (schedule.makespan_s, schedule.busy) == (0, 0)


TASKS = st.lists(st.lists(st.integers(0, 50), min_size=1, max_size=4), min_size=1, max_size=4)
UNITS = st.lists(st.lists(TASKS, min_size=1, max_size=3), min_size=1, max_size=5)
STAGES = st.lists(UNITS, min_size=1, max_size=3)


@settings(max_examples=200, deadline=None)
@given(STAGES, st.integers(1, 6), st.integers(1, 6))
def test_a_schedule_lies_between_its_bounds(drawn: list, workers: int, pods_max: int) -> None:  # type: ignore[type-arg]
    stages = tuple(
        stage(*(tuple(waves(*([float(s) for s in wave] for wave in task)) for task in unit) for unit in units))
        for units in drawn
    )
    work_s = sum(job.duration_s for each in stages for task in each.tasks() for wave in task for job in wave)
    chain_s = sum(job.duration_s for _, job in critical_path(stages))

    limited = play(*stages, workers=workers, pods_max=pods_max)

    assert max(chain_s, work_s / workers) <= limited.makespan_s <= work_s
    assert play(*stages).makespan_s == chain_s, "with enough of everything the longest chain is all there is"
    assert play(*stages, workers=1).makespan_s == work_s
    assert len(limited.waits) == sum(len(wave) for each in stages for task in each.tasks() for wave in task)
    assert math.isclose(limited.busy * workers * limited.makespan_s, work_s)
