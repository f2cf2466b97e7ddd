from pathlib import Path

import pytest
from tests.earthly.fakes import FakeCli
from tests.runtime.runner.step import EarthlyStep


@pytest.fixture
def earthly(tmp_path: Path) -> EarthlyStep:
    for name in ("workspace", "scratch"):
        (tmp_path / name).mkdir()
    return EarthlyStep(tmp_path, FakeCli(tmp_path / "cli"))
