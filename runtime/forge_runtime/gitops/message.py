"""The commit message of a pointer: who put which release where, what was there before, and whose work it is. Pure.

    Rollback web in production to release 41 (v1.2.2)

    Previous release: 42 (v1.2.3)
    Rolled back by: github:alice

    Forge-Deployment-Id: 0195...
    Forge-Job-Id: 7d1c...
    Forge-Run-Id: 0195...

The trailers tell for ever which commit a deployment made, also where the job that made it never came to say so.
"""

from dataclasses import dataclass

from forge_runtime.gitops.pointer import Aliases, Found, Pointer, one_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """A pointer to be written, and the job that writes it."""

    pointer: Pointer
    job_id: str
    run_id: str


def commit_message(update: Update, before: Found | None) -> str:
    """An older release than the one before is a rollback, where both have numbers."""
    pointer = update.pointer
    new = _called(pointer.release, pointer.aliases)
    back = before is not None and _older(pointer.aliases, before.aliases)
    if back:
        subject = f"Rollback {pointer.project} in {pointer.environment} to release {new}"
    else:
        subject = f"Deploy {pointer.project} to {pointer.environment}: release {new}"
    facts = [f"Repository: {pointer.repository}", f"Commit: {pointer.release}"]
    if before is not None:
        facts.append(f"Previous release: {_called(before.release, before.aliases)}")
    if pointer.deployed_by:
        facts.append(f"{'Rolled back' if back else 'Deployed'} by: {one_line(pointer.deployed_by)}")
    if pointer.approved_by:
        facts.append(f"Approved by: {one_line(pointer.approved_by)}")
    trailers = [
        f"Forge-Deployment-Id: {pointer.deployment_id}",
        f"Forge-Job-Id: {one_line(update.job_id)}",
        f"Forge-Run-Id: {one_line(update.run_id)}",
    ]
    return "\n\n".join((subject, "\n".join(facts), "\n".join(trailers))) + "\n"


def _called(release: str, aliases: Aliases) -> str:
    """`42 (v1.2.3)`, as far as it is known; a release without a number goes by its commit."""
    name = one_line(aliases.numeric) if aliases.numeric else one_line(release)[:12]
    return f"{name} ({one_line(aliases.spoken)})" if aliases.spoken else name


def _older(new: Aliases, before: Aliases) -> bool:
    return new.number is not None and before.number is not None and new.number < before.number
