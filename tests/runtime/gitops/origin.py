"""A GitOps repository on this machine, and deployments to write into it."""

from pathlib import Path

from tests.git_repository import git

from forge_runtime.gitops.message import Update
from forge_runtime.gitops.pointer import Aliases, Pointer

NAMES = ("-c", "user.name=Test", "-c", "user.email=test@example.org")


def new_origin(root: Path, *, empty: bool = False) -> Path:
    """A bare repository whose branch is `main`; unless `empty`, with one commit."""
    root.mkdir(parents=True)
    git(root, "init", "-q", "--bare", "-b", "main")
    git(root, "config", "http.receivepack", "true")
    if not empty:
        commit_file(root, "README.md", "pointers\n")
    return root


def commit_file(origin: Path, path: str, text: str) -> str:
    """Commit one file to `main` as somebody else would; the commit's id."""
    work = origin.with_name(f"{origin.name}-work")
    if not work.exists():
        work.mkdir()
        git(work, "init", "-q", "-b", "main")
    if git(origin, "for-each-ref", "refs/heads/main"):
        git(work, "fetch", "-q", origin.as_uri(), "main")
        git(work, "reset", "-q", "--hard", "FETCH_HEAD")
    (work / path).parent.mkdir(parents=True, exist_ok=True)
    (work / path).write_text(text)
    git(work, "add", "--all")
    git(work, "commit", "-q", "-m", f"write {path}")
    git(work, "push", "-q", origin.as_uri(), "HEAD:refs/heads/main")
    return git(work, "rev-parse", "HEAD")


def install_hook(origin: Path, name: str, script: str) -> None:
    hook = origin / "hooks" / name
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\n{script}\n")
    hook.chmod(0o755)


def update(number: int, project: str = "web", /, **changes: object) -> Update:
    """A deployment of the release of this number; the higher ones were asked for later."""
    fields: dict[str, object] = {
        "environment": "dev",
        "repository": "acme/shop",
        "project": project,
        "release": f"{number:040x}",
        "digest": f"sha256:{number:064x}",
        "deployment_id": f"deployment-{project}-{number}",
        "requested_at": f"2026-03-01T00:{number // 60:02}:{number % 60:02}.000Z",
        "deployed_by": "github:alice",
        "aliases": Aliases(numeric=str(number)),
    }
    pointer = Pointer(**{**fields, **changes})  # type: ignore[arg-type]
    return Update(pointer=pointer, job_id=f"job-{number}", run_id="run-1")


def pointers(origin: Path) -> dict[str, str]:
    """The release of each project that has a pointer in the environment dev."""
    listing = git(origin, "ls-tree", "-r", "--name-only", "main", "--", "environments/dev")
    found = {}
    for path in listing.splitlines():
        text = git(origin, "show", f"main:{path}")
        (release,) = (line.split()[1].strip('"') for line in text.splitlines() if line.startswith("  release:"))
        found[path.split("/")[-2]] = release
    return found


def commits(origin: Path) -> list[str]:
    """The subjects of the branch's commits, the newest first."""
    return git(origin, "log", "--format=%s", "main").splitlines()
