"""Real git repositories for tests."""

import subprocess
from pathlib import Path

from forgec.adapter.git import git_environment


def git(root: Path, *arguments: str) -> str:
    """Run git on a repository, as somebody with a name; its output without the last line break."""
    people = {
        f"GIT_{role}_{what}": value
        for role in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "Test"), ("EMAIL", "test@example.org"), ("DATE", "1700000000 +0000"))
    }
    done = subprocess.run(
        ["git", "-C", str(root), *arguments],
        env=git_environment(root, protocols=["file"]) | people,
        capture_output=True,
        check=True,
        timeout=30,
    )
    return done.stdout.decode().strip()


def new_repository(root: Path) -> Path:
    """An empty repository whose branch is `main`."""
    root.mkdir(parents=True)
    git(root, "init", "-q", "-b", "main")
    return root


def commit_all(root: Path, message: str = "change") -> str:
    """Commit every file; the commit's id."""
    git(root, "add", ".")
    git(root, "commit", "-q", "--allow-empty", "-m", message)
    return git(root, "rev-parse", "HEAD")
