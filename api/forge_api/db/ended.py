"""Runs and phases that a committed transaction brought to their end, told once each, whoever's transaction it was.

An end is a row whose `completed_at` was empty before. It is told after the commit: what a rolled back transaction did
never happened, and one that is tried again ends the row only once.
"""

from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import event
from sqlalchemy.orm import Session, attributes

from forge_api.db.tables import Phase, Run

Ended = Run | Phase

_FOUND: Final = "ended"


def session_that_tells(told: Callable[[Ended], None]) -> type[Session]:
    """A kind of session whose commits tell what they ended; `told` must not wait or raise."""
    kind = type("TellingSession", (Session,), {})

    def note(session: Session, _context: Any) -> None:
        found: dict[int, Ended] = session.info.setdefault(_FOUND, {})
        for row in session.dirty:
            if isinstance(row, Run | Phase) and _ends(row):
                found[id(row)] = row

    def tell(session: Session) -> None:
        for row in session.info.pop(_FOUND, {}).values():
            told(row)

    def forget(session: Session) -> None:
        session.info.pop(_FOUND, None)

    event.listen(kind, "after_flush", note)
    event.listen(kind, "after_commit", tell)
    event.listen(kind, "after_rollback", forget)
    return kind


def _ends(row: Ended) -> bool:
    history = attributes.get_history(row, "completed_at")
    return any(history.added) and not any(history.deleted)
