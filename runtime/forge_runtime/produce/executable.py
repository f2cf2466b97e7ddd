"""What a program runs on, as the header of its file says: ELF, Mach-O, PE, or the `#!` of a script.

Only what is asked for is read, and nothing in the file is believed further than its own size: offsets that lead out of
it, and tables that are longer than any compiler makes them, make it no executable.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

ENTRIES_MAX: Final = 4096
"""Program headers, load commands, dynamic entries: real programs have some dozens."""


@dataclass(frozen=True, slots=True)
class Executable:
    os: str
    arch: str
    static: bool


def read_executable(file: BinaryIO) -> Executable | None:
    """None where the file is no executable of a kind that is known."""
    reader = _Reader(file)
    try:
        start = reader.at(0, 4)
        if start[:2] == b"#!":
            return Executable("any", "any", static=False)
        if start == b"\x7fELF":
            return _elf(reader)
        if start in _MACH_O:
            return _mach_o(reader, *_MACH_O[start])
        if start == _UNIVERSAL:
            return _universal(reader)
        if start[:2] == b"MZ":
            return _pe(reader)
    except (_Short, struct.error):
        return None
    return None


class _Short(Exception):
    """The file ends before what its header promises."""


class _Reader:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def at(self, offset: int, size: int) -> bytes:
        self._file.seek(min(offset, 2**62))
        data = self._file.read(size)
        if len(data) < size:
            raise _Short
        return data

    def unpack(self, layout: str, offset: int) -> tuple[int, ...]:
        return struct.unpack(layout, self.at(offset, struct.calcsize(layout)))


_ELF_ARCH: Final = {
    (3, 1): "386",
    (8, 1): "mips",
    (8, 2): "mips64",
    (20, 1): "ppc",
    (21, 2): "ppc64",
    (22, 2): "s390x",
    (40, 1): "arm",
    (62, 2): "amd64",
    (183, 2): "arm64",
    (243, 1): "riscv32",
    (243, 2): "riscv64",
    (258, 2): "loong64",
}
"""e_machine and class (1: 32 bits, 2: 64), of the ELF specification and its supplements."""

_LITTLE_ENDIAN: Final = {"mips": "mipsle", "mips64": "mips64le", "ppc64": "ppc64le"}
_ELF_OS: Final = {0: "linux", 2: "netbsd", 3: "linux", 6: "solaris", 9: "freebsd", 12: "openbsd"}
"""EI_OSABI; compilers for Linux write 0 as well as 3."""

_PT_DYNAMIC, _PT_INTERP, _DT_NEEDED = 2, 3, 1


def _elf(reader: _Reader) -> Executable | None:
    bits, order, abi = reader.unpack("BBxB", 4)
    if bits not in (1, 2) or order not in (1, 2):
        return None
    end = "<" if order == 1 else ">"
    kind, machine = reader.unpack(end + "HH", 16)
    arch, system = _ELF_ARCH.get((machine, bits)), _ELF_OS.get(abi)
    if arch is None or system is None or kind not in (2, 3):  # a program, or one that may lie anywhere
        return None
    if order == 1:
        arch = _LITTLE_ENDIAN.get(arch, arch)
    headers = list(_program_headers(reader, end, bits))
    linked = any(kind == _PT_INTERP for kind, _, _ in headers) or any(
        _needs_library(reader, end, bits, offset, size) for kind, offset, size in headers if kind == _PT_DYNAMIC
    )
    return Executable(system, arch, static=not linked)


def _program_headers(reader: _Reader, end: str, bits: int) -> Iterator[tuple[int, int, int]]:
    """Type, offset and size of each segment."""
    if bits == 2:
        (table,) = reader.unpack(end + "Q", 32)
        each, count = reader.unpack(end + "HH", 54)
        layout, order = "IIQQQQ", (0, 2, 5)
    else:
        (table,) = reader.unpack(end + "I", 28)
        each, count = reader.unpack(end + "HH", 42)
        layout, order = "IIIII", (0, 1, 4)
    for number in range(min(count, ENTRIES_MAX)):
        fields = reader.unpack(end + layout, table + number * each)
        yield fields[order[0]], fields[order[1]], fields[order[2]]


def _needs_library(reader: _Reader, end: str, bits: int, offset: int, size: int) -> bool:
    layout = end + ("QQ" if bits == 2 else "II")
    each = struct.calcsize(layout)
    for number in range(min(size // each, ENTRIES_MAX)):
        tag, _ = reader.unpack(layout, offset + number * each)
        if tag == _DT_NEEDED:
            return True
        if tag == 0:
            return False
    return False


_MACH_O: Final = {
    b"\xcf\xfa\xed\xfe": ("<", 32),
    b"\xce\xfa\xed\xfe": ("<", 28),
    b"\xfe\xed\xfa\xcf": (">", 32),
    b"\xfe\xed\xfa\xce": (">", 28),
}
"""The magic number to byte order and size of the header."""

_MACH_O_ARCH: Final = {7: "386", 12: "arm", 0x01000007: "amd64", 0x0100000C: "arm64"}
_UNIVERSAL: Final = b"\xca\xfe\xba\xbe"
_UNIVERSAL_ARCHS_MAX: Final = 20
"""Java classes begin with the same bytes, and their version, 45 or more, stands where the number of programs does."""

_LC_LOAD_DYLIB, _LC_LOAD_DYLINKER = 0xC, 0xE


def _mach_o(reader: _Reader, end: str, header: int) -> Executable | None:
    cpu, _, _, commands, _ = reader.unpack(end + "IIIII", 4)
    arch = _MACH_O_ARCH.get(cpu)
    if arch is None:
        return None
    offset, linked = header, False
    for _ in range(min(commands, ENTRIES_MAX)):
        command, size = reader.unpack(end + "II", offset)
        linked = linked or command in (_LC_LOAD_DYLIB, _LC_LOAD_DYLINKER)
        if size < 8:
            return None
        offset += size
    return Executable("darwin", arch, static=not linked)


def _universal(reader: _Reader) -> Executable | None:
    (programs,) = reader.unpack(">I", 4)
    return Executable("darwin", "universal", static=False) if 0 < programs <= _UNIVERSAL_ARCHS_MAX else None


_PE_ARCH: Final = {0x14C: "386", 0x1C4: "arm", 0x8664: "amd64", 0xAA64: "arm64"}
_DIRECTORIES: Final = {0x10B: 96, 0x20B: 112}
"""Where the data directories begin in the optional header of 32 and of 64 bits."""


def _pe(reader: _Reader) -> Executable | None:
    (at,) = reader.unpack("<I", 0x3C)
    if reader.at(at, 4) != b"PE\0\0":
        return None
    (machine,) = reader.unpack("<H", at + 4)
    (kind,) = reader.unpack("<H", at + 24)
    arch, directories = _PE_ARCH.get(machine), _DIRECTORIES.get(kind)
    if arch is None or directories is None:
        return None
    (count,) = reader.unpack("<I", at + 24 + directories - 4)
    imports = reader.unpack("<II", at + 24 + directories + 8) if count > 1 else (0, 0)
    return Executable("windows", arch, static=imports[1] == 0)
