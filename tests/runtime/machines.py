"""A run of one project whose phases are carried by workers of different machines, with real git and a real runner."""

import msgspec
from tests.runtime import samples
from tests.runtime.repository import forge_files, make_repository
from tests.runtime.workshop import Workshop

from forge_runtime.blob import DirectoryBlob
from forge_runtime.dispatcher import Exit
from forge_runtime.git.cache import GitCache
from forge_runtime.job import JobType
from forge_runtime.runner.host import HostRunner
from forge_runtime.runner.port import StepRunner
from forge_runtime.secret.resolve import Secrets
from forge_runtime.worker.ci import CiHandler
from forgec.plan.model import GroupPlan, PhasePlan, Plan, PlanStep, Task, Unit, Wave


def step(target: str) -> PlanStep:
    return PlanStep(name=target, action="earthly", target=f"+{target}", timeout_s=30.0)


def plan_of(*phases: tuple[str, ...]) -> Plan:
    """One group for each phase of the project `web`; a phase is its steps."""
    groups = []
    for number, targets in enumerate(phases, 1):
        task = Task(project="web", path="web", waves=(Wave(priority=0, steps=tuple(map(step, targets))),))
        unit = Unit(id=f"g{number:02}-p{number}-s001", tasks=(task,))
        groups.append(GroupPlan(number=number, phases=(PhasePlan(name=f"p{number}", units=(unit,)),)))
    return Plan(groups=tuple(groups), release=())


class Machines(Workshop):
    """Each has its own git cache and scratch area; they share the bus and the object store."""

    async def begin(self, plan: Plan, earthfile: str) -> None:
        url, sha = make_repository(self.folder / "origin", forge_files(earthfile))
        self.run = msgspec.structs.replace(self.run, clone_url=url, commit_sha=sha)
        await samples.store_run(self.bus, self.run)
        await self.plans(plan)

    async def carry(self, group: int, machine: str, runner: StepRunner | None = None) -> Exit:
        """One group of the plan, on one machine alone."""
        folder = self.folder / machine
        blob = DirectoryBlob(self.folder / "blob")
        handler = CiHandler(GitCache(folder / "git", allow_file=True), runner or HostRunner(), Secrets(stores={}), blob)
        bench = self.bench(machine, {JobType.CI: handler})
        object.__setattr__(bench, "scratch", folder / "scratch")
        async with self.worker(bench):
            return await self.dispatch(unit=self.plan.groups[group].unit_ids[0])
