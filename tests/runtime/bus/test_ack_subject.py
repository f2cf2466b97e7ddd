"""Which subjects are where a message's acks go, and of which stream's message."""

import pytest

from forge_runtime.bus.ack_subject import AckSubject

NUMBERS = "3.17.9.1764500000000000000.0"


@pytest.mark.parametrize(
    "subject",
    [
        f"$JS.ACK.pipeline-tasks.ci-consumer.{NUMBERS}",
        f"$JS.ACK._.0.pipeline-tasks.ci-consumer.{NUMBERS}",
        f"$JS.ACK.hub.mXEGJPtK.pipeline-tasks.ci-consumer.{NUMBERS}.more",
        f"$JS.ACK.pipeline-releases.release-consumer.pipeline-tasks.ci-consumer.{NUMBERS}",
    ],
)
def test_stream_and_deliveries_stand_where_the_number_of_words_says(subject: str) -> None:
    assert AckSubject.read(subject) == AckSubject("pipeline-tasks", 3)


@pytest.mark.parametrize(
    "subject",
    [
        "",
        "$JS.ACK.pipeline-tasks",
        "$JS.ACK.pipeline-tasks.x",
        "$JS.ACK.pipeline-tasks.ci-consumer.1.1.1.1",
        f"$JS.ACK._.pipeline-tasks.ci-consumer.{NUMBERS}",
        f"$JS.API.pipeline-tasks.ci-consumer.{NUMBERS}",
        "$JS.ACK.pipeline-releases.release-consumer.pipeline-tasks.1.1.1.0",
        "$JS.ACK.pipeline-tasks.ci-consumer.one.1.1.1.0",
        "$JS.ACK.pipeline-tasks.ci-consumer.\u00b2.1.1.1.0",
        "$JS.ACK.pipeline-tasks.ci-consumer.1.1.1.1.",
        f"$JS.ACK.pipeline-tasks.ci-consumer.{'1' * 5000}.1.1.1.0",
        f"$JS.ACK.pipeline-tasks..{NUMBERS}",
        f"$JS.ACK.pipeline-tasks.*.{NUMBERS}",
        f"$JS.ACK.pipeline-tasks.ci consumer.{NUMBERS}",
        f"$JS.ACK.pipeline-tasks.ci\nPUB other 0\n.{NUMBERS}",
        f"$JS.ACK._.0.pipeline-tasks.ci-consumer.{NUMBERS}.>",
    ],
)
def test_anything_else_is_no_ack_subject(subject: str) -> None:
    assert AckSubject.read(subject) is None
