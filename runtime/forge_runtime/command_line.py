"""The dispatcher's command line.

Read by hand: it is three words with options that each take a value, written by the compiler, and `argparse` alone
would cost 11 ms of the 150 that a dispatcher's start takes.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct

from forgec import ids

USAGE: Final = """\
usage: forge-dispatcher discover --run forge-UUID
       forge-dispatcher run      --run forge-UUID --plan DIGEST --unit UNIT
       forge-dispatcher finish   --run forge-UUID [--plan DIGEST] [--status WORD]

Submits the jobs of a run's workflow and waits for them. WORD is the engine's for how the workflow ended (succeeded).
"""
LEAVES: Final = {"discover": ("run",), "run": ("run", "plan", "unit"), "finish": ("run",)}
"""What each must be given."""

OPTIONS: Final = ("run", "plan", "unit", "status")


class BadCommand(ValueError):
    """The command line is not understood; trying again changes nothing."""


class Command(Struct, frozen=True, kw_only=True):
    """A parsed command line. `plan` and `unit` belong to `run`; `finish` may name a plan."""

    leaf: str
    run_id: str
    plan: str | None = None
    unit: str | None = None
    status: str = "succeeded"


def parse_command(argv: Sequence[str]) -> Command:
    """BadCommand says what is wrong with the line."""
    leaf, *words = argv or [""]
    if leaf not in LEAVES:
        raise BadCommand(f'"{leaf}" is nothing that a dispatcher does: {", ".join(LEAVES)}')
    options = dict(_options(words))
    if missing := [f"--{name}" for name in LEAVES[leaf] if name not in options]:
        raise BadCommand(f"{leaf} needs {' and '.join(missing)}")
    try:
        run_id = ids.run_id_of_workflow(options["run"])
    except ValueError as error:
        raise BadCommand(f"--run: {error}") from None
    status = options.get("status", "succeeded").lower()
    return Command(leaf=leaf, run_id=run_id, plan=options.get("plan"), unit=options.get("unit"), status=status)


def _options(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """`--name value` and `--name=value`; the last of two wins."""
    rest = iter(words)
    for word in rest:
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or name not in OPTIONS:
            raise BadCommand(f'"{word}" is no option: --{", --".join(OPTIONS)}')
        if not equals:
            value = next(rest, "")
        if not value or value.startswith("--"):
            raise BadCommand(f"--{name} needs a value")
        yield name, value
