"""A small git repository on this machine, as a clone URL names it."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

REPO_CUE = """package repo
forgeVersion: "v1.0.0"
tagging: strategy: "monorepo"
phases: test: {group: 1, required: true}
"""

PROJECT_CUE = """package project
name: "web"
ci: phases: test: unit: {action: "earthly", target: "+unit"}
"""


def make_repository(folder: Path, files: Mapping[str, str]) -> tuple[str, str]:
    """Commit these files; clone URL and commit id."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    for arguments in (("init", "--quiet"), ("add", "--all"), (*identity, "commit", "--quiet", "--message", "files")):
        subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True)
    head = subprocess.run(["git", "-C", folder, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    return folder.as_uri(), head.stdout.strip()


def forge_files(earthfile: str, *, project: str = PROJECT_CUE, repo: str = REPO_CUE) -> dict[str, str]:
    """A repository of one project, web."""
    return {".forge/repo.cue": repo, "web/.forge/project.cue": project, "web/Earthfile": earthfile}
