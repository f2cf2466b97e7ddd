"""The pool with daemons that answer over gRPC, and with watchers that are told what to see."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, ExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.earthly.daemon import FakeDaemon, fake_daemon

from forge_runtime.meter import Unmetered
from forge_runtime.metrics import WorkerMetrics, new_registry
from forge_runtime.runner.affinity import rank
from forge_runtime.runner.breaker import Probe
from forge_runtime.runner.endpoint import Endpoint
from forge_runtime.runner.pool import NoDaemon, RunnerPool
from forge_runtime.runner.probe import Seen

PROBE_EVERY_S = 0.02


class Told:
    """A watcher that sees what it is told to."""

    def __init__(self, _endpoint: Endpoint) -> None:
        self.seen = Seen(probe=Probe.HEALTHY)
        self.looked = asyncio.Event()

    async def look(self) -> Seen:
        self.looked.set()
        return self.seen

    async def close(self) -> None:
        return None


class Signals:
    """The gauge of a worker, with a way to wait for what it says."""

    def __init__(self) -> None:
        self.up: dict[str, bool] = {}
        self._news = asyncio.Event()

    def runner_up(self, runner: str, up: bool) -> None:
        self.up[runner] = up
        self._news.set()

    async def reached(self, **wanted: bool) -> None:
        async with asyncio.timeout(10):
            while any(self.up.get(name) is not up for name, up in wanted.items()):
                self._news.clear()
                await self._news.wait()


def endpoints(*names: str, leases_max: int = 4) -> list[Endpoint]:
    return [Endpoint(address=f"tcp://{name}", leases_max=leases_max) for name in names]


async def drain(pool: RunnerPool, signals: Signals, name: str) -> None:
    """The daemon says that it shuts down."""
    watcher = pool._members[name].watcher
    assert isinstance(watcher, Told)
    watcher.seen = Seen(probe=Probe.DRAINING, why="NOT_SERVING")
    await signals.reached(**{name: False})


async def looked_again(pool: RunnerPool, name: str) -> None:
    """The daemon was probed, and what came of it was drawn."""
    watcher = pool._members[name].watcher
    assert isinstance(watcher, Told)
    for _ in range(2):
        watcher.looked.clear()
        await watcher.looked.wait()


async def opened(stack: AsyncExitStack, *names: str, leases_max: int = 4) -> tuple[RunnerPool, Signals]:
    signals = Signals()
    pool = RunnerPool(endpoints(*names, leases_max=leases_max), signals, probe_every_s=PROBE_EVERY_S, watch=Told)
    await stack.enter_async_context(pool.serving())
    await signals.reached(**dict.fromkeys(names, True))
    return pool, signals


async def test_steps_of_one_key_go_to_one_daemon_one_after_the_other() -> None:
    async with AsyncExitStack() as stack:
        pool, _ = await opened(stack, "a", "b", "c")
        used = set()
        for _ in range(10):
            async with pool.lease("repo/web") as lease:
                used.add(lease.endpoint.name)

    assert used == {rank("repo/web", ["a", "b", "c"])[0]}


async def test_a_lease_apart_is_on_another_daemon() -> None:
    async with AsyncExitStack() as stack:
        pool, _ = await opened(stack, "a", "b")
        async with pool.lease("key") as first, pool.lease("key", apart=first.endpoint.name) as second:
            assert first.endpoint != second.endpoint


async def test_whoever_finds_all_full_waits_until_a_lease_is_given_back() -> None:
    async with AsyncExitStack() as stack:
        pool, _ = await opened(stack, "a", leases_max=1)

        async def hold(release: asyncio.Event, held: asyncio.Event) -> None:
            async with pool.lease("key"):
                held.set()
                await release.wait()

        first, second = (asyncio.Event(), asyncio.Event()), (asyncio.Event(), asyncio.Event())
        one = asyncio.create_task(hold(*first))
        await first[1].wait()
        two = asyncio.create_task(hold(*second))
        await asyncio.sleep(0)
        assert not second[1].is_set()
        first[0].set()
        async with asyncio.timeout(10):
            await second[1].wait()
        second[0].set()
        await asyncio.gather(one, two)


async def test_a_wait_that_lasts_too_long_tells_how_each_daemon_is() -> None:
    async with AsyncExitStack() as stack:
        pool, signals = await opened(stack, "a", "b", leases_max=1)
        await drain(pool, signals, "b")
        async with pool.lease("key"):
            with pytest.raises(NoDaemon, match=r"a is in use by 1 of at most 1 .*; b is not usable \(NOT_SERVING\)"):
                async with pool.lease("key", wait_s=0.05):
                    pass


async def test_a_daemon_that_lost_a_step_gets_no_other_for_a_while() -> None:
    async with AsyncExitStack() as stack:
        pool, signals = await opened(stack, "a", "b")
        async with pool.lease("key") as lease:
            lease.lost = True
        other = next(name for name in ("a", "b") if name != lease.endpoint.name)
        assert signals.up == {lease.endpoint.name: False, other: True}
        async with pool.lease("key") as second:
            assert second.endpoint.name == other


async def test_a_cancelled_step_says_nothing_of_its_daemon_and_gives_its_place_back() -> None:
    async with AsyncExitStack() as stack:
        pool, signals = await opened(stack, "a", leases_max=1)

        async def hold(held: asyncio.Event) -> None:
            async with pool.lease("key"):
                held.set()
                await asyncio.sleep(60)

        held = asyncio.Event()
        task = asyncio.create_task(hold(held))
        await held.wait()
        task.cancel()
        await asyncio.wait({task})

        assert signals.up == {"a": True}
        async with pool.lease("key", wait_s=1):
            pass


async def test_a_drained_daemon_keeps_its_steps_and_gets_no_more() -> None:
    async with AsyncExitStack() as stack:
        pool, signals = await opened(stack, "a", "b")
        async with pool.lease("key") as lease:
            await drain(pool, signals, lease.endpoint.name)
            async with pool.lease("key") as second:
                assert second.endpoint != lease.endpoint
        await looked_again(pool, lease.endpoint.name)
        assert signals.up[lease.endpoint.name] is False


async def test_a_probe_that_fails_by_itself_counts_as_failed_and_is_repeated() -> None:
    class Broken(Told):
        async def look(self) -> Seen:
            if self.seen.probe is Probe.FAILED:
                raise RuntimeError("a bug")
            return await super().look()

    signals = Signals()
    pool = RunnerPool(endpoints("a"), signals, probe_every_s=PROBE_EVERY_S, watch=Broken)
    async with pool.serving():
        await signals.reached(a=True)
        watcher = pool._members["a"].watcher
        assert isinstance(watcher, Told)
        watcher.seen = Seen(probe=Probe.FAILED)
        await signals.reached(a=False)
        watcher.seen = Seen(probe=Probe.HEALTHY)
        await signals.reached(a=True)


async def test_a_pool_that_is_not_served_gives_no_leases() -> None:
    pool = RunnerPool(endpoints("a"), Unmetered(), watch=Told)

    with pytest.raises(NoDaemon, match="not served"):
        async with pool.lease("key"):
            pass


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.booleans()), max_size=40), st.integers(1, 3))
def test_leases_are_never_more_than_a_daemon_takes_and_all_come_back(
    steps: Sequence[tuple[int, bool, bool]], leases_max: int
) -> None:
    """Each step: its key, whether it loses its daemon, whether it is cancelled while it runs."""
    held: dict[str, int] = {}
    most: list[int] = [0]

    async def run(pool: RunnerPool, key: int, loses: bool, stays: bool) -> None:
        async with pool.lease(f"key-{key}", wait_s=0.2) as lease:
            name = lease.endpoint.name
            held[name] = held.get(name, 0) + 1
            most.append(held[name])
            try:
                await asyncio.sleep(60 if stays else 0)
                lease.lost = loses
            finally:
                held[name] -= 1

    async def all_of_them() -> int:
        async with AsyncExitStack() as stack:
            pool, _ = await opened(stack, "a", "b", "c", leases_max=leases_max)
            tasks = [asyncio.create_task(run(pool, key, loses, stays)) for key, loses, stays in steps]
            await asyncio.sleep(0.01)
            for task, (_, _, stays) in zip(tasks, steps, strict=True):
                if stays:
                    task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            return sum(member.leases for member in pool._members.values())

    assert asyncio.run(all_of_them()) == 0
    assert max(most) <= leases_max


@pytest.fixture
def daemons() -> Callable[[int], list[FakeDaemon]]:
    with ExitStack() as stack:
        yield lambda count: [stack.enter_context(fake_daemon()) for _ in range(count)]


async def test_real_daemons_come_and_go_and_a_metric_tells(daemons: Callable[[int], list[FakeDaemon]]) -> None:
    first, second = daemons(2)
    registry = new_registry()
    metrics, signals = WorkerMetrics(registry), Signals()

    class Both:
        def runner_up(self, runner: str, up: bool) -> None:
            metrics.runner_up(runner, up)
            signals.runner_up(runner, up)

    def value(daemon: FakeDaemon) -> float | None:
        return registry.get_sample_value("forge_earthly_runner_up", {"runner": daemon.endpoint.name})

    pool = RunnerPool([first.endpoint, second.endpoint], Both(), probe_every_s=PROBE_EVERY_S)
    names = [first.endpoint.name, second.endpoint.name]
    async with pool.serving():
        await signals.reached(**{names[0]: True, names[1]: True})
        assert (value(first), value(second)) == (1, 1)

        await asyncio.to_thread(first.stop)
        await signals.reached(**{names[0]: False})
        assert (value(first), value(second)) == (0, 1)
        for key in range(10):
            async with pool.lease(f"key-{key}") as lease:
                assert lease.endpoint == second.endpoint

        second.health = "NOT_SERVING"
        await signals.reached(**{names[1]: False})
        await asyncio.to_thread(first.start)
        await signals.reached(**{names[0]: True})
        async with pool.lease("key") as lease:
            assert lease.endpoint == first.endpoint
