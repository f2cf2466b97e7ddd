"""The Earthfile check: what golden cases cannot hold, such as links, sizes and what is not reported."""

import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forgec.adapter.git import open_tree
from forgec.diagnostic import Code, Diagnostic, Severity
from forgec.discovery.earthfiles import Earthfiles
from forgec.discovery.files import ForgeFiles
from forgec.discovery.target import WARNINGS_MAX, TargetCheck, TargetUse
from forgec.discovery.tree import MemoryTree, Tree
from forgec.source import Source
from forgec.syntax.document import parse_json


def tree(**earthfiles: str) -> MemoryTree:
    """Earthfiles by directory; their VERSION is 0.8 unless they say another."""
    return MemoryTree(
        {
            f"{directory}/Earthfile": (text if text.startswith("VERSION") else f"VERSION 0.8\n{text}").encode()
            for directory, text in earthfiles.items()
        }
    )


def use(target: str, *args: str) -> TargetUse:
    return TargetUse(target=target, args=args, node=parse_json(Source("project.cue", f'{{"target": "{target}"}}')))


def checked(source: Tree, *uses: TargetUse, directory: str = "a") -> list[Diagnostic]:
    return list(TargetCheck(Earthfiles(ForgeFiles(source))).check(directory, uses or (use("+t"),)))


def said(findings: Sequence[Diagnostic]) -> list[tuple[str, str]]:
    return [(finding.code.name, finding.severity.value) for finding in findings]


@pytest.mark.parametrize(
    "earthfile",
    [
        "t:\n  FROM +base\n",
        "t:\n  FROM ./+u\nu:\n  FROM x\n",
        "IMPORT ../b AS lib\nt:\n  FROM lib+t\n  COPY --if-exists (lib+t/x --N=1) .\n",
        "t:\n  IMPORT ../b\n  BUILD b+t\n  DO b+F --N=1\n",
        "t:\n  COPY g++ c++/x +file ./\n  FROM image:1\n",
        "t:\n  RUN echo +nothing\n  SAVE ARTIFACT +x\n",
        'FROM x\nt:\n  BUILD "+u"\nu:\n  DO +F\nF:\n  FUNCTION\n  RUN x\n',
        "t:\n  BUILD +u --A=1 --A=2\nu:\n  ARG A\n",
        "t:\n  BUILD +u --A 1\nu:\n  ARG A\n",
        "t:\n  ARG --required EARTHLY_GIT_HASH\n  ARG TARGETPLATFORM\n",
    ],
)
def test_what_a_build_tool_accepts_is_not_complained_about(earthfile: str) -> None:
    other = "t:\n  ARG N\n  FROM x\nF:\n  FUNCTION\n  ARG --required N\n"

    assert [finding.message for finding in checked(tree(a=earthfile, b=other))] == []


@pytest.mark.parametrize(
    ("earthfile", "expected"),
    [
        ("t:\n  FROM +u\nu:\n  ARG N\n", []),
        ("t:\n  IF x\n    FROM +u\n  END\nu:\n  FOR i IN 1\n    ARG N\n  END\n", []),
        ("ARG N\nt:\n  RUN x\n", []),
        ("t:\n  BUILD ../b+t\n", ["ARG_UNDECLARED"]),
        ("t:\n  BUILD --pass-args ../b+t\n", []),
        ("t:\n  BUILD --pass-args=false ../b+t\n", ["ARG_UNDECLARED"]),
        ("t:\n  DO ../b+F\n", ["ARG_UNDECLARED"]),
        ("t:\n  DO --pass-args ../b+F\n", []),
        ("t:\n  DO +F\nF:\n  FUNCTION\n  ARG N\n", ["ARG_UNDECLARED"]),
        ("t:\n  DO --pass-args +F\nF:\n  FUNCTION\n  ARG N\n", []),
        ("t:\n  DO --pass-args +F\nF:\n  FUNCTION\n  BUILD +u\nu:\n  ARG N\n", []),
        ("ARG --global N=1\nt:\n  DO +F\nF:\n  FUNCTION\n  RUN x\n", []),
        ("t:\n  DO ../c+F\n", []),
        ("t:\n  BUILD +$x\n", ["TARGET_DYNAMIC"]),
        ("t:\n  BUILD ./$x+t\n", ["TARGET_DYNAMIC", "ARG_UNDECLARED"]),
        ("t:\n  BUILD --pass-args github.com/o/r+t\n", ["TARGET_REMOTE"]),
    ],
)
def test_an_argument_counts_as_declared_wherever_it_is_given_on_to(earthfile: str, expected: list[str]) -> None:
    source = tree(
        a=earthfile,
        b="t:\n  ARG N\nF:\n  FUNCTION\n  ARG N\n",
        c="ARG --global N=1\nF:\n  FUNCTION\n  RUN x\n",
    )

    found = checked(source, use("+t", "--ci", "--N=1"))

    assert [finding.code.name for finding in found] == expected


@pytest.mark.parametrize(
    ("earthfile", "expected"),
    [
        ("t:\n  ARG --required N\n", [("ARG_REQUIRED", "error")]),
        ("VERSION 0.7\nt:\n  ARG --required N\n", [("ARG_REQUIRED", "warning")]),
        ("VERSION 0.7\nARG N=1\nt:\n  ARG --required N\n", []),
        ("t:\n  TRY\n    ARG --required N\n  FINALLY\n    RUN x\n  END\n", [("ARG_REQUIRED", "error")]),
        ("t:\n  IF x\n    ARG --required N\n  END\n", []),
        ("t:\n  FOR x IN y\n    BUILD +u\n  END\nu:\n  ARG --required N\n", []),
        ("t:\n  BUILD +u --N=1\nu:\n  ARG --required N\n", []),
        ("t:\n  BUILD +u $ARGS\nu:\n  ARG --required N\n", []),
        ("t:\n  BUILD --build-arg N=1 +u\nu:\n  ARG --required N\n", []),
        ("t:\n  ARG N=1\n  BUILD --pass-args ../b+t\n", []),
        ("t:\n  BUILD ../b+t\n", [("ARG_REQUIRED", "error")]),
        ("ARG --required N\nt:\n  RUN x\n", [("ARG_REQUIRED", "error")]),
        ("t:\n  DO ../b+F\n", [("ARG_REQUIRED", "error")]),
        ("t:\n  DO +F\nF:\n  FUNCTION\n  ARG --required N\n", [("ARG_REQUIRED", "error")]),
        ("t:\n  DO +F --N=1\nF:\n  FUNCTION\n  ARG --required N\n", []),
        ("t:\n  ARG N=1\n  DO --pass-args +F\nF:\n  FUNCTION\n  ARG --required N\n", []),
    ],
)
def test_a_required_argument_is_missed_where_the_call_is_certain(
    earthfile: str, expected: list[tuple[str, str]]
) -> None:
    source = tree(a=earthfile, b="t:\n  ARG --required N\nF:\n  FUNCTION\n  ARG --required N\n")

    assert said(checked(source)) == expected


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("../link+t", "link is a symbolic link; discovery follows none"),
        ("../module/x+t", "module is a submodule: its files belong to another repository"),
        ("../ignored+t", "a .gitignore of the repository excludes ignored"),
        ("../../x+t", "../x/Earthfile lies outside of the repository"),
        ("/x+t", "/x/Earthfile lies outside of the repository"),
        ("../linked+t", "linked/Earthfile is a symbolic link; discovery follows none"),
    ],
)
def test_what_may_be_there_when_it_runs_is_a_warning(tmp_path: Path, reference: str, reason: str) -> None:
    for directory in ("a", "module", "ignored", "linked"):
        (tmp_path / directory).mkdir()
    (tmp_path / "a" / "Earthfile").write_text(f"VERSION 0.8\nt:\n  FROM {reference}\n")
    (tmp_path / "module" / ".git").write_text("gitdir: elsewhere\n")
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "linked" / "Earthfile").symlink_to("../a/Earthfile")
    (tmp_path / ".gitignore").write_text("/ignored/\n")
    (tmp_path / "ignored" / "Earthfile").write_text("VERSION 0.8\nt:\n")

    (found,) = checked(open_tree(tmp_path)[0])

    assert (found.code, found.severity) == (Code.TARGET_DYNAMIC, Severity.WARNING)
    assert found.message == f'"{reference}" cannot be checked before it runs: {reason}'


def test_a_path_through_a_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "Earthfile").write_text("VERSION 0.8\nt:\n  FROM ./Earthfile+t\n")

    (found,) = checked(open_tree(tmp_path)[0])

    assert "a/Earthfile is a file, not a directory" in found.message


def test_the_older_name_of_an_earthfile_is_read_too() -> None:
    source = MemoryTree({"a/build.earth": b"VERSION 0.6\nt:\n  FROM +gone\n"})

    assert said(checked(source)) == [("REFERENCE_MISSING", "error")]


class Counted(MemoryTree):
    """Counts how often each file is read."""

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(files)
        self.reads: list[str] = []

    def read(self, path: str) -> bytes:
        self.reads.append(path)
        return super().read(path)


def test_every_earthfile_is_read_once_and_said_once_for_all_projects() -> None:
    source = Counted(
        {
            "a/Earthfile": b"VERSION 0.8\nt:\n  FROM ../c+t\n",
            "b/Earthfile": b"VERSION 0.8\nt:\n  FROM ../c+t\n",
            "c/Earthfile": b"VERSION 0.8\nt:\n  FROM +gone\n",
        }
    )
    check = TargetCheck(Earthfiles(ForgeFiles(source)))

    found = [*check.check("a", [use("+t"), use("+t")]), *check.check("b", [use("+t")])]

    assert said(found) == [("REFERENCE_MISSING", "error")]
    assert sorted(source.reads) == ["a/Earthfile", "b/Earthfile", "c/Earthfile"]


def test_warnings_are_told_up_to_a_number() -> None:
    commands = "".join(f"  BUILD +$v{number}\n" for number in range(300))

    found = checked(tree(a=f"t:\n{commands}  BUILD +gone\n"))

    assert [finding.severity for finding in found].count(Severity.WARNING) == WARNINGS_MAX
    assert found[WARNINGS_MAX - 1].message.endswith("(further warnings of Earthfiles are left out)")
    assert found[-1].code is Code.REFERENCE_MISSING


@pytest.mark.parametrize("command", ["FROM +u/file", "BUILD ../b+u/file", "WITH DOCKER --load x=+u/file", "DO +F/x"])
def test_only_copies_take_artifacts(command: str) -> None:
    body = f"  {command}\n" + ("    RUN x\n  END\n" if command.startswith("WITH") else "")

    (found,) = checked(tree(a=f"t:\n{body}u:\nF:\n  FUNCTION\n", b="u:\n"))

    assert found.code is Code.REFERENCE_MISSING
    assert "is not the name of a" in found.message


def test_a_long_way_is_shown_by_its_ends() -> None:
    names = [f"t{index}" for index in range(20)]
    chain = "".join(f"{name}:\n  FROM +{after}\n" for name, after in zip(names, [*names[1:], "gone"], strict=True))

    (found,) = checked(tree(a=chain), use("+t0"))

    assert [related.message for related in found.related] == [
        "a+t18 leads to a+t19",
        "a+t17 leads to a+t18",
        "a+t16 leads to a+t17",
        "a+t2 leads to a+t3",
        "a+t1 leads to a+t2",
        "a+t0 leads to a+t1",
        "a+t0 is asked for here",
    ]


@pytest.mark.parametrize(
    "pattern",
    [
        "t{0}:\n  FROM +t{1}\n",
        "t{0}:\n  FROM +t{1}\n  BUILD +gone{0}\n",
        "t{0}:\n  ARG --required A{0}\n  BUILD +t{1}\n",
        "t{0}:\n  BUILD +t{1} --A{0}=1\n",
        "t{0}:\n  IF x\n    BUILD +t{1} --A{0}=1\n  END\n",
    ],
)
def test_time_is_linear_in_the_size_of_what_is_reached(pattern: str) -> None:
    count = 3_000
    chain = "".join(pattern.format(index, index + 1) for index in range(count)) + f"t{count}:\n"
    source = tree(a=chain)
    began = time.monotonic()

    checked(source, use("+t0"))

    assert time.monotonic() - began < 30, "quadratic time would be minutes"


_COMMANDS = st.sampled_from(
    [
        *("FROM +a", "BUILD +b", "COPY ../y+a/f .", "DO +F", "DO ../y+F --N=1", "BUILD --pass-args ../x+b", "FROM i+a"),
        *("ARG --required N", "ARG N=1", "IMPORT ../y AS i", "BUILD +$N", "BUILD ../*+a", "BUILD +a --N=1 --M=2 $X"),
        *("IF x", "FOR N IN a b", "WITH DOCKER --load=+b", "TRY", "FINALLY", "END", "FUNCTION", "RUN x", "FROM +base"),
        *("FROM DOCKERFILE -f +a/D .", "BUILD ./z+a", "BUILD ../z+a", "BUILD q", "BUILD +F", "DO +a", "COMMAND"),
    ]
)
_RECIPES = st.lists(st.tuples(st.sampled_from(["a:", "b:", "F:", "G:"]), st.lists(_COMMANDS, max_size=5)), max_size=4)


@given(_RECIPES, _RECIPES)
def test_any_earthfiles_end_in_findings(
    first: list[tuple[str, list[str]]], second: list[tuple[str, list[str]]]
) -> None:
    source = tree(
        x="".join(f"{header}\n" + "".join(f"  {command}\n" for command in body) for header, body in first),
        y="".join(f"{header}\n" + "".join(f"  {command}\n" for command in body) for header, body in second),
    )

    found = checked(source, use("+a", "--N=1"), use("+b"), use("+base"), directory="x")

    assert all(finding.span is not None and finding.message for finding in found)
