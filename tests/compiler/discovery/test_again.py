"""Discovery again and again in one process, as a worker does: what is kept of the last one changes no finding."""

from collections.abc import Iterator, Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forgec.diagnostic import Diagnostic, ForgeError
from forgec.discovery import discover as stage
from forgec.discovery.discover import FoundProject, survey
from forgec.discovery.target import TargetCheck, TargetUse
from forgec.discovery.tree import MemoryTree
from forgec.memo import Memo

REPO = 'package repo\nforgeVersion: "v1.0.0"\ntagging: strategy: "monorepo"\nphases: test: group: 1\n'
EARTHFILE = "VERSION 0.8\nFROM alpine\nt:\n  RUN true\n"


def project(name: str, *lines: str, phase: str = "test", step: str = '{action: "earthly", target: "+t"}') -> str:
    return "\n".join((f'package project\nname: "{name}"\nci: phases: {phase}: s: {step}', *lines, ""))


def repository(**files: str) -> dict[str, str]:
    """Two projects without a fault, `a` and `b`; and what else is given, `a_Earthfile` for `a/Earthfile`."""
    paths = {
        ".forge/repo.cue": REPO,
        **{f"{name}/.forge/project.cue": project(name) for name in "ab"},
        **{f"{name}/Earthfile": EARTHFILE for name in "ab"},
    }
    return paths | {name.replace("_", "/"): text for name, text in files.items()}


def findings(files: Mapping[str, str]) -> Sequence[Diagnostic]:
    try:
        return survey(MemoryTree({path: text.encode() for path, text in files.items()})).findings
    except ForgeError as error:
        return error.diagnostics


def whole(files: Mapping[str, str]) -> list[tuple[object, ...]]:
    """All that is said, and in which order."""
    return [
        (
            *(each.project, each.code, each.severity, each.message, str(each.span), each.help),
            [(related.message, str(related.span)) for related in each.related],
        )
        for each in findings(files)
    ]


def told(files: Mapping[str, str]) -> list[tuple[str | None, str, str]]:
    return [(each.project, each.code.name, str(each.span)) for each in findings(files)]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (
            {"a/Earthfile": EARTHFILE.replace("t:", "u:")},
            [("a", "TARGET_MISSING", "a/.forge/project.cue:3:50")],
        ),
        (
            {"a/Earthfile": f"{EARTHFILE}  BUILD +gone\n"},
            [("a", "REFERENCE_MISSING", "a/Earthfile:5:9")],
        ),
        (
            {".forge/repo.cue": REPO.replace("test", "build")},
            [(name, "UNKNOWN_PHASE", f"{name}/.forge/project.cue:3:13") for name in "ab"],
        ),
        (
            {"a/.forge/project.cue": project("a", step='{action: "earthly", target: "+gone"}')},
            [("a", "TARGET_MISSING", "a/.forge/project.cue:3:50")],
        ),
        (
            {"a/.forge/project.cue": project("a", step='{action: "earthly", target: "+t", args: ["--x=1"]}')},
            [("a", "ARG_UNDECLARED", "a/.forge/project.cue:3:63")],
        ),
    ],
    ids=["target", "call", "phase", "step", "argument"],
)
def test_a_mistake_is_found_where_there_was_none_before(
    changed: dict[str, str], expected: list[tuple[str, str, str]]
) -> None:
    assert told(repository()) == []

    for _ in range(2):
        assert told(repository() | changed) == expected
    assert told(repository()) == []


def test_a_mistake_in_what_another_directory_calls_is_found_when_that_one_changes() -> None:
    calling = repository(a_Earthfile=f"{EARTHFILE}  BUILD ../b+t\n")
    assert told(calling) == []

    renamed = calling | {
        "b/Earthfile": EARTHFILE.replace("t:", "u:"),
        "b/.forge/project.cue": project("b", step='{action: "earthly", target: "+u"}'),
    }
    assert told(renamed) == [("a", "REFERENCE_MISSING", "a/Earthfile:5:9")]


def test_a_mistake_that_was_told_to_another_project_is_told_to_its_own_when_that_one_calls_no_more() -> None:
    wrong = f"{EARTHFILE}  BUILD +gone\n"
    calling = repository(a_Earthfile=f"{EARTHFILE}  BUILD ../b+t\n", b_Earthfile=wrong)
    assert told(calling) == [("a", "REFERENCE_MISSING", "b/Earthfile:5:9")]

    assert told(repository(b_Earthfile=wrong)) == [("b", "REFERENCE_MISSING", "b/Earthfile:5:9")]


def test_a_project_without_a_fault_is_not_walked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "_FAULTLESS", Memo())
    walked: list[str] = []
    uses = stage._uses

    def counted(found: FoundProject) -> Iterator[TargetUse]:
        walked.append(found.path)
        return uses(found)

    monkeypatch.setattr(stage, "_uses", counted)
    findings(repository())
    assert walked == ["a", "b"]
    walked.clear()

    assert told(repository(b_Earthfile=EARTHFILE.replace("true", "false"))) == []

    assert walked == ["b"]


COMMANDS = st.sampled_from(
    [
        *("BUILD +u", "BUILD +t", "BUILD +gone", "FROM +u", "COPY +u/x .", "DO +F", "DO +F --x=1", "BUILD +u --x=1"),
        *("BUILD ../b+t", "BUILD ../a+u", "BUILD ../c+t", "DO ../a+F", "BUILD ./c+t", "COPY ../b+u/x .", "FROM ../b+t"),
        *(
            "BUILD +$x",
            "BUILD ../*+t",
            "BUILD github.com/o/r+t",
            "ARG x",
            "ARG --required x",
            "ARG --required y",
            "RUN x",
        ),
        *("BUILD --pass-args +u", "BUILD --pass-args ../b+u", "BUILD +u --y=", "IMPORT ../b AS lib", "BUILD lib+u"),
    ]
)
RECIPES = st.lists(COMMANDS, max_size=3).map(lambda commands: "".join(f"  {each}\n" for each in commands))
EARTHFILES = st.builds(
    lambda base, t, u, f: f"VERSION 0.8\n{base.replace('  ', '')}t:\n{t}u:\n{u}F:\n  FUNCTION\n{f}",
    st.sampled_from(["", "  ARG x\n", "  FROM +u\n", "  IMPORT ../b AS lib\n"]),
    *(RECIPES, RECIPES, RECIPES),
)
STEPS = st.sampled_from(
    [
        f'{{action: "earthly", target: "{target}"{args}}}'
        for target in ("+t", "+u")
        for args in ("", ', args: ["--x=1"]')
    ]
)


@given(
    st.dictionaries(st.sampled_from(["a", "b", "c", "b/c"]), st.one_of(st.just(EARTHFILE), EARTHFILES), min_size=2),
    st.lists(STEPS, min_size=4, max_size=4),
)
@settings(deadline=None, max_examples=400)
def test_findings_are_those_of_a_walk_through_all_targets(earthfiles: dict[str, str], steps: list[str]) -> None:
    """Whatever is called from where: with what is kept of all examples before, and with nothing kept and all walked."""
    files = {".forge/repo.cue": REPO} | {f"{name}/Earthfile": text for name, text in earthfiles.items()}
    for name, step in zip(("a", "b", "c", "b/c"), steps, strict=True):
        files[f"{name}/.forge/project.cue"] = project(name.replace("/", "-"), step=step)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TargetCheck, "is_faultless", lambda *_: False)
        patch.setattr(stage, "_FAULTLESS", Memo())
        expected = whole(files)

    assert whole(files) == expected
    assert whole(files) == expected
