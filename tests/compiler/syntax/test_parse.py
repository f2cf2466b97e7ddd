"""CUE text to tree: what is accepted, where things are, and what is said of the rest."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from forgec.diagnostic import Code, ForgeError
from forgec.source import Source
from forgec.syntax import ast
from forgec.syntax.parse import MISTAKES_MAX, parse_file, parse_partly


def parse(text: str) -> ast.File:
    return parse_file(Source("x.cue", text))


def value(text: str) -> ast.Expr:
    """The value of a file's one field."""
    (field,) = parse(f"x: {text}").body.declarations
    assert isinstance(field, ast.Field)
    return field.value


def literal(text: str) -> object:
    found = value(text)
    assert isinstance(found, ast.Literal)
    return found.value


def failures(text: str) -> list[str]:
    with pytest.raises(ForgeError) as caught:
        parse(text)
    return [f"{each.span}: {each.message}" for each in caught.value.diagnostics]


def test_a_line_end_is_a_comma_where_a_declaration_can_end() -> None:
    file = parse('package p\n\na: 1\nb: [\n\t1,\n\t2\n]\nc: (1 +\n\t2)\nd: {e: "x"\n} // end')

    assert file.package is not None
    assert file.package.name == "p"
    assert [each.label.name for each in file.body.declarations if isinstance(each, ast.Field)] == ["a", "b", "c", "d"]


def test_shorthand_presence_and_attributes_are_kept() -> None:
    (field,) = parse('a: "b c"?: d!: 1 @tag(x, "(")').body.declarations

    path = []
    while isinstance(field, ast.Field):
        path.append((field.label.name, field.label.is_identifier, field.presence))
        attributes = field.attributes
        field = field.value.declarations[0] if isinstance(field.value, ast.StructLiteral) else field.value
    assert path == [
        ("a", True, ast.Presence.REGULAR),
        ("b c", False, ast.Presence.OPTIONAL),
        ("d", True, ast.Presence.REQUIRED),
    ]
    assert [(each.name, each.text) for each in attributes] == [("tag", 'x, "("')]


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\n  , b: 2",
        "a\n  : 1, b: 2",
        "for x in [1]\nif x > 0\n{a: 1}, b: 2",
        'a: "\\(\n 1\n)", b: 2',
        'a: {c: 1}["c"\n], b: 2',
    ],
)
def test_a_line_end_is_none_where_a_text_goes_on(text: str) -> None:
    *_, field = parse(text).body.declarations

    assert isinstance(field, ast.Field)
    assert field.label.name == "b"


@pytest.mark.parametrize("name", ["a$b", "$", "_$x", "#A$", "aé", "a٣", '#"b c"#', '##"b"c"##'])
def test_a_name_has_letters_digits_underscores_and_dollars_or_is_text(name: str) -> None:
    (field,) = parse(f"{name}: 1").body.declarations

    assert isinstance(field, ast.Field)
    assert field.label.span.text == name


@pytest.mark.parametrize("name", ["__a", "²", "Ⅳ", "_", "#", "try", "package", "import"])
def test_what_is_no_name_of_a_first_field_is_told_at_its_place(name: str) -> None:
    (message,) = failures(f"{name}: 1")

    assert message.startswith("x.cue:1:1: ")
    assert name in message


def test_attributes_stand_before_and_after_the_package_and_hold_brackets_that_fit() -> None:
    file = parse('@a()\npackage p\n@b ([1, \')\'], {c: #"}"#}; ~)\n@(x)\nimport "list"\nd: 1 @e()\n')

    assert file.package is not None
    assert [each.path for each in file.imports] == ["list"]
    assert [each.name for each in file.body.declarations if isinstance(each, ast.Attribute)] == ["a", "b", ""]


def test_a_loop_may_do_without_names() -> None:
    (loop,) = parse("for _, _ in [1] {a: 1}").body.declarations

    assert isinstance(loop, ast.Comprehension)


def test_keywords_name_fields_too() -> None:
    file = parse("if: 1\nfor: {let: 2}\nimport: x.in\nx: in: 3\ntrue: false")

    assert [each.label.name for each in file.body.declarations if isinstance(each, ast.Field)] == [
        "if", "for", "import", "x", "true",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1_000", 1000),
        ("0x1F", 31),
        ("0b101", 5),
        ("0o17", 15),
        ("1.5K", 1500),
        ("2Mi", 2 * 1024 * 1024),
        ("1.5e3", 1500.0),
        (".5", 0.5),
        ("-7", -7),
        ("null", None),
        ("true", True),
        (r'"a\n\u00e9\U0001F600\/"', "a\né😀/"),
        (r'#"a\d+"#', r"a\d+"),
        ('"""\n  a\n    b\n\n  """', "a\n  b\n"),
        ('"""\n  """', ""),
    ],
)
def test_literals_have_their_value(text: str, expected: object) -> None:
    assert literal(text) == expected


def test_strings_hold_expressions_that_hold_strings() -> None:
    found = value(r'"a \("b \(c) d") e \({f: ")"}.f)"')

    assert isinstance(found, ast.Interpolation)
    before, inner, middle, selected, after = found.parts
    assert (before, middle, after) == ("a ", " e ", "")
    assert isinstance(inner, ast.Interpolation)
    assert isinstance(selected, ast.Selector)


def test_precedence_is_that_of_cue() -> None:
    found = value("1 + 2 * 3 & int | *-4")

    assert isinstance(found, ast.Disjunction)
    first, second = found.terms
    assert (first.default, second.default) == (False, True)
    assert isinstance(first.value, ast.Conjunction)
    assert isinstance(total := first.value.terms[0], ast.Operation)
    assert total.span.text == "1 + 2 * 3"
    assert isinstance(total.rest[0][1], ast.Operation)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: }", 'x.cue:1:4: "}" closes nothing'),
        ("a: (1]", 'x.cue:1:6: "]" does not close the "(" of line 1'),
        ("a: {\n  b: 1\n", 'x.cue:1:4: the "{" is not closed: the file ends inside it'),
        ('a: "x\n', "x.cue:1:4: the string is not closed on its line"),
        ('a: """x"""', 'x.cue:1:4: the text of a multi-line string begins on the line after """'),
        ("a: 1 2", 'x.cue:1:6: "," or a new line or the end of the file is expected, found "2"'),
        ("a: ;", 'x.cue:1:4: the character ";" has no meaning here'),
        ("a: 1__0", 'x.cue:1:4: "1__0" is not a number'),
        ("a: [..., 1]", "x.cue:1:5: ... comes once, at the end of a list"),
        ("a: " + "(" * 65, "x.cue:1:68: nested deeper than 64 levels"),
        ("a: 1e9999999999999999999", "x.cue:1:4: the number is too large, or too close to zero"),
    ],
)
def test_a_mistake_of_form_is_told_in_words(text: str, message: str) -> None:
    assert failures(text) == [message]


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ('a: {b: "x" c: 1}', 'what stands on one line is separated by ","'),
        ("a: [1 2]", 'what stands on one line is separated by ","'),
        ("a b: 1", 'a field is written "name: value"'),
        ("a: 1\nb = 2", 'a field is written "name: value"'),
        ("a: 1.2.3", 'text is written in "double quotes"'),
        ("if true {a: 1} else {a: 2}", 'the other case is an "if" of its own, with the opposite condition'),
        ("a: “x”", 'text is written in plain "double quotes"'),
        ("a:\u00a0 1", "it looks like white space or like nothing; write a plain space, or remove it"),
        ('a: 1\nimport "list"', "imports come first in a file, after its package"),
    ],
)
def test_a_mistake_of_form_has_an_advice(text: str, advice: str) -> None:
    with pytest.raises(ForgeError) as caught:
        parse(text)

    assert caught.value.diagnostics[0].help == advice


def test_all_unsupported_constructs_of_a_file_are_named() -> None:
    with pytest.raises(ForgeError) as caught:
        parse("a: 'x'\nX=\"\\(a)\": 1\nb: {...int}\n@if(linux)")

    assert {each.code for each in caught.value.diagnostics} == {Code.UNSUPPORTED}
    assert [each.message.split(" is valid CUE")[0] for each in caught.value.diagnostics] == [
        "a bytes literal in single quotes",
        "an alias for a field whose name is not written out",
        "a type after ... in a struct",
        "the attribute @if of a file",
    ]


@example("_?")
@given(st.text(alphabet="abc#_:?!.&|*+-<>=~/\\\"'()[]{}@, \n\t0123456789"))
def test_any_text_is_a_tree_or_a_list_of_mistakes(text: str) -> None:
    places = []
    try:
        places.append(parse(text).body.span)
    except ForgeError as error:
        places += [each.span for each in error.diagnostics]

    assert all(place is not None and 0 <= place.start <= place.end <= len(text) for place in places)


def test_a_text_with_many_mistakes_is_told_the_first_of_them() -> None:
    for line in ("x: ;", 'x: "a', 'x: "a)}', "x: {y: 'a}", "x 1", "x: {y: [1 2]}"):
        with pytest.raises(ForgeError) as caught:
            parse("\n".join([line] * 3000))

        lines = [each.span.position.line for each in caught.value.diagnostics if each.span]
        assert lines == [*range(1, MISTAKES_MAX + 1)]


def test_what_is_right_is_parsed_beside_what_is_not() -> None:
    found = parse_partly(Source("x.cue", 'a: 1\nb 2\nc: {d: "x, e: 3}\nf: 4\ng: h: i 5\n'))

    assert found.file is not None
    assert [each.span.text for each in found.file.body.declarations] == ["a: 1", 'c: {d: "x, e: 3}', "f: 4"]
    assert [each.names for each in found.lost] == [("d",), (), ("g", "h")]
    assert len(found.problems) == 3


def test_a_mistake_behind_a_word_of_any_length_is_told() -> None:
    """A search for the word before it that began anew at each of its letters would not end within the test's limit."""
    with pytest.raises(ForgeError) as caught:
        parse(f"a: {'x' * 500_000} & : 1")

    (mistake,) = caught.value.diagnostics
    assert mistake.message == 'a value is expected, found ":"'
