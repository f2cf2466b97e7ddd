"""Files that one phase saves AS LOCAL and the next one uses, on a whole platform with several workers."""

from pathlib import Path

import pytest
from tests.e2e.platform import Platform, commit_repository

pytestmark = pytest.mark.timeout(300)

FILES = {
    ".forge/repo.cue": """package repo
forgeVersion: "v1.0.0"
tagging: strategy: "monorepo"
phases: {
	make: {group: 1, description: "makes"}
	use: {group: 2, description: "uses"}
}
""",
    "a/.forge/project.cue": """package project
name: "a"
ci: phases: {
	make: made: {action: "earthly", target: "+make"}
	use: used: {action: "earthly", target: "+use"}
}
""",
    "a/Earthfile": """VERSION 0.8
FROM alpine:3.20
make:
    RUN echo made > data
    SAVE ARTIFACT data AS LOCAL gen/data
use:
    COPY gen/data ./
    RUN grep -q made data
""",
}


def test_a_file_that_a_phase_made_is_in_the_checkout_of_the_next(tmp_path: Path) -> None:
    platform = Platform(tmp_path / "data")
    platform.start()
    try:
        done = platform.forge("run", str(commit_repository(tmp_path / "made", FILES)))
        run = platform.client.runs(repository="local/made")[0]
        logs = platform.forge("logs", run["id"], "--step", "a/used")
    finally:
        platform.stop()

    assert done.returncode == 0, done.stdout + done.stderr
    assert "in the checkout from make/made: 1 file" in logs.stdout, logs.stdout
