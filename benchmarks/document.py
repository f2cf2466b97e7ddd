"""Discovery documents and repositories of any size, as inputs."""

import json
import subprocess
import sys
from pathlib import Path

_REPO_CUE = """package repo

forgeVersion: "v1.0.0"
tagging: strategy: "monorepo"
phases: {
%s}
"""

_PROJECT_CUE = """package project

name: "%(name)s"
ci: phases: {
%(phases)s}
"""


def document(projects: int, phases: int, steps: int) -> str:
    """`projects` x `phases` x `steps` steps, a group for each phase."""
    names = [f"phase-{number:02}" for number in range(1, phases + 1)]
    return json.dumps(
        {
            "schemaVersion": 1,
            "repository": {
                "forgeVersion": "v1.0.0",
                "tagging": {"strategy": "monorepo"},
                "phases": {name: {"group": index, "timeout": "30m"} for index, name in enumerate(names, 1)},
            },
            "projects": [
                {
                    "name": f"project-{number:05}",
                    "path": f"services/project-{number:05}",
                    "phases": {name: [_step(index) for index in range(1, steps + 1)] for name in names},
                }
                for number in range(1, projects + 1)
            ],
            "phaseGroups": [{"group": index, "phases": [name]} for index, name in enumerate(names, 1)],
        }
    )


def write_document(path: Path, projects: int, phases: int, steps: int) -> None:
    """In a process of its own: what this one needs at most, its children are said to need at least."""
    argv = (sys.executable, "-m", "benchmarks.document", str(path), str(projects), str(phases), str(steps))
    subprocess.run(argv, check=True, timeout=120)


def _step(index: int) -> dict[str, object]:
    return {"name": f"step-{index}", "action": "earthly", "target": f"+target-{index}"}


def repository(folder: Path, projects: int, *, files: int) -> None:
    """A bare repository: projects with 5 phases of a step each, and in each `files` files that are no concern."""
    work = folder.with_suffix(".work")
    names = [f"phase-{number:02}" for number in range(1, 6)]
    phases = "".join(f'\t"{name}": group: {index}\n' for index, name in enumerate(names, 1))
    _write(work / ".forge/repo.cue", _REPO_CUE % phases)
    for number in range(1, projects + 1):
        project = work / f"services/project-{number:05}"
        steps = "".join(f'\t"{name}": run: {{action: "earthly", target: "+{name}"}}\n' for name in names)
        _write(project / ".forge/project.cue", _PROJECT_CUE % {"name": project.name, "phases": steps})
        targets = "".join(f"\n{name}:\n    RUN true\n" for name in names)
        _write(project / "Earthfile", f"VERSION 0.8\nFROM alpine:3.20\n{targets}")
        for index in range(files):
            _write(project / f"src/part-{index % 7}/file-{index}.py", f"VALUE = {index}\n")
    _git(work, "init", "-q", "-b", "main")
    commit(work, "first")
    _git(work, "clone", "-q", "--bare", ".", str(folder))


def change_one(folder: Path, number: int) -> None:
    """A commit on the bare repository's main that changes one project's configuration."""
    work = folder.with_suffix(".work")
    path = work / f"services/project-{number:05}/.forge/project.cue"
    path.write_text(f"{path.read_text()}// changed\n")
    commit(work, "change")
    _git(work, "push", "-q", str(folder), "main")


def commit(work: Path, message: str) -> None:
    _git(work, "add", "-A")
    identity = ("-c", "user.name=bench", "-c", "user.email=bench@localhost")
    _git(work, *identity, "commit", "-q", "-m", message)


def _git(work: Path, *words: str) -> None:
    subprocess.run(("git", *words), cwd=work, check=True, capture_output=True, timeout=120)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(document(*map(int, sys.argv[2:])))
