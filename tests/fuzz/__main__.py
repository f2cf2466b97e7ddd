"""`python -m tests.fuzz`: many inputs, at most two processes, and what could not be compiled nor refused.

`make fuzz` runs it with 100,000; `N=` and `SEED=` choose others. `--first I -n 1` repeats the input number I of a
seed. Failing inputs are shrunk and saved in build/fuzz. Exit code: 0 none failed, 1 some did.
"""

import argparse
import hashlib
import sys
import time
from collections import Counter
from typing import Final

from tests.fuzz.campaign import Failure
from tests.fuzz.corpus import KINDS, ROOT
from tests.fuzz.process import messages

PROCESSES_MAX: Final = 2
SAVED: Final = ROOT / "build" / "fuzz"
_SHOWN_EVERY: Final = 10_000


def main() -> int:
    arguments = _arguments()
    started = time.monotonic()
    numbers = range(arguments.first, arguments.first + arguments.n)
    print(f"fuzzing: {arguments.n} inputs, seed {arguments.seed}, {arguments.processes} processes", flush=True)
    counts: Counter[str] = Counter()
    found: list[Failure] = []
    for message in messages(arguments.seed, numbers, arguments.processes):
        if isinstance(message, Failure):
            found.append(message)
            _show(message, arguments.seed)
        else:
            before = sum(counts.values())
            counts.update(message)
            if before // _SHOWN_EVERY != sum(counts.values()) // _SHOWN_EVERY:
                print(f"  {sum(counts.values())} after {time.monotonic() - started:.0f} s", flush=True)
    parts = ", ".join(
        f"{kind} {counts[f'{kind} compiled']} compiled {counts[f'{kind} refused']} refused" for kind in KINDS
    )
    print(f"{sum(counts.values())} inputs in {time.monotonic() - started:.0f} s: {parts}; {len(found)} failed")
    return 1 if found or sum(counts.values()) < arguments.n else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("-n", type=int, default=100_000, help="inputs (default: 100000)")
    parser.add_argument("--seed", type=int, default=1, help="of all chance (default: 1)")
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--processes", type=int, choices=range(1, PROCESSES_MAX + 1), default=PROCESSES_MAX)
    return parser.parse_args()


def _show(failure: Failure, seed: int) -> None:
    SAVED.mkdir(parents=True, exist_ok=True)
    path = SAVED / f"{failure.kind}-{hashlib.sha256(failure.data).hexdigest()[:12]}"
    path.write_bytes(failure.data)
    print(
        f"FAILED {failure.kind} {failure.number} (--seed {seed} --first {failure.number} -n 1): {failure.what}\n"
        f"  {len(failure.data)} bytes saved in {path.relative_to(ROOT)}: {failure.data[:200]!r}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
