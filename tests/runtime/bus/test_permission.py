"""Who may do what at the server: every duty of every user is allowed there, and every duty of the others denied."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import nats
import pytest
from nats.aio.client import Client
from tests.guarded_server import WORKERS, PasswordServer

from forge_runtime import subject
from forge_runtime.bus.permission import User, users

USERS: Final = {user.name: user for user in users(WORKERS)}
EVERYTHING: Final = sorted({each for user in USERS.values() for each in user.publish})
HEARD: Final = sorted({each for user in USERS.values() for each in user.subscribe})

NOBODY: Final = (
    "$JS.API.INFO",
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.LIST",
    "$JS.API.STREAM.CREATE.mine",
    "$JS.API.STREAM.PURGE.KV_forge-jobs",
    "$JS.API.STREAM.PURGE.forge-events",
    "$JS.API.STREAM.MSG.GET.KV_forge-runs",
    "$JS.API.STREAM.MSG.DELETE.KV_forge-jobs",
    "$JS.API.STREAM.SNAPSHOT.KV_forge-runs",
    "$JS.API.CONSUMER.CREATE.pipeline-tasks",
    "$JS.API.CONSUMER.CREATE.KV_forge-runs.mine.>",
    "$JS.API.CONSUMER.MSG.NEXT.forge-dead-letters.mine",
    "$JS.API.DIRECT.GET.KV_forge-runs",
    "$KV.forge-runs.other.key",
    "$SYS.REQ.SERVER.PING",
    "_INBOX.anything",
    *(f"{subject.inbox_prefix(user)}.forged" for user in USERS),
    "forge.notices.run_finished",
)
"""What no service needs; a reply to another's request among it."""

UNHEARD: Final = (
    ">",
    "_INBOX.>",
    "*.>",
    "pipeline.>",
    "forge.>",
    "forge.logs.>",
    "$KV.>",
    "$KV.forge-runs.run.*",
    "$JS.ACK.>",
    "$JS.API.>",
    "$SYS.>",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PasswordServer]:
    server = PasswordServer(tmp_path_factory.mktemp("guarded"))
    server.start()
    yield server
    server.stop()


@asynccontextmanager
async def denials(server: PasswordServer, user: str) -> AsyncIterator[tuple[Client, set[str]]]:
    """A bare client, and what the server told it that it may not do, in small letters."""
    denied: set[str] = set()

    async def note(error: Exception) -> None:
        denied.update(re.findall(r'permissions violation for \w+ to "([^"]+)"', str(error)))

    client = await nats.connect(
        server.url, user=user, password=server.passwords[user], error_cb=note, allow_reconnect=False
    )
    try:
        yield client, denied
    finally:
        await client.close()


async def settled(client: Client) -> None:
    """Everything that was sent is answered for."""
    for _ in range(2):
        await client.flush(10)


@pytest.mark.parametrize("user", USERS.values(), ids=USERS)
async def test_user_may_publish_what_its_duties_need_and_nothing_that_only_others_need(
    server: PasswordServer, user: User
) -> None:
    asked = {concrete(each): covered(each, user.publish) for each in (*EVERYTHING, *NOBODY)}
    async with denials(server, user.name) as (client, denied):
        for each in asked:
            await client.publish(each, b"{}")  # nothing is provisioned here: no stream takes it, no request does harm
        await settled(client)

    allowed = {each for each, may in asked.items() if may}
    assert {each for each in asked if each.lower() not in denied} == allowed
    assert allowed


@pytest.mark.parametrize("user", USERS.values(), ids=USERS)
async def test_user_hears_its_own_replies_and_what_its_duties_need_and_nothing_of_others(
    server: PasswordServer, user: User
) -> None:
    asked = {*HEARD, *UNHEARD}
    async with denials(server, user.name) as (client, denied):
        for each in asked:
            await client.subscribe(each)
        await settled(client)

    assert {each for each in asked if each.lower() not in denied} == set(user.subscribe)


def test_nobody_may_publish_what_nobody_needs() -> None:
    assert [each for each in NOBODY if any(covered(each, user.publish) for user in USERS.values())] == []


def test_worker_of_one_pool_takes_publishes_and_acknowledges_nothing_of_another() -> None:
    worker = USERS[subject.worker_user(["tasks"])]

    foreign = [queue for queue in subject.QUEUES if queue.pool != "tasks"]

    for queue in foreign:
        assert [each for each in worker.publish if queue.stream in each or queue.filter in each] == []
    assert not any(each.startswith("pipeline.") for each in worker.publish)


def concrete(pattern: str) -> str:
    """A subject that fits."""
    return pattern.replace("*", "any").replace(">", "more")


def covered(pattern: str, allowed: tuple[str, ...]) -> bool:
    """Whether the subject made of this pattern fits one of those allowed."""
    words = concrete(pattern).split(".")
    return any(_fits(words, each.split(".")) for each in allowed)


def _fits(words: list[str], pattern: list[str]) -> bool:
    if pattern[-1] == ">":
        return len(words) >= len(pattern) and _fits(words[: len(pattern) - 1], pattern[:-1])
    return len(words) == len(pattern) and all(want in ("*", word) for word, want in zip(words, pattern, strict=True))


def test_documentation_has_the_duties_of_every_user() -> None:
    page = (Path(__file__).parents[3] / "docs/operations.md").read_text()

    assert _table() in page, f"put this into docs/operations.md:\n{_table()}"


def _table() -> str:
    """A row for each duty; the users of one pool stand for the workers."""
    known = users([["discovery"], ["tasks"]])
    titles = list(dict.fromkeys(duty.title for user in known for duty in user.duties))
    rows = [" | ".join(("| duty", *(f"`{user.name}`" for user in known), "")).rstrip()]
    rows.append("|---" * (len(known) + 1) + "|")
    for title in titles:
        marks = ("x" if title in {duty.title for duty in user.duties} else "" for user in known)
        rows.append(" | ".join((f"| {title}", *marks, "")).rstrip())
    return "\n".join(rows)
