"""Which real tools judged the project in a test run: a table at its end, of what was counted and nothing else.

A test hands in a verdict where it has one, `judged("cue", "0.17.1", "configurations evaluated", 400)`, or says
`judged.absent("cue", "Go is not installed")`, which skips it. Verdicts of tests that fail are not counted; the table
names them. The usual run judges a few hundred cases, `FORGE_CONFORMANCE=full` (that is `make conformance`) all.
"""

import functools
import os
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Never

import pytest

_VERDICT: Final = "verdict of a real tool"
_ABSENCE: Final = "absence of a real tool"

Record = Callable[[str, object], None]


def cases(usual: int, *, full: int) -> int:
    """How many cases a test is to try: `full` with FORGE_CONFORMANCE=full."""
    return full if os.environ.get("FORGE_CONFORMANCE") == "full" else usual


@dataclass(frozen=True, slots=True)
class Judged:
    """Keeps a test's verdicts in its report."""

    record: Record

    def __call__(self, tool: str, version: str, what: str, count: int) -> None:
        """`tool` looked at `count` cases, of which `what` says what they are and what was asked of them."""
        self.record(_VERDICT, (tool, version, what, count))

    def absent(self, tool: str, why: str) -> Never:
        """Skip the test, since the tool is not here."""
        self.record(_ABSENCE, (tool, why))
        pytest.skip(f"{tool} is absent: {why}")


@functools.cache
def version_of(*command: str) -> str:
    """The last word of the first line, which is where tools tell their version."""
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    return done.stdout.splitlines()[0].split()[-1].removeprefix("v")


def table(stats: dict[str, list[pytest.TestReport]]) -> Iterator[str]:
    """One line for each tool and kind of case, for each tool that is not here, and for each that was not counted."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for tool, version, what, count in _records(stats, "passed", _VERDICT):
        counts[tool, version, what] += count
    width = max((len(f"{tool} {version}") for tool, version, _ in counts), default=0)
    for (tool, version, what), count in sorted(counts.items()):
        yield f"{f'{tool} {version}':<{width}}  {count:>7,} {what}"
    for tool, why in sorted({(tool, why) for tool, why in _records(stats, "skipped", _ABSENCE)}):
        yield f"{tool} is absent: {why}"
    for outcome in ("failed", "error"):
        for tool in sorted({record[0] for record in _records(stats, outcome, _VERDICT)}):
            yield f"{tool}: a test that asked it has {outcome}, which is not counted"


def _records(stats: dict[str, list[pytest.TestReport]], outcome: str, name: str) -> Iterator[tuple]:  # type: ignore[type-arg]
    for report in stats.get(outcome, []):
        if isinstance(report, pytest.TestReport):  # a file that cannot be collected is an error, too
            yield from (value for key, value in report.user_properties if key == name)
