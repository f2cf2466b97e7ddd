"""Discovery of whole trees."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.git_repository import commit_all, new_repository

from forgec.adapter.git import open_tree
from forgec.diagnostic import Code, ForgeError, fail
from forgec.discovery.check import read_document
from forgec.discovery.discover import discover
from forgec.discovery.evaluate import evaluate_builtin
from forgec.discovery.model import Discovery, PhaseGroup, to_json
from forgec.discovery.tree import EntryKind, MemoryTree, TreeEntry
from forgec.discovery.trigger import Trigger
from forgec.source import Source
from forgec.syntax.cue_lexer import lex_cue
from forgec.syntax.data import StructNode
from forgec.syntax.token import Token

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "monorepo"
PUSH = Trigger(commit_sha="a" * 40, ref="refs/heads/main", branch="main", trigger_type="push")

REPO = """package repo
forgeVersion: "v1.0.0"
tagging: strategy: "monorepo"
phases: {
	test: group: 2
	lint: group: 1
	unit: {group: 2, timeout: "5m", description: "small ones"}
}
"""


def project(name: str, more: str = "") -> str:
    return f'package project\nname: "{name}"\n{more}\n'


def step(phase: str, name: str, more: str = "") -> str:
    return f'ci: phases: {phase}: {name}: {{action: "earthly", target: "+{name}"{more}}}\n'


def tree(files: dict[str, str]) -> MemoryTree:
    return MemoryTree({path: text.encode() for path, text in ({".forge/repo.cue": REPO} | files).items()})


def found(files: dict[str, str]) -> Discovery:
    return discover(tree(files), PUSH)


def codes(files: dict[str, str]) -> list[Code]:
    with pytest.raises(ForgeError) as caught:
        found(files)
    return [diagnostic.code for diagnostic in caught.value.diagnostics]


def test_sample_monorepo_is_discovered_and_reads_back() -> None:
    source, _ = open_tree(EXAMPLE)

    document = discover(source, PUSH)

    assert len(document.projects) >= 6
    assert document.warnings == ()
    assert read_document(Source("discovery.json", to_json(document).decode())) == document


def test_commit_and_working_directory_give_the_same_document(tmp_path: Path) -> None:
    root = new_repository(tmp_path / "repository")
    for path, text in {
        ".forge/repo.cue": REPO,
        "api/.forge/project.cue": project("api", step("test", "unit")),
        "api/.forge/notes.txt": "ignored, but part of the hash",
        "api/Earthfile": "VERSION 0.8\nunit:\n    RUN true\n",
        ".gitignore": "/built/\n",
        "built/.forge/project.cue": project("built"),
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    commit = commit_all(root)
    working, _ = open_tree(root)
    committed, _ = open_tree(root, commit)

    document = discover(working, PUSH)

    assert [found.name for found in document.projects] == ["api"]
    assert to_json(document) == to_json(discover(committed, PUSH))


def test_ignored_paths_hold_no_projects_even_if_git_tracks_them() -> None:
    document = found(
        {
            ".gitignore": "built/\n!built/kept\n",
            "built/kept/.forge/project.cue": project("kept"),
            "web/.gitignore": ".forge\n",
            "web/.forge/project.cue": project("web"),
            "api/.forge/project.cue": project("api"),
        }
    )

    assert [found.path for found in document.projects] == ["api"]


def test_repository_without_projects_is_fine() -> None:
    document = found({"src/main.py": ""})

    assert document.projects == ()
    assert document.release_enabled is False


def test_root_may_be_a_project_and_projects_may_lie_in_projects() -> None:
    document = found(
        {
            ".forge/project.cue": project("root"),
            "a/.forge/project.cue": project("a"),
            "a/deep/b/.forge/project.cue": project("b"),
        }
    )

    assert [(found.name, found.path) for found in document.projects] == [("root", "."), ("a", "a"), ("b", "a/deep/b")]


def test_groups_steps_and_defaults_are_filled_in_and_sorted() -> None:
    text = step("test", "b", ", priority: 1") + step("test", "c") + step("test", "a") + "ci: phases: lint: {}"
    earthfile = "VERSION 0.8\na:\n    RUN true\nb:\n    RUN true\nc:\n    RUN true\n"

    document = found({"api/.forge/project.cue": project("api", text), "api/Earthfile": earthfile})

    assert document.phase_groups == (
        PhaseGroup(group=1, phases=("lint",)),
        PhaseGroup(group=2, phases=("test", "unit")),
    )
    assert document.repository.phases["test"].timeout == "30m"
    assert [each.name for each in document.projects[0].phases["test"]] == ["b", "a", "c"]
    assert list(document.projects[0].phases) == ["test"]


def test_release_and_deployment_follow_the_trigger() -> None:
    resources = 'deployment: resources: [{apiVersion: "v1", kind: "ConfigMap", metadata: name: "x"}]'
    files = {
        "b/.forge/project.cue": project("b", f'release: on: [{{branch: "main"}}]\n{resources}'),
        "c/.forge/project.cue": project("A", 'release: on: [{branch: "ma.*"}]'),
        "d/.forge/project.cue": project("d", resources),
    }

    document = found(files)

    assert document.release_enabled
    assert document.release_projects == ("A", "b")
    assert [(each.release_triggered, each.deployment_triggered) for each in document.projects] == [
        (True, True),
        (True, False),
        (False, False),
    ]


def test_first_publisher_that_the_configuration_gives_is_primary_where_none_says_so() -> None:
    publisher = '{type: "docker", registry: "r", namespace: "n"}'
    repo = f"{REPO}publishers: {{b: {publisher}, a: {publisher}}}\n"
    artifacts = """artifacts: {
	left: {type: "container", producer: earthly: target: "+image", publishers: {b: {}, a: {tags: ["x"]}}}
	said: {type: "container", producer: earthly: target: "+image", publishers: {b: {}, a: primary: true}}
	bare: {type: "container", producer: earthly: target: "+image"}
}
"""

    document = found(
        {
            ".forge/repo.cue": repo,
            "web/.forge/project.cue": project("web", artifacts),
            "web/Earthfile": "VERSION 0.8\nimage:\n    FROM scratch\n",
        }
    )

    publishers = {name: artifact.publishers for name, artifact in document.projects[0].artifacts.items()}
    assert publishers == {
        "left": {"b": {"primary": True}, "a": {"tags": ["x"]}},
        "said": {"b": {}, "a": {"primary": True}},
        "bare": {},
    }


def test_config_hash_changes_with_what_the_configuration_is_made_of() -> None:
    files = {"a/.forge/project.cue": project("a"), "b/.forge/project.cue": project("b")}
    before = found(files)

    changed = found(files | {"b/.forge/project.cue": project("b", "// a comment")})
    other_repo = found(files | {".forge/repo.cue": REPO + "// a comment\n"})

    assert [old.config_hash == new.config_hash for old, new in zip(before.projects, changed.projects, strict=True)] == [
        True,
        False,
    ]
    assert all(
        old.config_hash != new.config_hash for old, new in zip(before.projects, other_repo.projects, strict=True)
    )


def test_earthfile_of_a_newer_language_is_a_warning() -> None:
    document = found(
        {"api/.forge/project.cue": project("api", step("test", "unit")), "api/Earthfile": "VERSION 0.9\nunit\n"}
    )

    assert [(warning.code, warning.project, warning.file) for warning in document.warnings] == [
        (Code.TARGET_DYNAMIC.id, "api", "api/Earthfile")
    ]


def test_newer_minor_version_is_a_warning() -> None:
    document = found({".forge/repo.cue": REPO.replace("v1.0.0", "v1.7.0")})

    assert [warning.code for warning in document.warnings] == [Code.VERSION_NEWER.id]


def test_arguments_may_be_declared_above_the_targets_or_passed_on() -> None:
    earthfile = """VERSION 0.8
ARG --global BASE=1
a:
    ARG OWN
    RUN true
b:
    BUILD --pass-args +a
"""
    text = step("test", "a", ', args: ["--OWN=1", "--BASE=2"]') + step("test", "b", ', args: ["--OWN=1"]')

    document = found({"api/.forge/project.cue": project("api", text), "api/Earthfile": earthfile})

    assert document.warnings == ()


def test_more_than_a_hundred_projects_are_refused() -> None:
    files = {f"p{number:03}/.forge/project.cue": project(f"p{number}") for number in range(101)}

    assert codes(files) == [Code.TOO_MANY_PROJECTS]
    del files["p050/.forge/project.cue"]
    assert len(found(files).projects) == 100


def test_document_above_one_megabyte_is_refused() -> None:
    args = ", ".join(f'"--A={"x" * 4000}"' for _ in range(30))
    files = {
        f"p{number}/.forge/project.cue": project(f"p{number}", step("test", "a", f", args: [{args}]"))
        for number in range(10)
    }
    files |= {f"p{number}/Earthfile": "VERSION 0.8\na:\n    ARG A\n    RUN true\n" for number in range(10)}

    assert codes(files) == [Code.OUTPUT_TOO_LARGE]


def test_file_above_one_megabyte_is_not_read() -> None:
    files = {
        "a/.forge/project.cue": project("a", "//" + "x" * 1024 * 1024),
        "b/.forge/project.cue": "package project\n",
    }

    assert codes(files) == [Code.TOO_DEEP, Code.MISSING_FIELD]


class Linked(MemoryTree):
    """A tree in which one path is a symbolic link."""

    def __init__(self, files: dict[str, str], link: str) -> None:
        super().__init__({path: text.encode() for path, text in files.items()})
        self._link = link

    def list(self) -> list[TreeEntry]:
        link = TreeEntry(path=self._link, kind=EntryKind.SYMLINK, object_id="1" * 40)
        return sorted([*super().list(), link], key=lambda entry: entry.path)


def test_linked_project_is_not_followed() -> None:
    document = discover(Linked({".forge/repo.cue": REPO}, "web/.forge"), PUSH)

    assert document.projects == ()


def test_linked_repository_configuration_is_missing_and_says_why() -> None:
    with pytest.raises(ForgeError) as caught:
        discover(Linked({}, ".forge/repo.cue"), PUSH)

    assert caught.value.diagnostics[0].code is Code.REPO_CONFIG_MISSING
    assert "symbolic link" in (caught.value.diagnostics[0].help or "")


def test_project_path_must_be_printable_text() -> None:
    files = {"caf\udce9/.forge/project.cue": project("a"), "new\nline/.forge/project.cue": project("b")}

    assert codes(files) == [Code.BAD_VALUE, Code.BAD_VALUE]


def test_errors_of_all_files_come_at_once() -> None:
    with pytest.raises(ForgeError) as caught:
        found(
            {
                ".forge/repo.cue": REPO.replace("v1.0.0", "v9.0.0"),
                "a/.forge/project.cue": "package project\nname: 1\n",
                "b/.forge/project.cue": project("b", step("nope", "x")),
                "c/.forge/project.cue": project("B"),
                "d/.forge/project.cue": "package project\n{",
            }
        )

    assert [(each.code.name, each.project) for each in caught.value.diagnostics] == [
        ("VERSION_UNSUPPORTED", None),
        ("WRONG_TYPE", "a"),
        ("UNKNOWN_PHASE", "b"),
        ("EARTHFILE_MISSING", "b"),
        ("PROJECT_DUPLICATE", "B"),
        ("SYNTAX", "d"),
    ]


@given(data=st.data())
def test_order_of_the_text_does_not_matter(data: Any) -> None:
    lines = [step("test", "a"), step("test", "b"), step("lint", "c"), 'release: on: [{branch: "main"}]\n']
    earthfile = "VERSION 0.8\na:\n    RUN true\nb:\n    RUN true\nc:\n    RUN true\n"
    shuffled = data.draw(st.permutations(lines))

    def document(order: list[str]) -> bytes:
        made = found({"api/.forge/project.cue": project("api", "".join(order)), "api/Earthfile": earthfile})
        return to_json(made).replace((made.projects[0].config_hash or "").encode(), b"")

    assert document(shuffled) == document(lines)


_PIECES = [
    REPO,
    project("a"),
    step("test", "a"),
    "VERSION 0.8\na:\n    RUN true\n",
    "{",
    "}",
    '"',
    "\\(",
    "\x00",
    "é",
    "[",
    ":",
    "&",
]


@given(
    repo=st.lists(st.sampled_from(_PIECES), max_size=3).map("".join) | st.just(REPO),
    config=st.lists(st.sampled_from(_PIECES), max_size=4).map("".join),
    earthfile=st.lists(st.sampled_from(_PIECES), max_size=4).map("".join),
    ignored=st.binary(max_size=20),
)
def test_any_text_gives_a_document_or_diagnostics(repo: str, config: str, earthfile: str, ignored: bytes) -> None:
    files = {".forge/repo.cue": repo, "a/.forge/project.cue": config, "a/Earthfile": earthfile}
    source = MemoryTree({path: text.encode() for path, text in files.items()} | {".gitignore": ignored})

    try:
        document = discover(source, PUSH)
    except ForgeError:
        return  # told as it must be; any other exception fails the test

    assert read_document(Source("discovery.json", to_json(document).decode())) == document


def test_an_engine_that_gave_no_answer_is_asked_again() -> None:
    answers = [fail(Code.CUE_FAILED, "cue found no answer within 20 s")]

    def engine(source: Source) -> StructNode:
        if "web" in source.text and answers:
            raise answers.pop()
        return evaluate_builtin(source)

    files = tree({"web/.forge/project.cue": project("web")})
    with pytest.raises(ForgeError) as caught:
        discover(files, PUSH, engine)

    assert [each.code for each in caught.value.diagnostics] == [Code.CUE_FAILED]
    assert [each.name for each in discover(files, PUSH, engine).projects] == ["web"]


SAMPLE = {str(path.relative_to(EXAMPLE)): path.read_bytes() for path in EXAMPLE.rglob("*") if path.is_file()}
QUOTE = "services/quote/.forge/project.cue"
STRINGS = [each for each in lex_cue(Source(QUOTE, SAMPLE[QUOTE].decode())) if each.kind == "STRING"]


@pytest.mark.parametrize("token", STRINGS, ids=lambda each: str(each.start))
def test_a_string_that_is_left_open_is_one_mistake(token: Token) -> None:
    text = SAMPLE[QUOTE].decode()
    broken = text[: token.end - 1] + text[token.end :]

    with pytest.raises(ForgeError) as caught:
        discover(MemoryTree(SAMPLE | {QUOTE: broken.encode()}), PUSH)

    (found,) = caught.value.diagnostics
    assert found.code is Code.SYNTAX
    assert found.span is not None
    assert found.span.position.line == text.count("\n", 0, token.start) + 1
