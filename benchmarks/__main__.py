"""`python -m benchmarks [NAME ...]`: measure, print the tables, and with `--write` put them into docs/benchmarks.md."""

import argparse
import datetime
import os
import platform
import tempfile
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Final

from benchmarks.measure import ROUNDS
from benchmarks.table import Grid, Table

TABLES: Final = {
    "start": ("compiler", "start"),
    "compile": ("compiler", "compile_"),
    "step": ("compiler", "step_granularity"),
    "growth": ("compiler", "growth"),
    "discovery": ("discovery", "discovery"),
    "git_cache": ("git_cache", "git_cache"),
    "gitops": ("gitops", "gitops"),
    "dispatcher": ("dispatcher", "dispatcher"),
    "runtime": ("runtime", "runtime"),
}
"""By name: the module and its function. Only what is asked for is imported: a process that is measured begins as a copy
of this one, and its peak memory is never below ours."""
DOCUMENT: Final = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
_MARK: Final = "<!-- measured -->\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(TABLES)} (default: all)")
    parser.add_argument("--write", action="store_true", help="replace the tables in docs/benchmarks.md (all of them)")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in TABLES]
    if unknown or (arguments.write and arguments.names):
        parser.error(f"no benchmark is called {unknown[0]}" if unknown else "--write writes every table")
    parts = [_machine()]
    print(parts[0])
    with tempfile.TemporaryDirectory(prefix="forge-bench-") as folder:
        for name in arguments.names or TABLES:
            for table in _tables(name, Path(folder)):
                parts.append(table.text())
                print(parts[-1], flush=True)
    if arguments.write:
        head, mark, _ = DOCUMENT.read_text("utf-8").partition(_MARK)
        DOCUMENT.write_text(f"{head}{mark}\n" + "\n".join(parts), "utf-8")


def _tables(name: str, folder: Path) -> Iterable[Table | Grid]:
    module, function = TABLES[name]
    tables: Callable[[Path], Iterable[Table | Grid]] = getattr(import_module(f"benchmarks.{module}"), function)
    return tables(folder)


def _machine() -> str:
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    return (
        f"{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}; {model}, {os.cpu_count()} cores, shared (load"
        f" {os.getloadavg()[0]:.1f} at the start); {platform.system()} {platform.release()}; Python"
        f" {platform.python_version()}. Medians of {ROUNDS} rounds, whole"
        " processes, the contenders taking turns.\n"
    )


if __name__ == "__main__":
    main()
