"""What is in an artifact, as syft finds it: a bill of materials in syft's own form or as SPDX.

syft is a program of its own, run on what a repository built: in a home and a directory of its own, without network,
with limits on time, memory and what it writes. From its own form we take out where on this machine it worked, and then
equal artifacts have equal bills; SPDX names the time of its making, so two of one artifact differ. Where there is none,
because syft is not installed or fails, the artifact goes out without it, and a warning says why.
"""

import asyncio
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec

from forge_runtime.process import Program, run_process
from forgec.plan.digest import canonical_json, digest_of

Format = Literal["syft-json", "spdx-json"]
Kind = Literal["dir", "file", "oci-archive", "oci-dir"]

MEDIA_TYPES: Final[dict[Format, str]] = {
    "syft-json": "application/vnd.syft+json",
    "spdx-json": "application/spdx+json",
}

SCAN_S: Final = 300.0
"""Measured: 1 s for a directory, 1.3 s for a program of 60 MB; a large image takes minutes."""

BILL_BYTES_MAX: Final = 64 * 1024 * 1024
SCRATCH_BYTES_MAX: Final = 8 * 1024**3
"""Of each file that syft writes: of an image it unpacks every layer into a file, as large as a blob may be."""

ADDRESS_SPACE_BYTES: Final = 8 * 1024**3
"""Go reserves much more than it uses; what it uses is held down by GOMEMLIMIT, as far as it can be."""

MEMORY: Final = "1GiB"
NO_PROXY_HERE: Final = "http://127.0.0.1:9"
"""syft is told of a proxy that is not there: whatever asks for the network all the same is refused at once."""

WORDS_CHARS_MAX: Final = 500


class NoBill(Exception):
    """There is no bill of materials, and why. A warning: the artifact itself is as good as before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanned:
    """What to look at. `name` is what the bill says that it is about."""

    kind: Kind
    path: Path
    name: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    format: Format
    data: bytes

    @property
    def media_type(self) -> str:
        return MEDIA_TYPES[self.format]

    @property
    def digest(self) -> str:
        return digest_of(self.data)


def find_syft() -> Path | None:
    """The program beside our own interpreter, else the one in PATH."""
    beside = Path(sys.executable).with_name("syft")
    if beside.is_file():
        return beside
    found = shutil.which("syft")
    return Path(found) if found else None


async def scan(
    scanned: Scanned, form: Format, folder: Path, *, syft: Path | None = None, timeout_s: float = SCAN_S
) -> Bill:
    """Raises NoBill. `folder` is the caller's: empty, and removed by it."""
    program = syft or await asyncio.to_thread(find_syft)
    if program is None:
        raise NoBill("syft is not installed (the package's extra `sbom` brings it)")
    report, home = folder / "bill.json", folder / "home"
    await asyncio.to_thread(home.mkdir, parents=True)
    last: list[str] = []

    async def keep(line: str) -> None:
        last[:] = [*last[-4:], line]

    started = Program(argv=_command(program, scanned, form, report), cwd=folder, environment=_environment(home, folder))
    try:
        end = await run_process(started, timeout_s=timeout_s, output=keep)
    except OSError as error:
        raise NoBill(f"{program} cannot be started: {error.strerror}") from None
    if end.timed_out:
        raise NoBill(f"syft took longer than {timeout_s:g} s for {scanned.name}")
    if end.exit_code != 0:
        words = " ".join(" ".join(last).split())[-WORDS_CHARS_MAX:]
        raise NoBill(f"syft ended with exit code {end.exit_code} for {scanned.name}: {words}")
    data = await asyncio.to_thread(_read, report)
    return Bill(format=form, data=_placeless(data, scanned) if form == "syft-json" else data)


def _command(program: Path, scanned: Scanned, form: Format, report: Path) -> tuple[str, ...]:
    limits = ("prlimit", f"--as={ADDRESS_SPACE_BYTES}", f"--fsize={SCRATCH_BYTES_MAX}", "--core=0", "--")
    command = (
        *limits,
        str(program),
        "scan",
        f"{scanned.kind}:{scanned.path}",
        f"--source-name={scanned.name}",
        f"--source-version={scanned.version}",
        f"--output={form}={report}",
    )
    # Links of a repository lead nowhere but into it.
    return (*command, f"--base-path={scanned.path}") if scanned.kind == "dir" else command


def _environment(home: Path, folder: Path) -> dict[str, str]:
    return {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home),
        "XDG_CACHE_HOME": str(home),
        "TMPDIR": str(folder),
        "PATH": "/usr/bin:/bin",
        "SYFT_CHECK_FOR_APP_UPDATE": "false",
        "SYFT_PARALLELISM": "1",
        "GOMEMLIMIT": MEMORY,
        "HTTP_PROXY": NO_PROXY_HERE,
        "HTTPS_PROXY": NO_PROXY_HERE,
        "LANG": "C.UTF-8",
    }


def _read(report: Path) -> bytes:
    try:
        with report.open("rb") as file:
            data = file.read(BILL_BYTES_MAX + 1)
    except OSError as error:
        raise NoBill(f"syft wrote no bill: {error.strerror}") from None
    if not data or len(data) > BILL_BYTES_MAX:
        raise NoBill(f"syft wrote {len(data)} bytes; a bill has 1 to {BILL_BYTES_MAX}")
    return data


def _placeless(data: bytes, scanned: Scanned) -> bytes:
    """Without syft's configuration, which is full of directories of this machine, and the path of what it looked at."""
    try:
        bill = msgspec.json.decode(data)
        bill["descriptor"].pop("configuration", None)
        if "path" in (metadata := bill["source"]["metadata"]):
            metadata["path"] = scanned.name
    except (msgspec.DecodeError, LookupError, TypeError, AttributeError):
        raise NoBill("what syft wrote is not its own form") from None
    return canonical_json(bill)
