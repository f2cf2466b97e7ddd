"""The driver that judges thousands of configurations answers as the command does that people use."""

import json
import subprocess
from pathlib import Path

from tests.conformance.cue.reference import ANSWER_LIMIT_S, Reference, Tools
from tests.conformance.cue.test_corpus import CONFIGURATIONS
from tests.judge import Judged, cases

EVERY = cases(10, full=1)
"""One of how many of the written configurations: the command takes 20 ms for each."""


def exported(cue: Path, text: str, folder: Path) -> object:
    """The data, or None where the command refuses."""
    (folder / "x.cue").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [cue, "export", "--out", "json", "x.cue"],
        cwd=folder,
        env={"HOME": str(folder), "CUE_CACHE_DIR": str(folder / "cache"), "CUE_REGISTRY": "none"},
        capture_output=True,
        check=False,
        timeout=2 * ANSWER_LIMIT_S,
    )
    return json.loads(done.stdout) if done.returncode == 0 else None


def test_the_driver_and_the_command_agree(
    cue_tools: Tools, reference: Reference, judged: Judged, tmp_path: Path
) -> None:
    asked = 0
    for name, text in list(CONFIGURATIONS.items())[::EVERY]:
        answer = reference.judge({"x.cue": text})
        if answer is None:  # nor does the command find one
            continue
        assert exported(cue_tools.cue, text, tmp_path) == answer.data, name
        asked += 1

    assert asked > 20
    judged("cue", cue_tools.version, "answers of the driver that the command confirms", asked)
