"""`forge nats-config`, `forge provision` and `forge dead-letters` against a real server."""

import json
import os
import re
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
import trustme
from msgspec.structs import replace
from tests.guarded_server import PasswordServer, write_certificate
from tests.nats_server import NatsServer
from tests.runtime import samples

from forge_runtime import lease, subject
from forge_runtime.bus.jetstream import JetStreamBus, connect
from forge_runtime.bus.provision import provision
from forge_runtime.dead_letter import Cause, Reason, cause_of
from forge_runtime.job import Job, JobRecord, JobState, encode
from forge_runtime.ledger import Ledger
from forge_runtime.run import CancelFlag, CancelReason


def test_bare_server_is_shown_then_provisioned_and_then_in_order(nats_server: NatsServer) -> None:
    shown = _forge(nats_server, "provision", "--dry-run")
    made = _forge(nats_server, "provision")
    again = _forge(nats_server, "provision", "--dry-run")

    assert (shown.returncode, made.returncode, again.returncode) == (1, 0, 0)
    assert shown.stdout == made.stdout
    assert "create stream pipeline-tasks\n" in shown.stdout
    assert again.stdout.startswith("nothing to change")


def test_configuration_for_a_network_is_one_that_the_server_takes(nats_server: NatsServer, tmp_path: Path) -> None:
    authority = trustme.CA()
    write_certificate(tmp_path, authority, authority.issue_cert("localhost"))
    options = ("--certificates", str(tmp_path), "--store", str(tmp_path / "store"))

    printed = _forge(nats_server, "nats-config", *options, "--workers", "tasks,discovery", "--workers", "releases")
    (tmp_path / "nats.conf").write_text(printed.stdout)
    judged = subprocess.run(
        [nats_server.binary, "-t", "-c", tmp_path / "nats.conf"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (printed.returncode, judged.returncode) == (0, 0), judged.stderr
    users = re.findall(r'^ +user: "(.+)"$', printed.stdout, re.MULTILINE)
    assert users == ["api", "dispatcher", "operator", "provisioner", "worker-discovery-tasks", "worker-releases"]
    assert "password" not in printed.stdout


def test_pool_that_there_is_not_is_named_with_those_that_there_are(nats_server: NatsServer) -> None:
    ended = _forge(nats_server, "nats-config", "--workers", "tasks,builds")

    assert ended.returncode == 2
    assert "no such pool: builds; pools are discovery, tasks," in ended.stderr


def test_whoever_is_not_allowed_ends_with_78_and_the_reason(tmp_path: Path) -> None:
    server = PasswordServer(tmp_path / "guarded")
    server.start()
    settings = server.settings_of("worker-tasks")
    environment = {**os.environ, "NATS_URL": server.url, "NATS_CREDENTIALS": str(settings.credentials)}

    try:
        ended = subprocess.run(
            [sys.executable, "-m", "forge_api.cli.main", "provision"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        server.stop()

    assert ended.returncode == 78
    assert "does not allow user provisioner to" in ended.stderr
    assert server.passwords["worker-tasks"] not in ended.stderr


async def test_destructive_change_needs_force_and_says_what_is_lost(nats_server: NatsServer) -> None:
    bus = await _provisioned(nats_server)
    await bus.connection.jetstream.delete_stream("pipeline-tasks")
    await bus.connection.jetstream.add_stream(name="pipeline-tasks", subjects=["pipeline.tasks.>"])
    await bus.connection.jetstream.publish("pipeline.tasks.run.job", b"{}")

    refused = _forge(nats_server, "provision")
    left = (await bus.connection.jetstream.stream_info("pipeline-tasks")).state.messages
    forced = _forge(nats_server, "provision", "--force")
    after = _forge(nats_server, "provision", "--dry-run")
    await bus.close()

    assert (refused.returncode, left) == (78, 1)
    assert "all of its 1 messages" in refused.stderr
    assert (forced.returncode, after.returncode) == (0, 0)


async def test_letter_is_listed_shown_without_secrets_and_dropped(nats_server: NatsServer) -> None:
    bus = await _provisioned(nats_server)
    job = await _given_up(bus, clone_url="https://user:hunter2@git.test/sample")

    table = _forge(nats_server, "dead-letters", "ls")
    (row,) = json.loads(_forge(nats_server, "dead-letters", "ls", "--format", "json").stdout)
    shown = _forge(nats_server, "dead-letters", "show", job.job_id, "--format", "json")
    dropped = _forge(nats_server, "dead-letters", "drop", str(row["number"]))
    again = _forge(nats_server, "dead-letters", "drop", str(row["number"]))
    await bus.close()

    assert job.job_id in table.stdout
    assert (row["reason"], row["code"], row["pool"], row["run_id"]) == ("poison", "JOB_POISON", "tasks", job.run_id)
    document = json.loads(shown.stdout)
    assert document["job"]["clone_url"] == "https://git.test/sample"
    assert document["record"]["error"]["code"] == "JOB_POISON"
    assert "hunter2" not in shown.stdout
    assert (dropped.returncode, again.returncode) == (0, 1)
    assert "there is no dead letter" in again.stderr


async def test_job_of_a_run_that_goes_on_is_requeued_once(nats_server: NatsServer) -> None:
    bus = await _provisioned(nats_server)
    job = await _given_up(bus)

    done = _forge(nats_server, "dead-letters", "requeue", job.job_id)
    record = await Ledger(bus, 5.0).read(job.run_id, job.job_id)
    queued = await bus.pull(subject.queue_of(job.type), 5)
    letters = await bus.dead_letters.list(subject.DEAD_LETTERS, limit=2)
    await bus.close()

    assert done.returncode == 0, done.stderr
    assert record is not None
    assert (record.state, record.starts, record.result) == (JobState.QUEUED, 0, None)
    assert queued is not None
    assert letters == []


async def test_job_of_an_ended_run_is_not_requeued_and_keeps_its_letter(nats_server: NatsServer) -> None:
    bus = await _provisioned(nats_server)
    job = await _given_up(bus)
    ledger = Ledger(bus, 5.0)
    await ledger.raise_flag(job.run_id, CancelFlag(reason=CancelReason.FAILED, by="worker-1", at=1.0))

    refused = _forge(nats_server, "dead-letters", "requeue", job.job_id)
    record = await ledger.read(job.run_id, job.job_id)
    letters = await bus.dead_letters.list(subject.DEAD_LETTERS, limit=2)
    await bus.close()

    assert refused.returncode == 1
    assert "its run has ended (failed, by worker-1); start the run again" in refused.stderr
    assert record is not None
    assert record.state is JobState.FAILED
    assert len(letters) == 1


async def test_letter_of_which_nothing_can_be_read_is_shown_and_stays(nats_server: NatsServer) -> None:
    bus = await connect(nats_server.settings("test"))
    await provision(bus)
    job = await _given_up(bus, "http://[/")
    await bus.jobs.put(subject.job_key(job.run_id, job.job_id), b"{")
    odd = subject.dead_letter_subject("tasks", "run", "job$1")
    await bus.dead_letters.bury(odd, b"", Cause(reason=Reason.ORPHAN, message=""))

    shown = [_forge(nats_server, "dead-letters", "show", number) for number in ("1", "2")]
    requeued = [_forge(nats_server, "dead-letters", "requeue", number) for number in ("1", "2")]
    left = await bus.dead_letters.list(subject.DEAD_LETTERS, limit=3)
    await bus.close()

    assert [each.returncode for each in shown] == [0, 0]
    assert all("the record of the job cannot be read" in each.stdout for each in shown)
    assert [each.returncode for each in requeued] == [1, 1]
    assert all(len(each.stderr.splitlines()) == 1 for each in requeued)
    assert len(left) == 2


@pytest.mark.parametrize("reference", [">", "*", "0", "-", "job"])
def test_what_names_no_letter_is_refused(nats_server: NatsServer, reference: str) -> None:
    assert _forge(nats_server, "dead-letters", "drop", reference).returncode == 2


def test_unreachable_bus_ends_with_75(nats_server: NatsServer) -> None:
    nats_server.stop()

    ended = _forge(nats_server, "dead-letters", "ls")

    assert ended.returncode == 75
    assert "cannot connect" in ended.stderr


async def _provisioned(server: NatsServer) -> JetStreamBus:
    bus = await connect(server.settings())
    await provision(bus)
    return bus


async def _given_up(bus: JetStreamBus, clone_url: str = "file:///nowhere") -> Job:
    """A job of a run that goes on, dead by its record and among the dead letters."""
    run_id = str(uuid.uuid4())
    await samples.store_run(bus, samples.run_record(run_id))
    ledger = Ledger(bus, 5.0)
    job = replace(samples.ci_job(run_id), clone_url=clone_url)
    await ledger.open(job)
    record = await ledger.change(run_id, job.job_id, lambda found, now: lease.poison(found, "test", "worn out", now))
    assert isinstance(record, JobRecord)
    cause = cause_of(record)
    assert cause is not None
    await ledger.bury("tasks", run_id, job.job_id, encode(job), cause)
    return job


def _forge(server: NatsServer, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "NATS_URL": server.url, "NATS_CREDENTIALS": str(server.token_file)}
    command = [sys.executable, "-m", "forge_api.cli.main", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
