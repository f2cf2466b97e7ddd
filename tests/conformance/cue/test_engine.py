"""The port that makes data of a `.forge` file: the same tests for the built-in evaluator and for the cue command."""

from pathlib import Path

import pytest
from tests.conformance.cue.reference import Tools
from tests.judge import Judged

from forgec.adapter.cue import CueCommand
from forgec.adapter.directory import DirectoryTree
from forgec.diagnostic import Code, Diagnostic, ForgeError
from forgec.discovery.discover import discover
from forgec.discovery.evaluate import Evaluate, evaluate_builtin
from forgec.discovery.model import to_json
from forgec.discovery.place import key_place, place
from forgec.discovery.tree import MemoryTree
from forgec.discovery.trigger import Trigger
from forgec.source import Source
from forgec.syntax.data import StructNode, to_plain

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "monorepo"
BROKEN = EXAMPLES.with_name("broken")
BROKEN_CODES = "FC101 FC201 FC202 FC203 FC205 FC206 FC206 FC303 FC304 FC305 FC306 FC307"


@pytest.fixture(params=["builtin", "cue"])
def engine(request: pytest.FixtureRequest) -> Evaluate:
    return evaluate_builtin if request.param == "builtin" else request.getfixturevalue("cue_command")


@pytest.fixture
def cue_command(cue_tools: Tools, judged: Judged) -> CueCommand:
    command = CueCommand(cue_tools.cue)
    command.check_version()
    judged("cue", cue_tools.version, "tests of the command as an engine", 1)
    return command


def evaluated(engine: Evaluate, text: str) -> StructNode:
    return engine(Source(".forge/project.cue", text))


def refusals(engine: Evaluate, text: str) -> tuple[Diagnostic, ...]:
    with pytest.raises(ForgeError) as caught:
        evaluated(engine, text)
    return caught.value.diagnostics


def test_a_file_is_data(engine: Evaluate) -> None:
    text = 'package project\n\n#Step: {target: string, timeout: *"1m" | string}\nci: test: #Step & {target: "+unit"}\n'

    assert to_plain(evaluated(engine, text)) == {"ci": {"test": {"target": "+unit", "timeout": "1m"}}}


def test_what_is_written_has_its_place(engine: Evaluate) -> None:
    node = evaluated(engine, 'package project\n\nci: test: {\n\targs: ["a", "b"]\n\tname: "ü" & string\n}\n')

    assert place(node, "ci", "test", "args", 1).text == '"b"'
    assert str(key_place(node, "ci", "test", "name")) == ".forge/project.cue:5:2"
    assert place(node, "ci", "test", "name").position.line == 5


def test_what_a_definition_gives_has_a_place_in_the_file(engine: Evaluate) -> None:
    node = evaluated(engine, 'package project\n#Step: timeout: *"1m" | string\nstep: #Step & {}\n')

    assert place(node, "step", "timeout").position.line in (2, 3)


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("package project\na: 1\na: 2\n", Code.CONFLICT, {2, 3}),
        ('package project\nname: "x\n', Code.SYNTAX, {2}),
        ("package project\na: b\n", Code.UNRESOLVED, {2}),
        ("package project\n#A: {x: int}\na: #A & {x: 1, y: 2}\n", Code.UNKNOWN_FIELD, {3}),
        ("package project\na: b!: int\n", Code.MISSING_FIELD, {2}),
        ("package project\na: int\n", Code.INCOMPLETE, {2}),
        ("package project\n\na: [a]\n", Code.CYCLE, {3}),
        ("package project\n\n5\n", Code.WRONG_TYPE, {1, 3}),
    ],
)
def test_a_mistake_has_the_same_code_and_line(engine: Evaluate, text: str, code: Code, line: set[int]) -> None:
    (found, *_) = refusals(engine, text)

    assert found.code is code
    assert found.span is not None
    assert found.span.source.name == ".forge/project.cue"
    assert found.span.position.line in line


def test_a_number_that_readers_would_round_is_refused(engine: Evaluate) -> None:
    (found,) = refusals(engine, "package project\na: 9007199254740993\n")

    assert "beyond ±2^53" in found.message


def test_an_import_from_elsewhere_is_refused(engine: Evaluate) -> None:
    assert refusals(engine, 'package project\nimport "example.com/shared"\na: shared.b\n')


def test_a_file_sees_no_other_file(engine: Evaluate) -> None:
    """Files of one directory are a package to cue; a `.forge` file is one by itself."""
    tree = MemoryTree(
        {
            ".forge/repo.cue": b'package repo\nforgeVersion: "v1.0.0"\ntagging: strategy: other\n',
            ".forge/other.cue": b'package repo\nother: "monorepo"\n',
        }
    )

    with pytest.raises(ForgeError) as caught:
        discover(tree, Trigger(), engine)

    assert [each.code for each in caught.value.diagnostics] == [Code.CONFIG_UNSEEN, Code.UNRESOLVED]


def test_a_wrong_package_is_told_beside_other_mistakes(engine: Evaluate) -> None:
    tree = MemoryTree({".forge/repo.cue": b"package project\na: 1 & 2\n"})

    with pytest.raises(ForgeError) as caught:
        discover(tree, Trigger(), engine)

    assert [each.code for each in caught.value.diagnostics] == [Code.WRONG_PACKAGE, Code.CONFLICT]


def test_the_sample_repository_is_the_same_document(engine: Evaluate) -> None:
    document = discover(DirectoryTree(EXAMPLES), Trigger(), engine)

    assert to_json(document) == to_json(discover(DirectoryTree(EXAMPLES), Trigger()))


def test_a_value_that_an_attribute_names_waits_for_it(engine: Evaluate) -> None:
    text = 'package project\n#S: {at: string, size: *1 | int}\nx: #S & {at: string @artifact("web.uri")}\ny: x.size\n'

    assert to_plain(evaluated(engine, text)) == {"x": {"at": {"@artifact": "web.uri"}, "size": 1}, "y": 1}


def test_a_value_that_waits_for_nothing_is_told_beside_one_that_waits(engine: Evaluate) -> None:
    text = 'package project\nx: string @artifact("web.uri")\ny: >3\n'

    assert [each.code for each in refusals(engine, text)] == [Code.INCOMPLETE]


def test_a_conflict_is_told_beside_a_value_that_waits(engine: Evaluate) -> None:
    text = 'package project\nx: string @artifact("web.uri")\ny: 1 & 2\n'

    assert [each.code for each in refusals(engine, text)] == [Code.CONFLICT]


def test_twelve_mistakes_are_twelve_errors(engine: Evaluate) -> None:
    with pytest.raises(ForgeError) as caught:
        discover(DirectoryTree(BROKEN), Trigger(), engine)

    assert " ".join(sorted(each.code.id for each in caught.value.diagnostics)) == BROKEN_CODES
