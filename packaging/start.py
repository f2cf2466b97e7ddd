"""The first code that runs in the packed dispatcher: every other module comes out of the same file.

The file is a line for the shell, then the code of all modules and the C extensions, uncompressed one after another,
then a zip of this module and of an index that says where each of the others lies. As entries of the zip they would be
found by Python's own importer, which parses a directory of 250 entries and opens the file for each, all in Python;
here a module is one read.

The standard library's modules are in it as well. Slim images come without their bytecode, and a pod that cannot write
it would compile them at each start, which takes longer than all the rest. They are for the very interpreter that
compiled them, since its C modules must fit; any other of the same version takes its own.

A C extension can be loaded from a file only. It is written to one in memory that has no name: nothing to share, to
guard or to clean up. Where the system does not allow that, a private folder serves for the time of the import.
"""

import gc
import marshal
import os
import sys
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from types import ModuleType
from zipimport import zipimporter

# These are there when Python runs a zip. What else is needed comes after the finder: it might have to be compiled.

BAD_CONFIGURATION = 78
"""As the dispatcher says it; Python's own 1 would mean that a job failed."""


def start() -> int:
    """The dispatcher's exit code; 78 where the file does not fit this Python or platform, or is damaged."""
    gc.disable()  # what is imported stays: a collection in between would find nothing
    try:
        archive, place = _open_packed()
        sys.meta_path.insert(0, place)
        sys.path.remove(archive)
        from forge_runtime.dispatcher import main
    except Exception as error:
        print(f"forge-dispatcher: {type(error).__name__}: {error}", file=sys.stderr)
        return BAD_CONFIGURATION
    gc.freeze()
    gc.enable()
    return main()


def target() -> str:
    """What code and extensions are compiled for."""
    system = os.uname()
    return f"{sys.implementation.cache_tag} on {system.sysname} {system.machine}"


class Finder:
    """Finds and loads the modules of a packed file. `index`: name -> (offset and size in bytes, kind)."""

    def __init__(self, archive: str, index: "dict[str, tuple[int, int, str]]") -> None:
        self._archive = archive
        self._index = index
        self._file = os.open(archive, os.O_RDONLY | os.O_CLOEXEC)

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> "ModuleSpec | None":
        if name not in self._index:
            return None
        kind = self._index[name][2]
        if kind == "extension":
            return ModuleSpec(name, ExtensionLoader(name, self._read(name)))
        # The import system asks a loader for these two methods, not for a base class, which would have to be imported.
        return ModuleSpec(name, self, origin=self._archive, is_package=kind == "package")  # type: ignore[arg-type]

    def create_module(self, _spec: ModuleSpec) -> None:
        """A module as Python makes it."""

    def exec_module(self, module: ModuleType) -> None:
        exec(marshal.loads(self._read(module.__name__)), module.__dict__)  # noqa: S102, S302 - this file's own code

    def _read(self, name: str) -> bytes:
        offset, size, _ = self._index[name]
        return os.pread(self._file, size, offset)


class ExtensionLoader(ExtensionFileLoader):
    """Loads a C extension from its bytes."""

    def __init__(self, name: str, data: bytes) -> None:
        super().__init__(name, "")
        self._data = data

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        try:
            return self._from_memory(spec)
        except (AttributeError, OSError, ImportError):  # not on this system; not allowed; not to be executed
            return self._from_folder(spec)

    def _from_memory(self, spec: ModuleSpec) -> ModuleType:
        with os.fdopen(os.memfd_create(spec.name), "wb") as file:
            file.write(self._data)
            file.flush()
            spec.origin = f"/proc/self/fd/{file.fileno()}"
            return super().create_module(spec)

    def _from_folder(self, spec: ModuleSpec) -> ModuleType:
        from pathlib import Path
        from tempfile import TemporaryDirectory

        with TemporaryDirectory(prefix="forge-dispatcher-") as folder:
            path = Path(folder, f"{spec.name}.so")
            path.write_bytes(self._data)
            spec.origin = str(path)
            return super().create_module(spec)


def _open_packed() -> "tuple[str, Finder]":
    archive = sys.path[0]
    head = zipimporter(archive).get_data(f"{archive}/index")
    built_for, built_by, standard, index = marshal.loads(head)  # noqa: S302 - this file's own
    if built_for != target():
        raise ImportError(f"this file is for {built_for}, not for {target()}: build one with `make dispatcher`")
    if built_by != sys.version:
        index = {name: entry for name, entry in index.items() if name not in standard}
    return archive, Finder(archive, index)


if __name__ == "__main__":
    sys.exit(start())
