"""A process that writes one pointer: `racer.py URL FOLDER NUMBER PROJECT`; it prints the commit, and if it changed."""

import asyncio
import sys
from pathlib import Path

from tests.runtime.gitops.origin import update

from forge_runtime.gitops.writer import GitOpsRepository, PointerWriter


async def main(url: str, folder: str, number: str, project: str) -> None:
    writer = PointerWriter(GitOpsRepository(clone_url=url), Path(folder), allow_file=True)
    print("ready", flush=True)
    sys.stdin.readline()
    written = await writer.put(update(int(number), project))
    print(written.commit_sha, written.changed, flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
