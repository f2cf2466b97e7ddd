"""Configurations that nobody wrote, through both engines.

Every run tries the same ones, the full one (`make conformance`) many more: what is green on one machine is green
on all. `make conformance SEED=7` tries others. A run does not end at a disagreement, but tells all that it has found,
the shortest first.
"""

import os
from collections import Counter
from collections.abc import Callable
from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy
from tests.conformance.cue.call_generator import calls
from tests.conformance.cue.compare import Outcome, Verdict, compare
from tests.conformance.cue.generator import configurations
from tests.conformance.cue.literal_generator import literals
from tests.conformance.cue.reference import Reference, Tools
from tests.judge import Judged, cases

from forgec.syntax.standard.packages import PACKAGES

CONFIGURATIONS: Final = int(os.environ.get("FORGE_CONFIGURATIONS", cases(250, full=5000)))
"""How many there are in a run. FORGE_CONFIGURATIONS=50000 looks further; one process judges some 25 in a second."""

SHAPES: dict[str, tuple[SearchStrategy[str], int]] = {
    "configurations": (configurations(), CONFIGURATIONS),
    "literals": (literals(), cases(125, full=2000)),
    **{f"calls of {package}": (calls(package), cases(60, full=1500)) for package in PACKAGES},
}
"""What is generated, and how many different ones."""

ROUNDS_MAX: Final = 200
BATCH: Final = 1000
"""Drawn in a round. About half of the configurations are drawn twice, the more the longer a round is."""

EVALUATED_MIN = 0.1
"""The part that must be data to both: a generator of refusals alone would prove little."""

KNOWN_MAX = 0.1
"""The part that may differ for a reason that is listed; literals, many of which are bad on purpose, come near it."""

UNDECIDED_MAX = 0.002
"""The part that the reference may give no answer to: it runs out of memory on some circles through closed structs."""


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("shape", SHAPES)
def test_both_engines_give_the_same_data_or_both_refuse(
    shape: str, cue_tools: Tools, reference: Reference, judged: Judged, request: pytest.FixtureRequest
) -> None:
    texts, wanted = SHAPES[shape]
    start = int(request.config.getoption("--hypothesis-seed") or 0)

    outcomes = _outcomes(texts, wanted, start, lambda text: compare({"x.cue": text}, reference))

    different = [f"{text}\n{each}" for text, each in outcomes.items() if each.verdict is Verdict.DIFFERENT]
    assert not different, "\n\n".join([f"{len(different)} of {len(outcomes)}:", *sorted(different, key=len)])
    counts = Counter(outcome.verdict for outcome in outcomes.values())
    assert counts.total() == wanted
    assert counts[Verdict.SAME] >= EVALUATED_MIN * wanted
    assert counts[Verdict.KNOWN] <= KNOWN_MAX * wanted
    assert counts[Verdict.UNDECIDED] <= UNDECIDED_MAX * wanted
    for verdict, count in counts.items():
        judged("cue", cue_tools.version, f"generated {verdict.value}", count)


def _outcomes(
    texts: SearchStrategy[str], wanted: int, start: int, outcome: Callable[[str], Outcome]
) -> dict[str, Outcome]:
    """So many different texts, drawn round by round, and what became of each."""
    outcomes: dict[str, Outcome] = {}
    for number in range(ROUNDS_MAX):

        @seed(f"{start}.{number}")
        @settings(
            max_examples=min(BATCH, 2 * wanted),
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(texts)
        def collect(text: str) -> None:
            if text not in outcomes and len(outcomes) < wanted:
                outcomes[text] = outcome(text)

        collect()
        if len(outcomes) == wanted:
            break
    return outcomes
