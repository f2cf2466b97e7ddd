"""A worker process in the middle of a repository's maintenance, which never ends by itself.

python maintaining.py LOCK REPOSITORY: writes the id of git's grandchild to the file `grandchild` in the cache
"""

import asyncio
import sys
from pathlib import Path

from forge_runtime.git.command import git
from forge_runtime.git.shelf import Shelf


async def main(lock: str, repository: str) -> None:
    root = Path(lock).parent.parent
    async with Shelf(root, patience_s=60).exclusive(Path(lock)) as held:
        lasting = f"!sh -c 'echo $$ > {root / 'part'}; mv {root / 'part'} {root / 'grandchild'}; sleep 1000; true'"
        await git(Path(repository), "-c", f"alias.lasting={lasting}", "lasting", timeout_s=1000, held=(held,))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
