"""Configurations that nobody wrote, through both engines."""

from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from tests.conformance.cue.compare import Verdict, compare
from tests.conformance.cue.generator import configurations
from tests.conformance.cue.reference import Reference, Tools
from tests.judge import Judged, cases

WANTED = cases(300, full=6000)
TRIED_MAX = 3 * WANTED
"""Drawn, of which some are drawn twice: those count once."""


@pytest.mark.timeout(1800)
def test_both_engines_give_the_same_data_or_both_refuse(cue_tools: Tools, reference: Reference, judged: Judged) -> None:
    verdicts: dict[str, Verdict] = {}

    # The usual run tries the same configurations everywhere; the full one others each time.
    @settings(
        max_examples=TRIED_MAX,
        deadline=None,
        database=None,
        derandomize=cases(1, full=0) == 1,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(configurations())
    def agree(text: str) -> None:
        if text in verdicts and verdicts[text] is not Verdict.DIFFERENT:
            return
        if sum(verdict is not Verdict.DIFFERENT for verdict in verdicts.values()) >= WANTED:
            return
        outcome = compare({"x.cue": text}, reference)
        verdicts[text] = outcome.verdict
        assert outcome.verdict is not Verdict.DIFFERENT, f"{text}\n{outcome}"

    agree()

    counts = Counter(verdicts.values())
    assert sum(counts.values()) >= WANTED
    assert counts[Verdict.SAME] >= WANTED // 10, "the generator makes too few configurations that evaluate"
    for verdict, count in counts.items():
        judged("cue", cue_tools.version, verdict.value, count)
