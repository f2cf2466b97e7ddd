"""The small trial, and what a schedule must hold. `make chaos SEED=n SIZE=nightly` is the large one."""

import asyncio
from pathlib import Path

import pytest
from tests.chaos.leased import Leased
from tests.chaos.schedule import CLUSTER, ELECTION_S, NIGHTLY, SMALL, Kind, Size, make_schedule
from tests.chaos.trial import perform
from tests.nats_server import NatsServer

SEED = 1


async def test_every_job_ends_once_whatever_is_killed(nats_server: NatsServer, tmp_path: Path) -> None:
    folder = tmp_path / "trial"
    await asyncio.to_thread(folder.mkdir)

    trial = await perform(Leased(nats_server.settings("chaos")), nats_server, make_schedule(SEED, SMALL), SMALL, folder)

    assert trial.findings == []
    assert (trial.verdict.jobs, trial.verdict.lost, trial.verdict.twice) == (300, 0, 0)


@pytest.mark.parametrize("size", [SMALL, NIGHTLY, CLUSTER], ids=lambda size: size.name)
def test_a_schedule_depends_on_seed_and_size_alone(size: Size) -> None:
    assert make_schedule(7, size) == make_schedule(7, size)
    assert make_schedule(7, size) != make_schedule(8, size)


def test_the_nightly_schedule_kills_as_often_as_promised() -> None:
    kinds = [fault.kind for fault in make_schedule(SEED, NIGHTLY)]

    assert NIGHTLY.jobs == 1500
    assert kinds.count(Kind.KILL_WORKER) >= 30
    assert kinds.count(Kind.KILL_DISPATCHER) >= 10
    assert kinds.count(Kind.KILL_SERVER) >= 5
    assert {Kind.PAUSE_WORKER, Kind.FILL_DISK, Kind.JUMP_CLOCK} <= set(kinds)


def test_the_leader_of_a_cluster_is_killed_and_parted_from_the_others_for_longer_than_an_election_takes() -> None:
    faults = make_schedule(SEED, CLUSTER)

    assert {Kind.KILL_SERVER, Kind.PAUSE_SERVER} <= {fault.kind for fault in faults}
    for kind in (Kind.CUT_SERVER_OFF, Kind.ISOLATE_SERVER):
        assert min(fault.amount_s for fault in faults if fault.kind is kind) > ELECTION_S
