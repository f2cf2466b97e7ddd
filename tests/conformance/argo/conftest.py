"""Argo's own word, for the tests of this folder."""

from collections.abc import Callable, Mapping, Sequence

import pytest
from tests.conformance.argo.validator import judge, validator, version
from tests.go_tool import Unavailable
from tests.judge import Judged

Ask = Callable[[str, Mapping[str, str]], dict[str, Sequence[str]]]
"""What the manifests are, and the manifests by name: Argo's errors by name."""


@pytest.fixture
def ask(judged: Judged) -> Ask:
    try:
        validator()
    except Unavailable as reason:
        judged.absent("argo", str(reason))

    def asked(what: str, manifests: Mapping[str, str]) -> dict[str, Sequence[str]]:
        answers = judge(manifests)
        judged("argo", version(), what, len(answers))
        return answers

    return asked
