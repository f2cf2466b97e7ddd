"""Discovery again and again in one process, as in a worker; between two, one project changes.

python -m benchmarks.worker REPOSITORY.git ROUNDS      a line a round: wall s, CPU s, peak MiB
"""

import resource
import sys
import time
from pathlib import Path

from benchmarks.document import change_one
from forgec import pipeline
from forgec.adapter.git import open_tree
from forgec.discovery.trigger import Trigger


def main(bare: Path, rounds: int) -> None:
    for number in range(rounds + 1):
        change_one(bare, number + 1)
        wall, cpu = time.perf_counter(), time.process_time()
        tree, commit = open_tree(bare, "main")
        pipeline.discover(tree, Trigger(commit_sha=commit, trigger_type="manual"))
        wall_s, cpu_s = time.perf_counter() - wall, time.process_time() - cpu
        if number:  # the first one has seen nothing before
            print(wall_s, cpu_s, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
