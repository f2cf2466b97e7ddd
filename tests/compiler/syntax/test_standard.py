"""Functions of the language and of its standard packages. Compared with cue v0.17.1."""

import pytest
from tests.compiler.syntax.test_unify import data, failures

IMPORTS = {name: f'import "{name}"\n' for name in ("list", "regexp", "strconv", "strings")}


def value(expression: str) -> object:
    imports = "".join(line for name, line in IMPORTS.items() if f"{name}." in expression)
    found = data(f"{imports}a: {expression}")
    assert isinstance(found, dict)
    return found["a"]


def refusal(expression: str) -> str:
    imports = "".join(line for name, line in IMPORTS.items() if f"{name}." in expression)
    (message,) = failures(f"{imports}a: {expression}")
    return message.partition(": ")[2]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('len("é")', 2),
        ("len([1, 2])", 2),
        ("len({a: 1, b?: 2, _c: 3, #d: 4})", 1),
        ("or([1, 2]) & 2", 2),
        ("and([>1, 3])", 3),
        ("[div(-7, 2), mod(-7, 2), quo(-7, 2), rem(-7, 2), div(7, -2), mod(7, -2)]", [-4, 1, -3, -1, -3, 1]),
        ('*error("never") | 4', 4),
        ("[1, 2, 3][1:]", [2, 3]),
    ],
)
def test_functions_of_the_language(expression: str, expected: object) -> None:
    assert value(expression) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0.1 + 0.2", 0.3),
        ("1 / 3", 1 / 3),
        ('"\\(1/3) \\(1e10) \\(6.0) \\(1.50) \\(4/2) \\(1000/1) \\(7/1.0)"',
         "0.3333333333333333333333333333333333 1E+10 6.0 1.50 2.0 1.0E+3 7.0"),
        ("3 * \"ab\"", "ababab"),
        ("2.5e1", 25),
        ("uint8 & 255", 255),
    ],
)  # fmt: skip
def test_numbers_are_decimal(expression: str, expected: object) -> None:
    assert value(expression) == expected
    assert type(value(expression)) is type(expected)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('strings.ToUpper("héß")', "HÉß"),
        ('strings.ToTitle("foo bar")', "Foo Bar"),
        ('strings.ToCamel("Foo Bar")', "foo bar"),
        ('strings.TrimSpace("\\t a \\n")', "a"),
        ('strings.Split("a,b", ",")', ["a", "b"]),
        ('strings.Split("abc", "")', ["a", "b", "c"]),
        ('strings.Split("", ",")', [""]),
        ('strings.SplitN("a,b,c", ",", 2)', ["a", "b,c"]),
        ('strings.SplitAfter("a,b", ",")', ["a,", "b"]),
        ('strings.Fields(" a  b ")', ["a", "b"]),
        ('strings.Join(["a", "b"], "-")', "a-b"),
        ('strings.Replace("abc", "", "-", -1)', "-a-b-c-"),
        ('strings.Index("héllo", "l")', 3),
        ('strings.SliceRunes("héllo", 1, 3)', "él"),
        ('strings.Runes("hé")', [104, 233]),
        ('strings.MinRunes(3) & "abc"', "abc"),
        ('strings.HasPrefix("a") & "abc"', "abc"),
        ("list.Concat([[1], [2, {b: 3}]])", [1, 2, {"b": 3}]),
        ("list.FlattenN([1, [2, [3]]], 1)", [1, 2, [3]]),
        ("list.FlattenN([1, [2, [3]]], -1)", [1, 2, 3]),
        ("list.Range(0, 1, 0.25)", [0, 0.25, 0.5, 0.75]),
        ("list.Range(3, 0, -1)", [3, 2, 1]),
        ("list.Sort([3, 1, 2], list.Descending)", [3, 2, 1]),
        ('list.Sort([{n: "b"}, {n: "a"}], {x: _, y: _, less: x.n < y.n})', [{"n": "a"}, {"n": "b"}]),
        ("list.Sum([1.5, 1.5])", 3),
        ("list.Avg([1, 2])", 1.5),
        ("list.Contains([1, 2], 2.0)", False),
        ("[...int] & list.MinItems(2) & [1, 2]", [1, 2]),
        ("list.UniqueItems & [1, 2]", [1, 2]),
        ("list.Repeat([{x: int}], 2) & [{x: 1}, {x: 2}]", [{"x": 1}, {"x": 2}]),
        ('regexp.FindSubmatch("(a)(b)?", "xa")', ["a", "a", ""]),
        ('regexp.ReplaceAll("a(b)", "xaby", "${1}z$1z$$")', "xbz$y"),
        ('regexp.FindAll("a*", "baaac", -1)', ["", "aaa", ""]),
        ('regexp.ReplaceAll("", "héy", "-")', "-h-é-y-"),
        ('regexp.FindNamedSubmatch("(?P<n>a)(b)", "ab")', {"n": "a"}),
        ('regexp.QuoteMeta("a.b-c")', "a\\.b-c"),
        ('strconv.ParseInt("-7f", 16, 64)', -127),
        ('strconv.ParseInt("Z", 62, 64)', 61),
        ("strconv.FormatInt(255, 16)", "ff"),
        ('strconv.Quote("a\\"\\né\\u0001")', '"a\\"\\né\\x01"'),
        ('strconv.ParseFloat("1.50", 64)', 1.5),
    ],
)
def test_functions_of_packages(expression: str, expected: object) -> None:
    assert value(expression) == expected


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("list.Range(0, 1000000000, 1)", "a list of more than 10000 items"),
        ('strings.Repeat("abc", 1000000)', "the string is longer than 1048576 characters"),
        (
            'regexp.FindAll("x*y|x", strings.Repeat("x", 60000), -1)',
            "finding all matches may read more than 2097152 bytes",
        ),
        ('strconv.ParseInt("128", 10, 8)', '"128" does not fit 8 bits'),
        ('strconv.ParseInt(" 1", 10, 64)', '" 1" is not a whole number of base 10'),
        ("list.Sort([1, 2], {x: _, y: _, less: true})", "by this order two items come each before the other"),
        ('regexp.Find("z", "a")', "no match"),
    ],
)
def test_functions_say_what_they_cannot_do(expression: str, message: str) -> None:
    assert refusal(expression) == message


def test_a_list_that_may_grow_is_not_too_short_yet() -> None:
    assert data('import "list"\n#A: x: [...int] & list.MinItems(1)\na: #A & {x: [1]}') == {"a": {"x": [1]}}
