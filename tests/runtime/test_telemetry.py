"""Log lines."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from forge_runtime.telemetry import configure_logging, log_fields


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    before = (list(root.handlers), root.level)
    yield
    root.handlers[:], level = before
    root.setLevel(level)


def test_a_line_is_one_json_object_with_the_fields_of_the_work_in_hand() -> None:
    stream = io.StringIO()
    configure_logging("worker", stream=stream)

    with log_fields(run_id="r", job_id=None), log_fields(attempt=2):
        logging.getLogger("any").warning("lease lost", extra={"error.code": "LEASE_LOST"})

    line = json.loads(stream.getvalue())
    assert line.pop("ts").endswith("Z")
    assert line == {
        "level": "warning",
        "msg": "lease lost",
        "component": "worker",
        "run_id": "r",
        "attempt": 2,
        "error.code": "LEASE_LOST",
    }


def test_fields_end_with_their_block() -> None:
    stream = io.StringIO()
    configure_logging("worker", stream=stream)

    with log_fields(run_id="r"):
        pass
    logging.getLogger("any").info("idle")

    assert "run_id" not in json.loads(stream.getvalue())


def test_a_terminal_gets_text() -> None:
    stream = Terminal()
    configure_logging("dispatcher", stream=stream)

    logging.getLogger("any").info("job submitted", extra={"job_id": "j"})

    assert stream.getvalue().endswith("info    dispatcher: job submitted  job_id=j\n")


def test_an_exception_stays_within_its_line() -> None:
    stream = io.StringIO()
    configure_logging("worker", stream=stream)

    try:
        raise KeyError("a bug")
    except KeyError:
        logging.getLogger("any").exception("handler failed")

    (line,) = stream.getvalue().splitlines()
    assert "KeyError" in json.loads(line)["exception"]
