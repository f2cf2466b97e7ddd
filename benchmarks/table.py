"""Results as a table for people."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.measure import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The first result is what the others are compared with. `notes`: what each contender does and does not do."""

    title: str
    results: Sequence[Result]
    notes: str

    def text(self) -> str:
        first = self.results[0]
        lines = [
            f"### {self.title}",
            "",
            "| | wall, s (min-max) | CPU, s | peak, MiB | against the first |",
            "|---|---|---|---|---|",
        ]
        for result in self.results:
            low, high = result.range_s
            ratio = "" if result is first else f"{result.wall_s / first.wall_s:.1f}x"
            lines.append(
                f"| {result.name} | {result.wall_s:.3f} ({low:.3f}-{high:.3f}) | {result.cpu_s:.3f}"
                f" | {result.peak_mib:.0f} | {ratio} |"
            )
        return "\n".join([*lines, "", self.notes, ""])


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A table whose columns are its own. The first cell of each row names it."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: str

    def text(self) -> str:
        lines = [
            f"### {self.title}",
            "",
            f"| | {' | '.join(self.headings)} |",
            f"|---|{'---|' * len(self.headings)}",
            *(f"| {' | '.join(row)} |" for row in self.rows),
        ]
        return "\n".join([*lines, "", self.notes, ""])
