"""A project's steps and its warm cache: later phases go to the build daemon that served the earlier ones."""

from pathlib import Path

from tests.earthly.fakes import FakeCli
from tests.runtime.machines import Machines, plan_of
from tests.runtime.runner.step import Healthy

from forge_runtime.bus.memory import MemoryBus
from forge_runtime.dispatcher import Exit
from forge_runtime.meter import Unmetered
from forge_runtime.runner.affinity import rank
from forge_runtime.runner.earthly import EarthlyRunner
from forge_runtime.runner.endpoint import parse_endpoints
from forge_runtime.runner.pool import RunnerPool

DAEMONS = [f"buildkitd-{number}.buildkitd:8372" for number in range(5)]


async def test_all_phases_of_a_project_use_one_daemon_from_any_worker(tmp_path: Path) -> None:
    cli = FakeCli(tmp_path / "cli")
    machines = Machines(MemoryBus(), tmp_path)
    await machines.begin(plan_of(("lint",), ("unit",), ("build",)), "VERSION 0.8\n")

    exits = []
    for group, machine in enumerate(("one", "two", "three")):
        pool = RunnerPool(parse_endpoints(" ".join(f"tcp://{name}" for name in DAEMONS)), Unmetered(), watch=Healthy)
        runner = EarthlyRunner(cli=str(cli.program), pool=pool)
        async with runner.serving():
            exits.append(await machines.carry(group, machine, runner))

    assert exits == [Exit.SUCCEEDED] * 3
    used = [call["argv"][call["argv"].index("--buildkit-host") + 1] for call in cli.calls]
    assert used == [f"tcp://{rank(f'{machines.run.repository}/web', DAEMONS)[0]}"] * 3
