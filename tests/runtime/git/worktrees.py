"""A worker process that makes checkouts from a shared cache; prints how many failed.

python worktrees.py CACHE URL COMMIT INTO COUNT
"""

import asyncio
import sys
from pathlib import Path

from forge_runtime.git.cache import GitCache
from forge_runtime.git.command import GitError


async def check_out(cache: GitCache, url: str, commit: str, into: Path) -> bool:
    try:
        async with cache.checkout(url, commit, into) as root:
            return (root / "src" / "file").read_text() == "second\n"
    except GitError as error:
        print(error, file=sys.stderr)
        return False


async def main(cache: str, url: str, commit: str, into: str, count: str) -> None:
    shared = GitCache(Path(cache), allow_file=True)
    directories = [Path(into) / str(number) for number in range(int(count))]
    done = await asyncio.gather(*(check_out(shared, url, commit, directory) for directory in directories))
    print(done.count(False))


if __name__ == "__main__":
    print("ready", flush=True)
    sys.stdin.readline()
    asyncio.run(main(*sys.argv[1:]))
