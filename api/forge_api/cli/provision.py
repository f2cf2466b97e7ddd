"""`forge provision`: the bus's streams, consumers and buckets as this version needs them; the difference first.

Exit codes: 0 everything is as it must be (now), 1 with --dry-run: something would change, 78 a destructive change that
was not forced, or one that the server refuses. Nothing is changed if a destructive change is refused.
"""

import sys
from typing import Final

from forge_runtime.bus.jetstream import JetStreamBus
from forge_runtime.bus.provision import Change, Misprovisioned, apply_changes, plan

DIFFERENT: Final = 1
REFUSED: Final = 78


async def provision(bus: JetStreamBus, *, replicas: int | None, dry_run: bool, force: bool) -> int:
    """One line a change: what would be done with `dry_run`, else what was done."""
    changes = await plan(bus, replicas=replicas)
    destructive = [change for change in changes if change.destructive]
    if dry_run:
        _say(changes)
        return DIFFERENT if changes else 0
    if destructive and not force:
        _say(changes)
        print("forge: nothing was changed: --force makes these changes too, and loses what they name:", file=sys.stderr)
        print(*(f"  {change}" for change in destructive), sep="\n", file=sys.stderr)
        return REFUSED
    try:
        await apply_changes(bus, changes, force=force, done=lambda change: print(change, flush=True))
    except Misprovisioned as refusal:
        print(f"forge: {refusal}", file=sys.stderr)
        return REFUSED
    if not changes:
        _say(changes)
    return 0


def _say(changes: list[Change]) -> None:
    lines = [str(change) for change in changes] or ["nothing to change: the bus is as this version needs it"]
    print("\n".join(lines))
