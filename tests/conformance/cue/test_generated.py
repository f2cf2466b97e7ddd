"""Configurations that nobody wrote, through both engines.

Every run tries the same ones, the full one (`make conformance`) many more: what is green on one machine is green
on all. `make conformance SEED=7` tries others.
"""

from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy
from tests.conformance.cue.call_generator import calls
from tests.conformance.cue.compare import Outcome, Verdict, compare
from tests.conformance.cue.generator import configurations
from tests.conformance.cue.literal_generator import literals
from tests.conformance.cue.reference import Reference, Tools
from tests.judge import Judged, cases

from forgec.syntax.standard.packages import PACKAGES

SHAPES: dict[str, tuple[SearchStrategy[str], int]] = {
    "configurations": (configurations(), cases(500, full=12_000)),
    "literals": (literals(), cases(150, full=2500)),
    **{f"calls of {package}": (calls(package), cases(75, full=2000)) for package in PACKAGES},
}
"""What is generated, and how many are drawn. About half of the configurations are drawn twice, and counted once."""

DISTINCT_MIN = 0.4
EVALUATED_MIN = 0.1
"""The part that must be data to both: a generator of refusals alone would prove little."""

KNOWN_MAX = 0.1
"""The part that may differ for a reason that is listed; literals, many of which are bad on purpose, come near it."""


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("shape", SHAPES)
def test_both_engines_give_the_same_data_or_both_refuse(
    shape: str, cue_tools: Tools, reference: Reference, judged: Judged, request: pytest.FixtureRequest
) -> None:
    texts, drawn = SHAPES[shape]
    outcomes: dict[str, Outcome] = {}

    @settings(
        max_examples=drawn,
        deadline=None,
        database=None,
        derandomize=request.config.getoption("--hypothesis-seed") is None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(texts)
    def agree(text: str) -> None:
        if text not in outcomes:
            outcomes[text] = compare({"x.cue": text}, reference)
        assert outcomes[text].verdict is not Verdict.DIFFERENT, f"{text}\n{outcomes[text]}"

    agree()

    counts = Counter(outcome.verdict for outcome in outcomes.values())
    assert counts.total() >= DISTINCT_MIN * drawn
    assert counts[Verdict.SAME] >= EVALUATED_MIN * counts.total()
    assert counts[Verdict.KNOWN] + counts[Verdict.ORDER] <= KNOWN_MAX * counts.total()
    for verdict, count in counts.items():
        judged("cue", cue_tools.version, f"generated {verdict.value}", count)
