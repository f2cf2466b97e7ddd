"""Argo's own validator, as a process that judges any number of manifests at once.

It is Argo v4.0.5, the newest release that the public module proxy hands out for all of its modules; what v4.1 calls
otherwise is in `judge/main.go`. Building it takes two minutes on two cores, so the usual test run uses what is there,
or what can be had in little time, and `make conformance` builds it.
"""

import functools
import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.go_tool import Unavailable, built
from tests.judge import cases

SOURCE: Final = Path(__file__).with_name("judge")
MODULE: Final = "github.com/argoproj/argo-workflows/v4"
PROGRAM: Final = "argo-judge"

BUILD_LIMIT_S: Final = 900
"""Two minutes on two idle cores; some 900 packages are compiled."""

BUILD_LIMIT_USUAL_S: Final = 15
"""Enough to link what Go has compiled before."""

ANSWER_LIMIT_S: Final = 100
"""For any number of manifests; 1,000 take some seconds."""


def validator() -> Path:
    """The program. Raises Unavailable."""
    found = _built()
    if isinstance(found, Unavailable):
        raise found
    return found


@functools.cache
def version() -> str:
    done = subprocess.run([validator(), "-version"], capture_output=True, text=True, check=True, timeout=30)
    return done.stdout.strip().removeprefix("v")


@functools.cache
def examples() -> dict[str, str]:
    """The files of Argo's own examples and end-to-end tests that have a Workflow; they come with its sources."""
    command = ["go", "list", "-m", "-f", "{{.Dir}}", MODULE]
    done = subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, check=True, timeout=60)
    folder = Path(done.stdout.strip())
    found = sorted([*folder.glob("examples/**/*.yaml"), *folder.glob("test/e2e/**/*.yaml")])
    texts = {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in found}
    return {name: text for name, text in texts.items() if "kind: Workflow\n" in text}


def judge(manifests: Mapping[str, str]) -> dict[str, Sequence[str]]:
    """Argo's errors by the name of the manifest; none is its consent."""
    questions = "".join(json.dumps({"name": name, "manifest": manifest}) + "\n" for name, manifest in manifests.items())
    done = subprocess.run(
        [validator()], input=questions, capture_output=True, text=True, check=True, timeout=ANSWER_LIMIT_S
    )
    answers = map(json.loads, done.stdout.splitlines())
    return {answer["name"]: answer["errors"] for answer in answers}


@functools.cache
def _built() -> Path | Unavailable:
    """Tried once in a run: six tests that each waited for a build would be minutes."""
    limit_s = cases(BUILD_LIMIT_USUAL_S, full=BUILD_LIMIT_S)
    try:
        return built("argo", SOURCE, {PROGRAM: "."}, limit_s=limit_s) / PROGRAM
    except Unavailable as error:
        return error if limit_s == BUILD_LIMIT_S else Unavailable(f"{error}; make conformance takes its time for it")
