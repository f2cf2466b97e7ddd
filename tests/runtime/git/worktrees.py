"""A worker process that makes checkouts from a shared cache; prints how many failed, of how many.

python worktrees.py CACHE URL INTO LANES ROUNDS COMMIT...: so many at a time, each so often, one commit after another
"""

import asyncio
import sys
from pathlib import Path

from forge_runtime.git.cache import GitCache
from forge_runtime.git.error import GitError


async def check_out(cache: GitCache, url: str, commit: str, into: Path) -> bool:
    try:
        async with cache.checkout(url, commit, into) as root:
            return (root / "src" / "file").read_text().startswith("version ")
    except GitError as error:
        print(error, file=sys.stderr)
        return False


async def main(cache: str, url: str, into: str, lanes: str, rounds: str, *commits: str) -> None:
    shared = GitCache(Path(cache), allow_file=True)

    async def lane(number: int) -> list[bool]:
        done = []
        for turn in range(int(rounds)):
            commit = commits[(number + turn) % len(commits)]
            done.append(await check_out(shared, url, commit, Path(into) / str(number)))
        return done

    done = [each for ended in await asyncio.gather(*map(lane, range(int(lanes)))) for each in ended]
    print(done.count(False), len(done))


if __name__ == "__main__":
    print("ready", flush=True)
    sys.stdin.readline()
    asyncio.run(main(*sys.argv[1:]))
