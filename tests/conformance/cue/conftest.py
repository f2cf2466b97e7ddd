"""The reference implementation of CUE, for the tests of this folder."""

from collections.abc import Iterator

import pytest
from tests.conformance.cue.reference import Reference, Tools, Unavailable, tools
from tests.judge import Judged


@pytest.fixture
def cue_tools(judged: Judged) -> Tools:
    try:
        return tools()
    except Unavailable as reason:
        judged.absent("cue", str(reason))


@pytest.fixture
def reference(cue_tools: Tools) -> Iterator[Reference]:
    process = Reference(cue_tools.driver)
    yield process
    process.close()
