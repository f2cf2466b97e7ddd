"""The main job on one machine, with every real part: from `.forge/*.cue` to a run's end, also when parts are killed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.platform import Platform, commit_repository, step_statuses, wait_until

pytestmark = pytest.mark.timeout(300)

REPO_CUE = """package repo

forgeVersion: "v1.0.0"
tagging: strategy: "monorepo"
phases: {
	test: {group: 1, description: "tests"}
	build: {group: 2, description: "builds"}
	extra: {group: 2, description: "nobody takes part"}
}
"""


def project_cue(name: str, **targets: str) -> str:
    steps = "".join(
        f'ci: phases: {phase}: go: {{action: "earthly", target: "+{target}"}}\n' for phase, target in targets.items()
    )
    return f'package project\n\nname: "{name}"\n\n{steps}'


EARTHFILE = """VERSION 0.8
FROM alpine:3.20
WORKDIR work

quick:
    COPY word.txt ./
    RUN grep -q hello word.txt

slow:
    RUN sleep 4 && echo done

broken:
    RUN sleep 1 && echo about to break && exit 7
"""

FILES = {
    ".forge/repo.cue": REPO_CUE,
    "a/.forge/project.cue": project_cue("a", test="slow", build="quick"),
    "a/Earthfile": EARTHFILE,
    "a/word.txt": "hello\n",
    "b/.forge/project.cue": project_cue("b", test="quick"),
    "b/Earthfile": EARTHFILE,
    "b/word.txt": "hello\n",
}

SUCCEEDED = {
    "_discovery/_repository/discover": "succeeded",
    "test/a/go": "succeeded",
    "test/b/go": "succeeded",
    "build/a/go": "succeeded",
}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    platform = Platform(tmp_path_factory.mktemp("platform") / "data")
    platform.start()
    yield platform
    platform.stop()


def test_a_run_goes_from_cue_to_succeeded(platform: Platform, tmp_path: Path) -> None:
    done = platform.forge("run", str(commit_repository(tmp_path / "good", FILES)))

    assert done.returncode == 0, done.stdout + done.stderr + platform.said()
    run = platform.client.runs(repository="local/good")[0]
    assert step_statuses(platform.client.run(run["id"])) == SUCCEEDED
    assert "skipped  extra" in done.stdout
    logs = platform.forge("logs", run["id"], "--step", "b/go")
    assert "grep -q hello word.txt" in logs.stdout


def test_a_failing_step_ends_the_run_and_names_itself(platform: Platform, tmp_path: Path) -> None:
    directory = tmp_path / "bad"
    commit_repository(directory, FILES | {"b/.forge/project.cue": project_cue("b", test="broken")})

    done = platform.forge("run", str(directory))

    assert done.returncode == 1, done.stdout + done.stderr
    run = platform.client.run(platform.client.runs(repository="local/bad")[0]["id"])
    assert run["status"] == "failed"
    statuses = step_statuses(run)
    assert statuses["test/b/go"] == "failed"
    assert statuses["test/a/go"] == "cancelled"
    assert statuses["build/a/go"] == "skipped"
    assert "b/go failed in phase test with exit code 7" in done.stdout
    assert "sleep 1 && echo about to break && exit 7" in done.stdout
    assert "| " in done.stdout


def test_errors_of_the_configuration_are_all_shown_with_their_places(platform: Platform, tmp_path: Path) -> None:
    directory = tmp_path / "wrong"
    changes = {
        "a/.forge/project.cue": project_cue("a", tset="slow"),
        "b/.forge/project.cue": project_cue("b", test="nowhere"),
    }
    commit_repository(directory, FILES | changes)

    done = platform.forge("run", str(directory))

    assert done.returncode == 1
    assert "a/.forge/project.cue:5" in done.stdout
    assert 'did you mean "test"' in done.stdout
    assert "b/.forge/project.cue:5" in done.stdout


def test_a_cancelled_run_stops_its_work(platform: Platform, tmp_path: Path) -> None:
    directory = tmp_path / "long"
    commit_repository(directory, FILES | {"a/Earthfile": EARTHFILE.replace("sleep 4", "sleep 600")})
    watching = platform.start_forge("run", str(directory))
    wait_until(lambda: _status(platform, "local/long", "test/a/go") == "running")

    cancelled = platform.forge("cancel")
    code = watching.wait(60)

    assert cancelled.returncode == 0, cancelled.stderr
    assert code == 76
    wait_until(lambda: _status(platform, "local/long", "test/a/go") == "cancelled")


def test_a_killed_api_and_a_killed_worker_lose_nothing(platform: Platform, tmp_path: Path) -> None:
    directory = commit_repository(tmp_path / "killed", FILES)
    watching = platform.start_forge("run", str(directory))
    wait_until(lambda: _status(platform, "local/killed", "test/a/go") == "running")
    run_id = platform.client.runs(repository="local/killed")[0]["id"]
    holder = next(job["worker"] for job in platform.client.jobs(run_id) if job["status"] == "leased")

    platform.kill("api")
    platform.kill(holder)
    out, _ = watching.communicate(timeout=150)

    assert watching.returncode == 0, out + platform.said()
    assert f"{holder} does not answer" in out
    assert step_statuses(platform.client.run(run_id)) == SUCCEEDED
    counts = platform.completions()
    assert {key: count for key, count in counts.items() if run_id in key} == dict.fromkeys(
        [key for key in counts if run_id in key], 1
    )


def test_a_killed_platform_is_taken_over_by_the_next_and_its_run_ends(tmp_path: Path) -> None:
    platform = Platform(tmp_path / "data")
    platform.start()
    directory = commit_repository(tmp_path / "taken", FILES)
    run_id = platform.forge("run", "--detach", str(directory)).stdout.strip()
    wait_until(lambda: _status(platform, "local/taken", "test/a/go") == "running")
    orphans = [platform.pid_of(name) for name in ("nats-server", "registry", "api", "worker-1", "worker-2")]

    platform.kill_all_but_children()
    platform.start()

    try:
        assert "ended 5 processes of a platform that was killed here" in platform.said()
        assert not [pid for pid in orphans if _runs(pid)]
        assert platform.forge("watch", run_id).returncode == 0
        assert step_statuses(platform.client.run(run_id)) == SUCCEEDED
    finally:
        platform.stop()


def test_secrets_are_in_files_of_their_own_that_only_their_owner_can_read(tmp_path: Path) -> None:
    platform = Platform(tmp_path / "data")
    platform.start()
    data = platform.home.directory
    files = [data / "api.token", data / "nats.conf", *sorted((data / "credentials").iterdir())]
    secrets = [file.read_text().split()[-1] for file in files if file.name != "nats.conf"]
    processes = [platform.pid_of(name) for name in ("nats-server", "api", "worker-1", "worker-2")]
    seen = [Path(f"/proc/{pid}/{what}").read_text() for pid in processes for what in ("cmdline", "environ")]
    platform.stop()
    logs = [log.read_text() for log in (data / "logs").iterdir()]

    assert [file.name for file in files if file.stat().st_mode & 0o077] == []
    assert [file.name for file in files[2:]] == [
        "api",
        "dispatcher",
        "operator",
        "provisioner",
        "worker-discovery-tasks-artifacts-releases",
    ]
    assert len(set(secrets)) == len(secrets) == 6
    assert not [secret for secret in secrets for text in (*seen, *logs, platform.said()) if secret in text]


def test_without_a_platform_the_command_says_so_and_ends(tmp_path: Path) -> None:
    done = Platform(tmp_path / "nothing").forge("run", str(commit_repository(tmp_path / "good", FILES)))

    assert done.returncode == 75
    assert "no platform is running" in done.stderr


def _runs(pid: int) -> bool:
    """Not ended; one that nobody has reaped yet has."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def _status(platform: Platform, repository_name: str, step: str) -> str | None:
    runs = platform.client.runs(repository=repository_name)
    return step_statuses(platform.client.run(runs[0]["id"])).get(step) if runs else None
