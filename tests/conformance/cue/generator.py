r"""Configurations for the differential test: every construct that the dialect claims, in every place it may stand.

    file         = import* declaration+
    declaration  = label (":" | "?:" | "!:") value attribute?     regular, optional, required; definitions, hidden ones
                 | label ":" label ":" value
                 | "[" value "]:" value                           a pattern for names
                 | NAME "=" label ":" value | label ":" NAME "=" value | "[" NAME "=" value "]:" value    aliases
                 | "(" value "):" value | "k-\(value)": value     a computed name
                 | "let" NAME "=" value
                 | "..."                                          an open struct
                 | value                                          an embedding
                 | clause+ struct                                 clauses: for, if, let
    value        = atom | type | bound | reference | selector | index | slice
                 | value operator value | operator value          + - * / & == != < <= > >= =~ !~ && || !
                 | disjunction, with and without marked defaults
                 | interpolation | list, open or closed, with comprehensions | struct | call
    atom         = integers in each base, floats, multipliers, strings of each quoting, true, false, null, _, _|_
    call         = the functions of CALLS

Names and values have kinds (number, text, truth, list, struct), so that most of a file makes sense; now and then a
value is of another kind, or not concrete, which both engines have to refuse. There are few names, so that declarations
meet, refer to each other and contradict each other.
"""

import re
from typing import Any, Final, Literal, get_args

from hypothesis import strategies as st

Kind = Literal["number", "text", "truth", "list", "struct"]

NAMES: Final[dict[Kind, tuple[str, ...]]] = {
    "number": ("a", "b", "_n"),
    "text": ("x", "y", "_s"),
    "truth": ("t",),
    "list": ("l", "m"),
    "struct": ("c", "d", "#D", "#E", "_h"),
}
QUOTED: Final = ('"a"', '"b-c"', '"#D"', '"x"')
PATHS: Final[dict[Kind, tuple[str, ...]]] = {
    "number": ("c.a", "#D.a", "c.d.b", 'd["a"]', "l[0]", "len(x)", "len(l)", "len(c)"),
    "text": ("c.x", "#E.y", "d.c.x", 'c["x"]', "m[1]"),
    "truth": ("c.t",),
    "list": ("c.l", "d.m"),
    "struct": ("c.d", "#D.c", "d.#E", "c.#D"),
}
ATOMS: Final[dict[Kind, tuple[str, ...]]] = {
    "number": ("0", "1", "2", "3", "7", "1_000", "0x1F", "0o17", "0b101", "2Ki", "1.5K", "0.5", "1.0", "2.50", "1e3"),
    "text": (
        *('""', '"x"', '"y"', '"a"', '"xyz"', '"v1.2"', '"12"', '"true"', '"a,b,c"', '" x "', '"ä€"', '"no"'),
        *(r'"t\n\"q\" \u00e9\\"', r'#"raw \n "q" "#', '"""\n  one\n    two\n  """', '#"""\n  a\\b\n  """#'),
    ),
    "truth": ("true", "false"),
    "list": ("[]", "[1, 2, 3]", '["b", "a"]', "[[1], [2, 3]]", '[{a: 1}, {x: "x"}]'),
    "struct": ("{}", "{a: 1}", '{x: "x"}', "{a: 2, b: 3}", "{c: a: 1}", '{"b-c": 1}'),
}
TYPES: Final[dict[Kind, tuple[str, ...]]] = {
    "number": ("int", "number", "float", "uint8", "int32", ">0", ">=1", "<3", "<=7", "!=1", ">=1.5", ">0 & <9"),
    "text": ("string", '=~"^x"', '!~"y$"', '!="x"', '>="b"', "strings.MinRunes(1)", "strings.MaxRunes(4)"),
    "truth": ("bool",),
    "list": (
        "[...]",
        "[...int]",
        "[...string]",
        "[_, ...]",
        "list.MinItems(1)",
        "list.MaxItems(2)",
        "list.UniqueItems()",
    ),
    "struct": ("{...}", "{[string]: _}", "{[string]: int}", "{a?: int}", "{a!: int, ...}", "{x: string, ...}"),
}
CALLS: Final[dict[Kind, tuple[str, ...]]] = {
    "number": (
        *("len({text})", "len({list})", "len({struct})", "div({number}, {number})", "mod({number}, {number})"),
        *("quo({number}, {number})", "rem({number}, {number})", "list.Sum({list})", "list.Max({list})"),
        *("list.Min({list})", "strconv.Atoi({text})", "strings.Index({text}, {text})", "strings.Count({text}, {text})"),
    ),
    "text": (
        *(
            "strings.ToUpper({text})",
            "strings.ToLower({text})",
            "strings.TrimSpace({text})",
            "strings.Join({list}, {text})",
        ),
        *("strings.TrimPrefix({text}, {text})", "strings.TrimSuffix({text}, {text})", "strings.Repeat({text}, 2)"),
        *("strings.Replace({text}, {text}, {text}, -1)", "regexp.ReplaceAll({text}, {text}, {text})"),
        *("regexp.Find({text}, {text})", "strconv.FormatInt({number}, 10)", "strconv.Quote({text})"),
    ),
    "truth": (
        *("strings.Contains({text}, {text})", "strings.HasPrefix({text}, {text})", "strings.HasSuffix({text}, {text})"),
        *("regexp.Match({text}, {text})", "list.Contains({list}, {number})", "list.Contains({list}, {text})"),
        "strconv.ParseBool({text})",
    ),
    "list": (
        *("strings.Split({text}, {text})", "list.Concat([{list}, {list}])", "list.Range(0, {number}, 1)"),
        *("list.SortStrings({list})", "list.FlattenN({list}, 1)", "list.Reverse({list})", "list.Take({list}, 1)"),
        *("list.Drop({list}, 1)", "list.Slice({list}, 0, 1)", "list.Repeat({list}, 2)", "strings.Fields({text})"),
        *(
            "list.Sort({list}, list.Ascending)",
            "list.Sort({list}, list.Descending)",
            "regexp.FindAll({text}, {text}, -1)",
        ),
    ),
    "struct": ("close({struct})", "and([{struct}, {struct}])", "or([{struct}, {struct}])"),
}
COMPARISONS: Final = ("==", "!=", "<", "<=", ">", ">=")
PACKAGES: Final = ("strings", "list", "regexp", "strconv")
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)


@st.composite
def configurations(draw: Any) -> str:
    """A file of some declarations, with the imports that it uses and, mostly, the names that it refers to."""
    writer = _Writer(draw)
    body = "\n".join(writer.declaration(3) for _ in range(writer.count(5, least=1)))
    declared = set(re.findall(r"^([#_]?\w+)[?!]?:", body, re.MULTILINE))
    for kind, names in NAMES.items():
        for name in names:
            if (
                name not in declared
                and re.search(rf"(?<![\w#.\"]){name}(?!\w|:|\?:|!:)", body)
                and writer.count(9) != 7
            ):
                body += f"\n{name}: {writer.declared(kind)}"
    used = [package for package in PACKAGES if f"{package}." in body]
    if used and writer.count(7) == 5:
        return f'import p "{used[0]}"\n' + _imports(used[1:]) + body.replace(f"{used[0]}.", "p.")
    return _imports(used) + body


def _imports(packages: list[str]) -> str:
    return "".join(f'import "{package}"\n' for package in packages)


class _Writer:
    """Writes by drawing; `depth` is how many levels may still follow."""

    def __init__(self, draw: Any) -> None:
        self._draw = draw
        self._written: set[str] = set()

    def pick(self, *options: str) -> str:
        return str(self._draw(st.sampled_from(options)))

    def count(self, most: int, least: int = 0) -> int:
        return int(self._draw(st.sampled_from(range(least, most + 1))))

    def kind(self) -> Kind:
        found: Kind = self._draw(st.sampled_from(KINDS))
        return found

    def declaration(self, depth: int) -> str:
        kinds = ["field"] * 12 + ["attribute"]
        if depth > 0:
            kinds += ["nested", "let", "pattern", "embedding", "opening", "computed", "for", "for", "if", "if", "alias"]
        inner, kind = depth - 1, self.kind()
        match self.pick(*kinds):
            case "nested":
                return f"{self.pick(*NAMES['struct'])}: {self.pick(*NAMES[kind])}: {self.concrete(kind, inner)}"
            case "let":
                name = self.pick(*NAMES[kind])
                return f"let L{name.strip('#_')} = {self.concrete(kind, inner)}, {name}: L{name.strip('#_')}"
            case "pattern":
                names = self.pick("string", '=~"^[ab]"', '"a" | "x"', '!="b"', "_", self.concrete("text", 0))
                return f"[{names}]: {self.pick(*TYPES[kind], self.value(kind, inner))}"
            case "embedding":
                return self.concrete("struct", inner)
            case "alias":
                return self.alias(kind, inner)
            case "opening":
                return "..."
            case "computed":
                label = self.pick("(x)", "(_s)", r'"k-\(y)"', r'"\(a)"', f"({self.concrete('text', inner)})")
                return f"{label}: {self.concrete(kind, inner)}"
            case "for":
                source = self.concrete(self.pick("list", "struct"), inner)
                return f"for k, v in {source} {self.clause()}{self.produced(inner)}"
            case "if":
                return f"if {self.condition(inner)} {self.clause(loop=False)}{self.struct(inner)}"
            case drawn:
                mark = self.pick(*[":"] * 14, "?:", "?:", "!:")
                label = self.pick(*NAMES[kind] * 3, *QUOTED)
                again = label in self._written and self.count(3) != 2
                self._written.add(label)
                loose = mark != ":" or label.startswith(("#", "_")) or again
                value = self.value(kind, depth) if loose else self.concrete(kind, depth)
                return f"{label}{mark} {value}" + (" @tag(k, v=1)" if drawn == "attribute" else "")

    def declared(self, kind: Kind) -> str:
        """For a name that is referred to: rich enough for the paths."""
        if kind == "struct":
            return self.pick('{a: 1, x: "x", t: true}', '{a: int | *2, x: string | *"y"}', "{d: b: 3, l: [1], #D: {}}")
        return self.pick("[1, 2]", '["x", "y"]') if kind == "list" else self.concrete(kind, 0)

    def alias(self, kind: Kind, depth: int) -> str:
        name, value = self.pick(*NAMES[kind]), self.concrete(kind, depth)
        alias = f"X{name.strip('#_')}"
        return self.pick(
            f"{alias}={name}: {value}, y: {alias}",
            f'X={self.pick(*QUOTED)}: {value}, "x": X',
            f"{name}: V={{v: {value}, w: V.v}}",
            f"[K=string]: {{name: K, {self.declaration(depth)}}}",
            '[K==~"^a"]: {name: K}',
            f"[K=string]: {self.pick('K', '_', self.value(kind, depth))}",
        )

    def clause(self, *, loop: bool = True) -> str:
        """More clauses after the first; those that need a loop's variables come last."""
        options = ("", "", "", "let w = a ", "for w in [1, 2] ", "if t ", "if v != 1 ", 'if k != "a" ')
        return self.pick(*options[: None if loop else -2])

    def produced(self, depth: int) -> str:
        options = (r'{"\(k)": v}', r'{"n-\(k)": {v, ...}}', r'{"\(v)": k}', "{(k): v}", r'{"\(k)": a: v}')
        return self.pick(*options, self.struct(depth))

    def condition(self, depth: int) -> str:
        absent = ("a != _|_", "x == _|_", "c.a != _|_", "d.x == _|_")
        return self.pick("true", "t", *absent, self.concrete("truth", depth), self.concrete("truth", depth))

    def value(self, kind: Kind, depth: int) -> str:
        """Mostly of the kind, concrete or not."""
        match self.pick(*["concrete", "type"] * 4, *["unified", "choice"] * 2, "any", "wrong"):
            case "type":
                return self.pick(*TYPES[kind])
            case "unified" if depth > 0:
                return f"({self.value(kind, depth - 1)} & {self.value(kind, depth - 1)})"
            case "choice" if depth > 0:
                return self.choice(kind, depth - 1)
            case "any":
                return self.pick("_", "null", "_|_", "_", "null | " + self.pick(*TYPES[kind]))
            case "wrong":
                return self.concrete(self.kind(), depth)
            case _:
                return self.concrete(kind, depth)

    def choice(self, kind: Kind, depth: int) -> str:
        alternatives = (self.pick("", "*") + self.value(kind, depth) for _ in range(self.count(3, least=2)))
        return f"({' | '.join(alternatives)})"

    def concrete(self, kind: Kind | str, depth: int) -> str:
        """One value, if what it refers to has one."""
        same: Kind = next(each for each in KINDS if each == kind)
        kinds = ["atom"] * 8 + ["reference"] * 4 + ["path"]
        if depth > 0:
            kinds += ["made"] * 9 + ["call", "call", "index", "unified", "default", "default", "parentheses"]
            kinds += ["loose"] if self.count(4) == 3 else []
        inner = depth - 1
        match self.pick(*kinds):
            case "reference":
                return self.pick(*NAMES[same])
            case "path":
                return self.pick(*PATHS[same])
            case "made":
                return self.made(same, inner)
            case "call":
                called = self.pick(*CALLS[same])
                return re.sub(r"\{(\w+)\}", lambda found: self.concrete(found[1], inner), called)
            case "index":
                items = ", ".join(self.concrete(same, inner) for _ in range(self.count(3, least=1)))
                return f"[{items}][{self.pick('0', '0', '1', self.concrete('number', 0))}]"
            case "unified":
                return f"({self.pick(*TYPES[same], self.value(same, inner))} & {self.concrete(same, inner)})"
            case "default":
                return f"(*{self.concrete(same, inner)} | {self.pick(*TYPES[same], self.value(same, inner))})"
            case "loose":
                return self.value(same, inner)
            case "parentheses":
                return f"({self.concrete(same, inner)})"
            case _:
                return self.pick(*ATOMS[same])

    def made(self, kind: Kind, depth: int) -> str:
        """Built from parts by what is peculiar to the kind."""
        match kind:
            case "number":
                sign = self.pick("+", "-", "*", "/", "+", "-", "*")
                return self.pick(
                    f"({self.concrete(kind, depth)} {sign} {self.concrete(kind, depth)})", "-a", "+1", "-2"
                )
            case "text":
                part = self.concrete(self.pick("number", "text", "truth"), depth)
                added = f"({self.concrete(kind, depth)} {self.pick('+', '+', '+', '*')} {self.concrete(kind, depth)})"
                return self.pick(f'"p\\({part})"', f'"\\({part})-\\(x)"', f'"""\n  \\({part})\n  z\n  """', added)
            case "truth":
                operand = self.pick(*KINDS, "number", "text")
                compared = f"{self.concrete(operand, depth)} {self.pick(*COMPARISONS)} {self.concrete(operand, depth)}"
                matched = f"{self.concrete('text', depth)} {self.pick('=~', '!~')} {self.concrete('text', depth)}"
                joined = f"{self.concrete(kind, depth)} {self.pick('&&', '||')} {self.concrete(kind, depth)}"
                return f"({self.pick(compared, compared, matched, joined, f'!{self.concrete(kind, depth)}')})"
            case "list":
                low, high = self.pick("", "0", "1"), self.pick("", "1", "2")
                return self.pick(self.list(depth), self.list(depth), f"{self.list(depth)}[{low}:{high}]")
            case "struct":
                return self.struct(depth)

    def struct(self, depth: int) -> str:
        return "{" + ", ".join(self.declaration(depth) for _ in range(self.count(3))) + "}"

    def list(self, depth: int) -> str:
        kind = self.kind()
        items = [self.element(kind, depth) for _ in range(self.count(3))]
        items += [self.pick("...", f"...{self.pick(*TYPES[kind])}")] if self.count(4) == 3 else []
        return "[" + ", ".join(items) + "]"

    def element(self, kind: Kind, depth: int) -> str:
        if depth > 0 and self.count(5) == 3:
            body = self.pick("{v}", "{a: v}", "{k}", "{v, ...}", self.struct(depth - 1))
            return f"for k, v in {self.concrete(self.pick('list', 'struct'), depth - 1)} {self.clause()}{body}"
        return self.concrete(kind, depth)
