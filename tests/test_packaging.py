"""What is in the wheel: the four packages with their data, and nothing else."""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_the_wheel_holds_the_packages_with_their_grammars_and_migrations(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)

    assert built.returncode == 0, built.stderr
    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    packages = {name.partition("/")[0] for name in names if ".dist-info/" not in name}
    assert packages == {"forgec", "forge_runtime", "forge_api", "forge_grammar"}
    grammars = {f"forge_grammar/{name}.lark" for name in ("cue", "earthfile")}
    assert {*grammars, *(f"{name}.json" for name in grammars), "forgec/py.typed"} <= set(names)
    assert any(name.startswith("forge_api/db/migrations/versions/") for name in names)
    assert not [name for name in names if "__pycache__" in name]
