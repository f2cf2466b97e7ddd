"""One configuration, both engines: the same data or both refuse.

Data is compared as a reader of its JSON sees it: objects without order, and numbers as doubles. CUE prints some floats
without a fraction (1e3 + 1 is 1001), so 1 and 1.0 are one number here.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from tests.conformance.cue.known import has_reference, reason_to_refuse
from tests.conformance.cue.reference import Answer, Reference

from forgec.diagnostic import Diagnostic, ForgeError
from forgec.source import Source
from forgec.syntax.data import to_plain
from forgec.syntax.parse import parse_file
from forgec.syntax.unify import evaluate


class Verdict(enum.Enum):
    SAME = "configurations with the same data"
    BOTH_REFUSE = "configurations that both refuse"
    KNOWN = "configurations that only the built-in evaluator refuses, for a reason that is listed"
    REFERENCE = "configurations with references, which are an extension"
    UNDECIDED = "configurations that the reference does not finish"
    DIFFERENT = "disagreements"


@dataclass(frozen=True, slots=True)
class Outcome:
    verdict: Verdict
    reference: Answer | None
    ours: object
    refusals: tuple[Diagnostic, ...]

    def __str__(self) -> str:
        reference = "no answer" if self.reference is None else self.reference.error or f"{self.reference.data!r}"
        refused = "\n".join(f"{each.code.id} {each.span}: {each.message}" for each in self.refusals)
        return f"cue: {reference.rstrip()}\nbuilt-in: {refused or repr(self.ours)}"


def compare(files: Mapping[str, str], reference: Reference) -> Outcome:
    ours, refusals = _evaluate(files)
    theirs = reference.judge(files)
    return Outcome(_verdict(theirs, ours, refusals), theirs, ours, refusals)


def _verdict(theirs: Answer | None, ours: object, refusals: tuple[Diagnostic, ...]) -> Verdict:
    if theirs is None or (theirs.error or "").startswith("crash: "):
        return Verdict.UNDECIDED
    if theirs.error is not None:
        if has_reference(ours):
            return Verdict.REFERENCE
        return Verdict.BOTH_REFUSE if refusals else Verdict.DIFFERENT
    if refusals:  # one may be the consequence of another
        return Verdict.KNOWN if any(reason_to_refuse(each) for each in refusals) else Verdict.DIFFERENT
    return Verdict.SAME if _read(theirs.data) == _read(ours) else Verdict.DIFFERENT


def _evaluate(files: Mapping[str, str]) -> tuple[object, tuple[Diagnostic, ...]]:
    try:
        return to_plain(evaluate([parse_file(Source(name, text)) for name, text in sorted(files.items())])), ()
    except ForgeError as error:
        return None, error.diagnostics


def _read(value: object) -> object:
    """Python holds True and 1 to be equal; JSON does not."""
    match value:
        case dict():
            return {key: _read(inner) for key, inner in value.items()}
        case list():
            return [_read(inner) for inner in value]
        case bool():
            return str(value), bool
        case _:
            return value
