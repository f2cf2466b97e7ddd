"""What a case compiles to now against what it compiled to, in the words of whoever has to decide which is right.

The plan is compared first, as work: a difference there is told as changes of projects and steps, and the manifest's is
its consequence. Lines are shown only where the work is the same and its form is not, which another version of the
compiler or other options do.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from forgec import pipeline
from forgec.compilation import Compiled
from forgec.diff.lines import unified
from forgec.diff.planned import compare_plans
from forgec.diff.render_text import render_text
from forgec.golden.case import PLAN_FILE, WORKFLOW_FILE
from forgec.plan.digest import read_plan
from forgec.plan.model import Plan

_LABELS: Final = ("golden", "now")
_OF_ONE_CASE = re.compile(
    r'"?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"?'  # the run's id, quoted where YAML asks for it
    r"|sha256:[0-9a-f]{64}|\"?\b[0-9a-f]{12}\b\"?"  # the plan's digest, and its label
    r"|^@@.*@@$",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`stale`: what the files should be that are something else or missing; `reason`: why, in several lines."""

    case: str
    stale: Mapping[str, bytes]
    reason: str = ""


def judge(case: str, stored: Mapping[str, bytes], compiled: Compiled) -> Verdict:
    """`stored`: the expected files that are there, by name."""
    expected = {PLAN_FILE: pipeline.emit_plan(compiled.plan), WORKFLOW_FILE: compiled.workflow}
    stale = {name: data for name, data in expected.items() if stored.get(name) != data}
    if not stale:
        return Verdict(case=case, stale={})
    return Verdict(case=case, stale=stale, reason="\n".join(_reasons(stored, stale, compiled.plan)))


def tell(verdicts: Iterable[Verdict]) -> str:
    """Why cases are not as expected; what many have in common, as with another compiler, is told once, by the first."""
    cases: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        cases.setdefault(_OF_ONE_CASE.sub("", verdict.reason), []).append(verdict)
    return "".join(_block(alike) for alike in cases.values())


def _block(alike: list[Verdict]) -> str:
    first, *others = (verdict.case for verdict in alike)
    head = f"case {first}" + (f", and alike {', '.join(others)}" if others else "")
    lines = (f"  {line}".rstrip() for line in alike[0].reason.splitlines())
    return "\n".join((head, *lines)) + "\n\n"


def _reasons(stored: Mapping[str, bytes], stale: Mapping[str, bytes], plan: Plan) -> Iterator[str]:
    missing = [name for name in stale if name not in stored]
    if missing:
        yield f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
    if PLAN_FILE in stale and PLAN_FILE in stored:
        told = _plan_reasons(stored[PLAN_FILE], plan)
        if told is not None:
            yield told
            return
        yield "the work is the same, and the plan is written otherwise or cut into other units"
    elif WORKFLOW_FILE in stale and WORKFLOW_FILE in stored:
        yield "the plan is the same, and the manifest is not: another version of the compiler, or other options"
    for name in stale:
        if name in stored:
            yield from unified(stored[name], stale[name], labels=(f"{name} (golden)", f"{name} (now)"))


def _plan_reasons(data: bytes, plan: Plan) -> str | None:
    """The difference as changes; None where there is none but in form."""
    try:
        comparison = compare_plans(read_plan(data), plan, labels=_LABELS)
    except msgspec.MsgspecError as error:
        return f"{PLAN_FILE} is no plan that this compiler can read ({error}), so it cannot be compared"
    return render_text(comparison).rstrip("\n") if comparison.changes else None
