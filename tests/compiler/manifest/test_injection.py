"""No byte that a person wrote reaches a manifest, except names that passed their pattern.

Every text that a document can have (found by walking its type) is replaced by hostile ones. The document is refused,
or each string of its manifests is one of a closed set, and reads back as it was written by YAML 1.1 and by YAML 1.2.
"""

import json
import re
from typing import Any, ClassVar

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compiler.manifest.full_documents import (
    BRANCH,
    DOCUMENTS,
    NEVER_ACCEPTED,
    TAG,
    places_of_type,
    places_of_value,
    replaced,
    texts,
)

from forgec import pipeline
from forgec.diagnostic import ForgeError
from forgec.discovery.model import Discovery
from forgec.manifest.argo import to_builtins
from forgec.manifest.lower import ManifestOptions, lower_dynamic
from forgec.plan.digest import plan_digest

HOSTILE = (
    *("{{workflow.name}}", "{{=sprig.env('HOME')}}", "{{item}}", "}}{{", "{{", "a{{inputs.parameters.plan}}b"),
    *("'", '"', "\\", "it's \"both\"", "`id`", "$(id)", "a; b", "a b", " a", "a ", "", "-", "--", "---", "..."),
    *("a\nb", "a\r\nb", "\n", "\t", "a: b", "a #b", "# a", "- a", "? a", "& a", "*a", "!!python/object:os.system a"),
    *("no", "No", "y", "on", "off", "true", "null", "~", "=", "<<", "1e3", "0x10", "0o17", "017", "1_000", "190:20:30"),
    *("2026-11-24", "2026-11-24T10:00:00Z", ".inf", ".nan", "-1", "0", "[a]", "{a: b}", "|", ">", "%YAML 1.1", "@a"),
    *("\x00", "\x01", "\x07", "\x1b[31m", "\x7f", "\x85", "\xa0", "\u2028", "\ufeff", "\U000e0001"),
    *("\u202egnp.exe", "a\u200fb", "\u2066a\u2069", "a\u200bb", "\uff5b\uff5bitem\uff5d\uff5d", "\U0001f600"),
    *("a" * 64, "A-b", "a--b", "a-", "../..", "/etc/passwd", "CON"),
)  # fmt: skip

OPTIONS = ManifestOptions()
OWN = frozenset(texts(to_builtins(lower_dynamic(OPTIONS))))
"""What a manifest says that has seen no document."""

STRINGS = sorted({text for _, text in places_of_value(BRANCH)})
TAG_STRINGS = sorted({text for _, text in places_of_value(TAG)} - set(STRINGS))


class Yaml11(yaml.CSafeLoader):
    """YAML 1.1, as PyYAML reads it: `no` is false, `1e3` a text, `0o17` a text, `2026-11-24` a date."""


class Yaml12(yaml.CSafeLoader):
    """The core schema of YAML 1.2, as Go's and JavaScript's libraries read it."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}


for _tag, _pattern in (
    ("null", r"~|null|Null|NULL|"),
    ("bool", r"true|True|TRUE|false|False|FALSE"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"),
):
    Yaml12.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), None)


def test_the_documents_have_every_text_that_the_type_allows() -> None:
    covered = {place for document in DOCUMENTS for place, _ in places_of_value(document)}

    missing = {place for place in places_of_type() if place not in covered}
    assert {place[-1] for place in missing if "secrets" in place or "credentials" in place} >= NEVER_ACCEPTED
    assert [place for place in missing if not {"secrets", "credentials"} & set(place)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=["branch", "tag"])
def test_the_documents_are_accepted_as_they_are(document: Any) -> None:
    assert accepted(document) is not None


@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_hostile_text_in_any_place_reaches_a_manifest(hostile: str) -> None:
    for document, own in zip(DOCUMENTS, (STRINGS, TAG_STRINGS), strict=True):
        taken = [text for text in own if accepted(replaced(document, text, hostile)) is not None]
        everywhere = document
        for text in taken:
            everywhere = replaced(everywhere, text, hostile)
        # Two texts that must differ cannot both be replaced; then each place is looked at by itself.
        apart = [] if accepted(everywhere) is not None else [replaced(document, text, hostile) for text in taken]
        for changed in apart or [everywhere]:
            prove(changed)


def test_texts_without_a_pattern_are_accepted_whatever_they_are() -> None:
    for free in ("text of a phase", "branch-of-reason", "hash-of-configuration", "text of a warning"):
        assert accepted(replaced(BRANCH, free, "{{workflow.name}}")) is not None, free


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(DOCUMENTS),
    st.dictionaries(st.sampled_from(STRINGS + TAG_STRINGS), st.text(max_size=30), max_size=4),
)
def test_no_text_at_all_in_any_places_reaches_a_manifest(document: Any, changes: dict[str, str]) -> None:
    for old, new in changes.items():
        document = replaced(document, old, new)

    prove(document)


def prove(document: Any) -> None:
    found = accepted(document)
    if found is None:
        return
    for granularity in ("shard", "step"):
        plan = pipeline.plan(found, shard_size=25, granularity=granularity)
        workflow = pipeline.lower(plan, OPTIONS, dynamic=False)
        typed, manifest = to_builtins(workflow), pipeline.emit(workflow)
        foreign = [text for text in texts(typed) if text not in OWN and not is_made(text, found, plan_digest(plan))]
        assert foreign == []
        assert manifest.isascii()
        assert yaml.load(manifest, Yaml11) == typed
        assert yaml.load(manifest, Yaml12) == typed


def is_made(text: str, found: Discovery, digest: str) -> bool:
    """The plan's digest and what is computed from it, or a list of units, whose ids hold names of phases."""
    if text in (digest, digest[len("sha256:") :][:12], "forge.io/plan"):
        return True
    if re.fullmatch(r"(forge-)?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text):
        return True
    phases = "|".join(map(re.escape, found.repository.phases)) or "(?!)"
    unit = re.compile(rf"g[0-9]{{2}}-({phases})-s[0-9]{{3}}(-[0-9]{{2}})?|release-s[0-9]{{3}}")
    return all(map(unit.fullmatch, json.loads(text))) and all(map(is_phase_name, found.repository.phases))


def is_phase_name(text: str) -> bool:
    return re.fullmatch(r"[a-z][a-z0-9-]{0,62}", text) is not None


def accepted(document: Any) -> Discovery | None:
    """The document as the compiler reads it; None if it is refused."""
    data = json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass")
    try:
        return pipeline.read("discovery.json", data)
    except ForgeError:
        return None
