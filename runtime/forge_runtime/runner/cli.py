"""Which build CLI is installed: `earth`, or `earthly` as it was called before, and what it understands."""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from forge_runtime.process import Program, run_process

CLI_NAMES: Final = ("earth", "earthly")
"""The CLI's present and its former name."""

PREFIXES: Final = ("EARTH_", "EARTHLY_")
"""Of the variables that it reads. From 0.8.18 the first one counts, and each of the second is a warning in the log."""

_RENAMED: Final = (0, 8, 18)

PROBE_LIMIT_S: Final = 10.0
"""`--version` takes 0.05 s."""


class CliBroken(Exception):
    """The program cannot be started or is not the CLI; the message says what it did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cli:
    """`name` is the program's own; of a version that cannot be read nothing is assumed."""

    path: str
    name: str
    version: tuple[int, int, int] | None

    @property
    def prefixes(self) -> tuple[str, ...]:
        if self.version is not None and self.version >= _RENAMED:
            return PREFIXES[:1]
        return PREFIXES

    def variables(self, values: Mapping[str, str]) -> dict[str, str]:
        """Each value under every prefix that the program may read it by."""
        return {f"{prefix}{name}": value for prefix in self.prefixes for name, value in values.items()}


def parse_version(path: str, text: str) -> Cli | None:
    """From what `--version` prints: "earth version v0.8.18 6ff704d linux/amd64; ..."; None if it is something else."""
    match = _VERSION.search(text)
    if match is None:
        return None
    numbers = re.match(r"v?(\d{1,4})\.(\d{1,4})\.(\d{1,4})\b", match[2])
    version = (int(numbers[1]), int(numbers[2]), int(numbers[3])) if numbers else None
    return Cli(path=path, name=match[1], version=version)


@dataclass(slots=True)
class CliProbe:
    """Asks a program once what it is; one that failed is asked again the next time."""

    path: str
    _known: Cli | None = None
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def cli(self, environment: Mapping[str, str], scratch: Path) -> Cli:
        """Raises CliBroken."""
        async with self._asking:
            if self._known is None:
                self._known = await _ask(self.path, environment, scratch)
            return self._known


def find_cli(which: Callable[[str], str | None]) -> str | None:
    """The program to use, the present name first."""
    return next((path for name in CLI_NAMES if (path := which(name))), None)


async def _ask(path: str, environment: Mapping[str, str], scratch: Path) -> Cli:
    lines: list[str] = []

    async def take(line: str) -> None:
        if len(lines) < 20:
            lines.append(line)

    program = Program(argv=(path, "--version"), cwd=scratch, environment=environment)
    try:
        end = await run_process(program, timeout_s=PROBE_LIMIT_S, output=take)
    except OSError as error:
        raise CliBroken(f"{path} cannot be started: {error.strerror}") from None
    cli = parse_version(path, "\n".join(lines))
    if end.exit_code != 0 or cli is None:
        said = lines[0][:200] if lines else "nothing"
        raise CliBroken(f"{path} --version ended with {end.exit_code} and said {said!r}: is it the build CLI?")
    return cli


_VERSION: Final = re.compile(r"^(earth|earthly) version (\S+)", re.MULTILINE)
