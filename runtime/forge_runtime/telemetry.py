"""Log lines with the platform's fields.

One JSON object a line on stderr: ts, level, msg, component, then whatever the line says of itself and of the work in
hand (run_id, job_id, job_type, attempt, delivery, repository, commit_sha, phase, project, step, worker, trace_id,
request_id, error.code). On a terminal the same facts as text.
"""

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, TextIO

import msgspec

from forge_runtime.job import utc_text

_LINES: Final = msgspec.json.Encoder(enc_hook=str)
_work: ContextVar[dict[str, Any]] = ContextVar("work", default={})  # noqa: B039 - replaced, never changed in place
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure_logging(component: str, *, stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """Send every logger's lines to `stream` (stderr): text where it is a terminal, JSON elsewhere. Called once."""
    target = stream or sys.stderr
    handler = logging.StreamHandler(target)
    handler.setFormatter(_Text(component) if target.isatty() else _JsonLines(component))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # None of this is in a line, and finding it out would cost more than writing one.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # not where it was called from either: "Optimization" in Python's logging howto
    logging.getLogger("nats").setLevel(logging.WARNING)  # it reports each reconnect attempt as an error of its own


@contextmanager
def log_fields(**fields: Any) -> Iterator[None]:
    """Add these to every line logged inside, by tasks started inside too; None is left out."""
    token = _work.set({**_work.get(), **{name: value for name, value in fields.items() if value is not None}})
    try:
        yield
    finally:
        _work.reset(token)


class _JsonLines(logging.Formatter):
    def __init__(self, component: str) -> None:
        super().__init__()
        self._component = component

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "ts": utc_text(record.created),
            "level": record.levelname.lower(),
            "msg": record.getMessage(),
            "component": self._component,
            **_facts(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        try:
            return _LINES.encode(line).decode()
        except (UnicodeEncodeError, OverflowError, TypeError):  # no UTF-8 in a file's name, a number of 65 bits
            return json.dumps(line, default=str, ensure_ascii=False)


class _Text(logging.Formatter):
    def __init__(self, component: str) -> None:
        super().__init__()
        self._component = component

    def format(self, record: logging.LogRecord) -> str:
        facts = " ".join(f"{name}={value}" for name, value in _facts(record).items())
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        text = f"{clock} {record.levelname.lower():7} {self._component}: {record.getMessage()}  {facts}".rstrip()
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def _facts(record: logging.LogRecord) -> dict[str, Any]:
    own = {name: value for name, value in vars(record).items() if name not in _STANDARD and value is not None}
    return {**_work.get(), **own}
