"""`python -m tests.chaos`: kill everything that a run consists of, and count what is left of its promises.

`make chaos SEED=7` runs the small size, `SIZE=nightly` the large one, `SIZE=cluster` one on three servers whose leader
is killed and cut off; `NAIVE=1` adds the plain design under the same faults, for comparison. The schedule is printed
first and depends on seed and size alone. Reports go to build/chaos. Interrupted or ended, it leaves no process behind.

Exit code: 0 every promise was kept, 1 some were not.
"""

import argparse
import asyncio
import logging
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.chaos.cluster import SERVERS, Cluster
from tests.chaos.fleet import ROOT
from tests.chaos.leased import Leased
from tests.chaos.naive import Naive
from tests.chaos.report import headline, to_json, to_markdown
from tests.chaos.schedule import CLUSTER, SIZES, Fault, Size, make_schedule
from tests.chaos.trial import Trial, perform
from tests.nats_server import NatsServer

REPORTS: Final = ROOT / "build" / "chaos"


def main() -> int:
    arguments = _arguments()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # at once, and all our processes with us: nothing needs a farewell
    logging.getLogger("forge_runtime").setLevel(logging.ERROR)  # outages are what we came for
    size = SIZES[arguments.size]
    schedule = make_schedule(arguments.seed, size)
    print(f"chaos: {size.jobs} jobs, {len(schedule)} faults, seed {arguments.seed}", flush=True)
    for fault in schedule:
        print(f"  {fault}")
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    trials = []
    for design in (Leased, Naive) if arguments.naive else (Leased,):
        trials.append(_perform(design, schedule, size, folder / design.__name__))
        print(headline(trials[-1]), flush=True)
    findings = trials[0].findings  # the plain design promises nothing
    for finding in findings:
        print(f"  {finding}")
    REPORTS.mkdir(parents=True, exist_ok=True)
    report = REPORTS / f"{size.name}-{arguments.seed}.md"
    report.write_text(to_markdown(arguments.seed, size, schedule, trials))
    report.with_suffix(".json").write_bytes(to_json(arguments.seed, size, schedule, trials))
    print(f"{len(findings)} promises broken; report: {report.relative_to(ROOT)}")
    if findings:
        print(f"logs and stores are kept in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


def _perform(design: type[Leased | Naive], schedule: Sequence[Fault], size: Size, folder: Path) -> Trial:
    cluster = size is CLUSTER
    server = Cluster(folder / "nats") if cluster else NatsServer(folder / "nats")
    server.start()
    try:
        bus = server.settings("chaos")
        return asyncio.run(perform(design(bus, SERVERS if cluster else 1), server, schedule, size, folder))
    finally:
        server.stop()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--seed", type=int, default=1, help="of all chance (default: 1)")
    parser.add_argument("--size", choices=SIZES, default="small", help="how many jobs and faults (default: small)")
    parser.add_argument("--naive", action="store_true", help="try the plain design as well, for comparison")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
