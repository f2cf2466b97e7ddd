"""The CLI's events: which of them name an image."""

import asyncio
import base64
import json
import os
from pathlib import Path

import pytest

from forge_runtime.runner.earthly_events import IMAGES_MAX, LINE_BYTES_MAX, OwnWords, own_words

SAID = "Image ./libs/x+test output as app:1\n"


def event(text: str, command: str = "_generic:default", kind: str = "deltaLog") -> bytes:
    data = base64.b64encode(text.encode()).decode()
    return json.dumps({kind: {"commandId": command, "timestampUnixNanos": "1", "data": data}}).encode() + b"\n"


def images_in(*pieces: bytes) -> list[str]:
    words = OwnWords()
    for piece in pieces:
        words.take(piece)
    return words.images


def test_the_summary_names_each_image_once() -> None:
    assert images_in(event(SAID), event(SAID), event(SAID.replace("app:1", "app:2"))) == ["app:1", "app:2"]


def test_events_come_in_any_pieces() -> None:
    data = event("Build\n") + event(SAID)

    assert images_in(*(data[at : at + 7] for at in range(0, len(data), 7))) == ["app:1"]


@pytest.mark.parametrize(
    "said",
    [
        event(SAID, command="sha256:9e3b/1"),
        event(SAID, command="_generic:buildkitd"),
        event(SAID, kind="deltaFormattedLog"),
        event("Warning: " + SAID),
        event("Warning: a file called\n" + SAID),
        event(SAID + "was not saved\n"),
        b'{"deltaLog": {"commandId": "_generic:default", "data": "%%%"}}\n',
        b'{"deltaLog": "_generic:default"}\n',
        b"_generic:default" + b"[" * 100_000 + b"\n",
        event(SAID)[:-1] + b" " * LINE_BYTES_MAX + b"\n",
    ],
)
def test_nothing_else_names_an_image(said: bytes) -> None:
    assert images_in(said, event(SAID.replace("app:1", "after:1"))) == ["after:1"]


def test_lines_without_an_end_are_not_kept() -> None:
    words = OwnWords()

    for _ in range(40):
        words.take(b"x" * (LINE_BYTES_MAX // 16))

    assert len(words._pending) <= LINE_BYTES_MAX


def test_images_have_a_limit() -> None:
    said = [event(SAID.replace("app:1", f"app:{number}")) for number in range(IMAGES_MAX + 5)]

    assert len(images_in(*said)) == IMAGES_MAX


def test_what_is_left_in_the_pipe_is_read_at_the_end(tmp_path: Path) -> None:
    async def write() -> list[str]:
        with own_words(tmp_path / "events.json") as words:
            writer = os.open(tmp_path / "events.json", os.O_WRONLY)
            os.write(writer, event("Build\n") * 300 + event(SAID))
            os.close(writer)
        return words.images

    assert asyncio.run(write()) == ["app:1"]


def test_who_never_writes_is_not_waited_for(tmp_path: Path) -> None:
    async def wait() -> list[str]:
        with own_words(tmp_path / "events.json") as words:
            pass
        return words.images

    assert asyncio.run(wait()) == []
