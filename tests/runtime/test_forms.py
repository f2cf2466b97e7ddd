"""A manifest carried out: entry after entry as Argo would, with real dispatchers and workers, on each bus."""

import asyncio
from collections.abc import Iterator, Mapping

import pytest
from msgspec.structs import replace
from tests.compiler.manifest.interpreter import Started, entries
from tests.runtime import samples
from tests.runtime.conftest import OpenWorkshop
from tests.runtime.stages import Stages
from tests.runtime.workshop import PlannedDiscovery, ScriptHandler, Workshop

from forge_runtime.command_line import parse_command
from forge_runtime.dispatcher import OUTPUT_DIR_DEFAULT, Exit
from forge_runtime.job import JobState, JobType
from forgec import pipeline
from forgec.manifest.lower import ManifestOptions


def say(word: str) -> str:
    return f"echo {word} >> $OUT/order"


PROJECTS = {
    "web": [{"deps": say("w1"), "fmt": say("w1")}, {"lint": say("w2")}, {"unit": say("w3"), "e2e": say("w3")}],
    "api": [{"unit": say("a1")}, {"late": say("a2")}],
}


@pytest.mark.parametrize("form", ["static", "step", "dynamic"])
async def test_every_job_of_a_manifest_runs_once_and_in_its_order(open_workshop: OpenWorkshop, form: str) -> None:
    async with open_workshop(PROJECTS) as shop:
        await _plan(shop, by_step=form == "step")
        stages = Stages(["dev"])
        options = ManifestOptions(run_id=shop.run.run_id)
        manifest = pipeline.emit(pipeline.lower(shop.plan, options, dynamic=form == "dynamic"))
        handlers = {
            JobType.DISCOVERY: PlannedDiscovery(shop.plan, shop.digest),
            JobType.CI: ScriptHandler(shop.folder),
            **stages.handlers,
        }
        async with shop.worker(shop.bench(handlers=handlers)):
            pods = await _carry_out(shop, manifest)

        assert pods == {"static": 2, "step": 8, "dynamic": 3}[form]
        assert set((await shop.states()).values()) == {JobState.SUCCEEDED}
        order = shop.lines("order")
        assert sorted(order) == ["a1", "a2", "w1", "w1", "w2", "w3", "w3"]
        assert [word for word in order if word[0] == "w"] == ["w1", "w1", "w2", "w3", "w3"]
        assert [word for word in order if word[0] == "a"] == ["a1", "a2"]
        assert stages.started == ["web/artifact:image", "web/release", "web/deploy:dev"]


async def _carry_out(shop: Workshop, manifest: bytes) -> int:
    """Run the pods of each entry together, entry after entry; how many there were."""
    count = 0
    for together in entries(manifest, _Files(shop)):
        codes = await asyncio.gather(*(_pod(shop, pod) for pod in together))
        assert set(codes) <= {Exit.SUCCEEDED}
        count += len(together)
    return count


async def _pod(shop: Workshop, pod: Started) -> Exit:
    program, *arguments = pod.argv
    assert program == "forge-dispatcher"
    return await shop.dispatcher().perform(parse_command(arguments))


class _Files(Mapping[str, str]):
    """What the discovery dispatcher has written by the time that somebody asks."""

    def __init__(self, shop: Workshop) -> None:
        self._folder = shop.folder / "outputs"

    def __getitem__(self, path: str) -> str:
        file = self._folder / path.removeprefix(f"{OUTPUT_DIR_DEFAULT}/")
        if not file.is_file():
            raise KeyError(path)
        return file.read_text(encoding="utf-8")

    def __iter__(self) -> Iterator[str]:
        return (f"{OUTPUT_DIR_DEFAULT}/{file.name}" for file in self._folder.iterdir())

    def __len__(self) -> int:
        return sum(1 for _ in self)


async def _plan(shop: Workshop, *, by_step: bool) -> None:
    """The workshop's plan, with a release of an artifact and its deployment."""
    (group,) = shop.plan.groups
    (phase,) = group.phases
    units = tuple(replace(unit, by_step=by_step) for unit in phase.units)
    groups = (replace(group, phases=(replace(phase, units=units),)),)
    release = samples.plan_of({}, [samples.released("web", "image")]).release
    await shop.plans(replace(shop.plan, groups=groups, release=release))
