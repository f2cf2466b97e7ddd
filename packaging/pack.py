"""Packs the dispatcher into one executable file: `python packaging/pack.py dist/forge-dispatcher`.

It is for the Python and the platform of this environment. In it are the dispatcher's own modules, whatever they may
import of its base dependencies, and the standard library's modules that a start loads (packaging/start.py says why).
"""

import importlib.util
import marshal
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module, metadata
from modulefinder import ModuleFinder
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from start import target

ROOT: Final = Path(__file__).resolve().parents[1]
OWN: Final = (ROOT / "runtime/forge_runtime", ROOT / "compiler/forgec")
MAIN: Final = "forge_runtime.dispatcher"
LATER: Final = ("concurrent.futures.thread", "encodings.idna")
"""Of the standard library, what a connection to a host's name takes."""

COMMAND: Final = f"#!/usr/bin/env -S python{sys.version_info.major}.{sys.version_info.minor} -IBS\n"
"""Isolated from variables, folders and site packages: what is loaded is in the file or in the standard library."""

LIMIT_S: Final = 60
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    name: str
    path: Path

    @property
    def kind(self) -> str:
        if self.path.suffix != ".py":
            return "extension"
        return "package" if self.path.stem == "__init__" else "module"

    def data(self) -> bytes:
        """Its code; tracebacks name its path inside its package, not that of this machine."""
        if self.kind == "extension":
            return self.path.read_bytes()
        folder, separator, _ = self.name.rpartition(".")
        folder = self.name if self.kind == "package" else folder
        shown = f"{folder.replace('.', '/')}/{self.path.name}" if separator or folder else self.path.name
        return marshal.dumps(compile(self.path.read_bytes(), shown, "exec", dont_inherit=True))


def pack(file: Path) -> None:
    with TemporaryDirectory(prefix="forge-pack-") as folder:
        base = Path(folder)
        for package in (*OWN, *_base_packages()):
            (base / package.name).symlink_to(package)
        packed = list(_reachable(base))
        standard = list(_standard(base))
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_name(f".{file.name}")
        _write(unfinished, [*packed, *standard], [module.name for module in standard])
    unfinished.chmod(0o755)
    unfinished.replace(file)


def _base_packages() -> Iterator[Path]:
    """The folders of what the distribution needs without any extra."""
    packages = metadata.packages_distributions()
    needed = {re.split(r"[^\w.-]", need, maxsplit=1)[0] for need in _requirements("catalyst-forge")}
    for package, distributions in packages.items():
        if needed & set(distributions):
            location = import_module(package).__file__
            assert location is not None
            yield Path(location).parent


def _requirements(distribution: str) -> Iterator[str]:
    for need in metadata.requires(distribution) or ():
        if "extra ==" not in need:
            yield need
            yield from _requirements(re.split(r"[^\w.-]", need, maxsplit=1)[0])


def _reachable(base: Path) -> Iterator[Module]:
    """Every module below `base` that the dispatcher may import, now or in a function that is called later."""
    finder: Any = ModuleFinder(path=[str(base)])
    finder.import_hook(MAIN)
    for name, module in finder.modules.items():
        if module.__file__ is not None:  # else built into the interpreter
            yield Module(name=name, path=Path(module.__file__))


def _standard(base: Path) -> Iterator[Module]:
    """What the dispatcher loads of the standard library, as it comes from files."""
    script = f"""
import sys
sys.path.append({str(base)!r})
import {", ".join((MAIN, *LATER))}
for name, module in sys.modules.items():
    origin = getattr(getattr(module, "__spec__", None), "origin", None) or ""
    if origin.endswith(".py") and not origin.startswith({str(base)!r}):
        print(name, origin, sep="\\t")
"""
    command = (sys.executable, "-IBS", "-c", script)
    loaded = subprocess.run(command, check=True, capture_output=True, text=True, timeout=LIMIT_S).stdout
    for line in loaded.splitlines():
        name, _, origin = line.partition("\t")
        yield Module(name=name, path=Path(origin))


def _write(file: Path, modules: Iterable[Module], standard: Iterable[str]) -> None:
    start = (ROOT / "packaging/start.py").read_bytes()
    index = {}
    with file.open("wb") as stream:
        stream.write(COMMAND.encode())
        for module in modules:
            data = module.data()
            index[module.name] = (stream.tell(), len(data), module.kind)
            stream.write(data)
        with zipfile.ZipFile(stream, "w") as archive:
            header = marshal.dumps((target(), sys.version, frozenset(standard), index))
            for name, part in {
                "index": header,
                # The source is for other versions of Python: it tells them that the file is not for them.
                "__main__.py": start,
                "__main__.pyc": _bytecode(start),
            }.items():
                archive.writestr(zipfile.ZipInfo(name, _EPOCH), part)


def _bytecode(source: bytes) -> bytes:
    """As in a .pyc file that is taken without a look at its source."""
    unchecked = (0b01).to_bytes(4, "little")
    code = marshal.dumps(compile(source, "start.py", "exec", dont_inherit=True))
    return importlib.util.MAGIC_NUMBER + unchecked + importlib.util.source_hash(source) + code


if __name__ == "__main__":
    pack(Path(sys.argv[1]))
