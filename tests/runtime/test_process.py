"""Processes end with their whole group, whatever ends them."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from forge_runtime.mask import Mask
from forge_runtime.process import LINE_BYTES_MAX, ProcessEnd, Program, kill_stale_groups, run_process


def run(
    script: str, cwd: Path, *, timeout_s: float = 20, groups: Path | None = None, secrets: Iterable[str] = ()
) -> tuple[ProcessEnd, list[str]]:
    lines = Lines()
    program = replace(shell(script, cwd), mask=Mask(secrets))
    end = asyncio.run(run_process(program, timeout_s=timeout_s, output=lines.take, groups=groups))
    return end, lines


def shell(script: str, cwd: Path) -> Program:
    return Program(argv=("sh", "-c", script), cwd=cwd, environment={"PATH": os.environ["PATH"]})


class Lines(list[str]):
    """What was printed, with a way to wait for the n-th line."""

    def __init__(self) -> None:
        super().__init__()
        self._news = asyncio.Event()

    async def take(self, line: str) -> None:
        self.append(line)
        self._news.set()

    async def reached(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self) < count:
                self._news.clear()
                await self._news.wait()


def alive(pid: int) -> bool:
    """Zombies that nobody reaps (their parent was killed, init is lazy) count as dead."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition: Callable[[], bool], within_s: float = 10) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "condition did not come true in time"
        time.sleep(0.01)


def test_output_of_both_streams_and_exit_code_are_returned(tmp_path: Path) -> None:
    end, lines = run("echo one; echo two >&2; printf three; exit 7", tmp_path)

    assert end == ProcessEnd(exit_code=7)
    assert lines == ["one", "two", "three"]


def test_environment_is_exactly_the_given_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORGE_TOKEN", "secret")

    _, lines = run("env", tmp_path)

    assert not [line for line in lines if "secret" in line]


def test_standard_input_is_empty(tmp_path: Path) -> None:
    end, lines = run("cat; echo done", tmp_path)

    assert (end.exit_code, lines) == (0, ["done"])


def test_long_lines_are_cut_and_bad_utf8_is_replaced(tmp_path: Path) -> None:
    _, lines = run(r"head -c 40000 /dev/zero | tr '\0' x; echo; printf 'a\377b\n'", tmp_path)

    assert [len(line) for line in lines] == [LINE_BYTES_MAX, LINE_BYTES_MAX, 40000 - 2 * LINE_BYTES_MAX, 3]
    assert lines[3] == "a\N{REPLACEMENT CHARACTER}b"


@pytest.mark.parametrize("before", range(LINE_BYTES_MAX - 12, LINE_BYTES_MAX + 2))
def test_a_secret_across_the_cut_of_a_long_line_is_hidden(tmp_path: Path, before: int) -> None:
    zeros = "head -c {} /dev/zero | tr '\\0' {}".format
    script = f"{zeros(before, 'x')}; printf 'n0t-'; sleep 0.02; printf 't0ld'; {zeros(40000, 'y')}"

    _, lines = run(script, tmp_path, secrets=["n0t-t0ld"])

    text = "".join(lines)
    assert text == "x" * before + "***" + "y" * 40000
    assert max(map(len, lines)) <= LINE_BYTES_MAX


@pytest.mark.parametrize(
    ("secrets", "count"),
    [(["n0t-t0ld-" * 4], 5000), (["x" * 20000], 12), (["pass", "password1"], 20000)],
    ids=["many on one line", "longer than a line", "one within another"],
)
def test_secrets_that_fill_a_line_without_an_end_are_hidden(tmp_path: Path, secrets: list[str], count: int) -> None:
    (tmp_path / "secret").write_text(secrets[-1])
    script = (
        f"i=0; while [ $i -lt {count} ]; do cat secret; i=$((i+1)); done"
        if count < 100
        else (f"yes \"$(cat secret)\" | head -n {count} | tr -d '\\n'")
    )

    _, lines = run(script, tmp_path, secrets=secrets)

    assert "".join(lines) == "***" * count


def test_a_megabyte_of_output_does_not_block(tmp_path: Path) -> None:
    end, lines = run("yes line | head -n 200000", tmp_path)

    assert end.exit_code == 0
    assert len(lines) == 200000


def test_time_limit_ends_the_group(tmp_path: Path) -> None:
    began = time.monotonic()

    end, lines = run("sleep 60 & echo $!; sleep 60", tmp_path, timeout_s=0.3)

    assert end.timed_out
    assert time.monotonic() - began < 2
    wait_until(lambda: not alive(int(lines[0])))


def test_a_group_that_ignores_sigterm_is_killed_after_the_grace(tmp_path: Path) -> None:
    began = time.monotonic()

    end, lines = run("trap '' TERM; echo $$; while :; do sleep 0.1; done", tmp_path, timeout_s=0.3)

    assert end.timed_out
    assert 1 < time.monotonic() - began < 3
    wait_until(lambda: not alive(int(lines[0])))


def test_cancelling_ends_grandchildren_within_two_seconds(tmp_path: Path) -> None:
    lines = Lines()

    async def cancel_when_started() -> float:
        script = "sh -c 'sleep 60 & echo $!; wait' & echo $!; sleep 60"
        task = asyncio.create_task(run_process(shell(script, tmp_path), timeout_s=60, output=lines.take))
        await lines.reached(2)
        began = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - began

    took_s = asyncio.run(cancel_when_started())

    assert took_s < 2
    wait_until(lambda: not any(alive(int(pid)) for pid in lines))


def test_a_second_cancellation_does_not_spare_the_group(tmp_path: Path) -> None:
    lines = Lines()
    groups = tmp_path / "groups"

    async def cancel_twice() -> None:
        script = "trap '' TERM; echo $$; while :; do sleep 0.1; done"
        process = run_process(shell(script, tmp_path), timeout_s=60, output=lines.take, groups=groups)
        task = asyncio.create_task(process)
        await lines.reached(1)
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel_twice())

    wait_until(lambda: not alive(int(lines[0])))
    assert list(groups.iterdir()) == []


ESCAPES = {
    "a session of its own": "setsid sleep 60 & echo $!",
    "a daemon": "(setsid sh -c 'echo $$; exec sleep 60' &) ; sleep 0.2",
    "without its environment, below a parent that lives": "setsid sh -c 'env -i sleep 60 & echo $!; wait' & sleep 0.2",
}


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="strays are found by /proc, which is not there")
@pytest.mark.parametrize("script", ESCAPES.values(), ids=ESCAPES)
@pytest.mark.parametrize("rest", ["", "; sleep 60"], ids=["exit", "time limit"])
def test_a_marked_programs_children_do_not_escape_by_leaving_its_group(tmp_path: Path, script: str, rest: str) -> None:
    lines = Lines()
    program = replace(shell(script + rest, tmp_path), marked=True)

    asyncio.run(run_process(program, timeout_s=1 if rest else 20, output=lines.take))

    assert lines[0].isdigit()
    assert not alive(int(lines[0]))


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="strays are found by /proc, which is not there")
def test_a_child_without_its_environment_ends_with_a_leader_that_had_to_be_killed(tmp_path: Path) -> None:
    lines = Lines()
    script = "trap '' TERM; env -i setsid sleep 60 & echo $!; while :; do sleep 1; done"
    program = replace(shell(script, tmp_path), marked=True)

    asyncio.run(run_process(program, timeout_s=1, output=lines.take, grace_s=0.1))

    assert not alive(int(lines[0]))


def test_a_flood_of_lines_leaves_turns_to_others(tmp_path: Path) -> None:
    handed_on, most = 0, 0

    async def take(_line: str) -> None:
        nonlocal handed_on
        handed_on += 1

    async def watch() -> None:
        nonlocal most
        while True:
            before = handed_on
            await asyncio.sleep(0)
            most = max(most, handed_on - before)

    async def flood() -> None:
        watching = asyncio.create_task(watch())
        await run_process(shell("yes words | head -n 100000", tmp_path), timeout_s=20, output=take)
        watching.cancel()

    asyncio.run(flood())

    assert handed_on == 100_000
    assert most <= 256


def test_programs_that_run_beside_a_marked_one_are_spared(tmp_path: Path) -> None:
    lines = Lines()

    async def beside() -> bool:
        program = replace(shell("setsid sleep 60 & echo $!; sleep 60", tmp_path), marked=True)
        other = asyncio.create_task(run_process(program, timeout_s=60, output=lines.take))
        await lines.reached(1)
        await run_process(replace(shell("true", tmp_path), marked=True), timeout_s=20, output=Lines().take)
        spared = alive(int(lines[0]))
        other.cancel()
        with pytest.raises(asyncio.CancelledError):
            await other
        return spared

    assert asyncio.run(beside())
    assert not alive(int(lines[0]))


LEGIBLE = [
    (rb"10%%\r 55%%\r100%%\n", ["100%"]),
    (rb"text\r\n", ["text"]),
    (rb"\r\r\n", [""]),
    (rb"a\000b\n", ["a\N{SYMBOL FOR NULL}b"]),
    (rb"\033[1A\033[2Kdone\033[K\n", ["done"]),
    (rb"\033[31mred\033[0m\n", ["\x1b[31mred\x1b[0m"]),
    (rb"n0t-\033[Kt0ld\n", ["***"]),
]


@pytest.mark.parametrize(("printed", "shown"), LEGIBLE)
def test_a_legible_programs_output_is_what_a_person_would_see(tmp_path: Path, printed: bytes, shown: list[str]) -> None:
    lines = Lines()
    program = replace(shell(f"printf '{printed.decode()}'", tmp_path), legible=True, mask=Mask(["n0t-t0ld"]))

    asyncio.run(run_process(program, timeout_s=20, output=lines.take))

    assert lines == shown


def test_other_programs_output_is_left_as_it_is(tmp_path: Path) -> None:
    _, lines = run(r"printf 'a\000b\rc\n'", tmp_path)

    assert lines == ["a\0b\rc"]


def test_background_children_do_not_outlive_a_normal_exit(tmp_path: Path) -> None:
    began = time.monotonic()

    end, lines = run("sleep 60 & echo $!", tmp_path)

    assert end.exit_code == 0
    assert time.monotonic() - began < 2
    wait_until(lambda: not alive(int(lines[0])))


def test_an_error_of_the_reader_ends_the_group_and_is_raised(tmp_path: Path) -> None:
    pids: list[str] = []

    async def broken(line: str) -> None:
        pids.append(line)
        raise ValueError("disk full")

    with pytest.raises(ValueError, match="disk full"):
        asyncio.run(run_process(shell("echo $$; sleep 60", tmp_path), timeout_s=60, output=broken))

    wait_until(lambda: not alive(int(pids[0])))


def test_a_program_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    program = Program(argv=("no-such-program",), cwd=tmp_path, environment={"PATH": "/nowhere"})

    with pytest.raises(FileNotFoundError):
        asyncio.run(run_process(program, timeout_s=5, output=Lines().take))


def test_notes_of_groups_are_gone_after_the_end(tmp_path: Path) -> None:
    groups = tmp_path / "groups"

    _, lines = run("until ls groups/*.group 2>/dev/null; do sleep 0.01; done", tmp_path, groups=groups)

    assert lines[0].endswith(".group")
    assert list(groups.iterdir()) == []


_WORKER = """
import asyncio, os, sys
from pathlib import Path
from forge_runtime.process import Program, run_process

async def output(line):
    print(line, flush=True)

program = Program(argv=("sh", "-c", "sleep 60 & echo $!; echo $$; wait"), cwd=Path("."), environment=dict(os.environ))
asyncio.run(run_process(program, timeout_s=60, output=output, groups=Path(sys.argv[1])))
"""


@pytest.mark.parametrize("content", [b"", b"12", b"\0\0\0", b"\xff\xfe 1 x", b"99999999999999999999 1"])
def test_note_that_a_crash_has_damaged_keeps_no_worker_from_starting(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "12.group").write_bytes(content)

    assert kill_stale_groups(tmp_path) == 0
    assert list(tmp_path.iterdir()) == []


def test_groups_of_a_killed_worker_are_killed_by_the_next_one(tmp_path: Path) -> None:
    worker = subprocess.Popen([sys.executable, "-c", _WORKER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert worker.stdout
    pids = [int(worker.stdout.readline()) for _ in range(2)]
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    worker.stdout.close()
    assert [alive(pid) for pid in pids] == [True, True]

    killed = kill_stale_groups(tmp_path)

    assert killed == 1
    wait_until(lambda: not any(alive(pid) for pid in pids))
    assert list(tmp_path.iterdir()) == []


def test_strays_of_a_killed_worker_are_killed_by_the_next_one(tmp_path: Path) -> None:
    script = _WORKER.replace("sleep 60 &", "setsid sleep 60 &").replace("cwd=", "marked=True, cwd=")
    worker = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert worker.stdout
    stray, leader = (int(worker.stdout.readline()) for _ in range(2))
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    worker.stdout.close()
    assert [alive(pid) for pid in (stray, leader)] == [True, True]

    killed = kill_stale_groups(tmp_path)

    assert killed == 1
    wait_until(lambda: not any(alive(pid) for pid in (stray, leader)))


def test_a_process_that_got_a_stale_groups_id_is_spared(tmp_path: Path) -> None:
    bystander = subprocess.Popen(["sleep", "60"], start_new_session=True)
    (tmp_path / f"{bystander.pid}.group").write_text(f"{bystander.pid} 12345")

    killed = kill_stale_groups(tmp_path)

    assert killed == 0
    assert alive(bystander.pid)
    bystander.kill()
    bystander.wait()
