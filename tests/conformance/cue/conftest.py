"""The reference implementation of CUE, for the tests of this folder."""

from collections.abc import Iterator

import pytest
from tests.conformance.cue.reference import Reference, Tools, tools
from tests.go_tool import Unavailable
from tests.judge import Judged


@pytest.fixture(scope="session")
def tools_or_reason() -> Tools | Unavailable:
    """Asked for once: to find out that they cannot be built may take a minute."""
    try:
        return tools()
    except Unavailable as reason:
        return reason


@pytest.fixture
def cue_tools(tools_or_reason: Tools | Unavailable, judged: Judged) -> Tools:
    if isinstance(tools_or_reason, Unavailable):
        judged.absent("cue", str(tools_or_reason))
    return tools_or_reason


@pytest.fixture
def reference(cue_tools: Tools) -> Iterator[Reference]:
    process = Reference(cue_tools.driver)
    yield process
    process.close()
