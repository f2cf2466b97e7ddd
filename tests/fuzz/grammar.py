"""Texts made from a small grammar: deeper and stranger than anything people wrote, and mostly well formed.

A rule is a list of alternatives; of an alternative, words in angle brackets are rules. The first alternative of a rule
leads to an end, and is taken when a text has become deep; and more often than the others, which are stranger.
"""

import random
import re
from collections.abc import Mapping, Sequence
from typing import Final

from tests.fuzz.corpus import Kind

DEPTH_MAX: Final = 9
TEXT_CHARS_MAX: Final = 20_000

_RULE = re.compile(r"<([a-z]+)>")

_DOCUMENT: Final[Mapping[str, Sequence[str]]] = {
    "start": ['{"repository": <repository>, "projects": [<projects>]}', '{"repository": <repository><more>}'],
    "repository": ['{"forgeVersion": <version>, "tagging": {"strategy": <strategy>}, "phases": {<phases>}}'],
    "version": ['"v1.0.0"', '"v1.0.0"', '"v1.9.0"', '"v2.0.0"', "<value>"],
    "strategy": ['"monorepo"', '"tag-all"', "<value>"],
    "phases": ['"test": {"group": 1}', '<name>: {"group": <number>, "timeout": <duration>}, <phases>', ""],
    "projects": ["<project>", "", "<project>, <projects>"],
    "project": ['{"name": <name>, "path": <name>, "phases": {<work>}, "releaseTriggered": <bool>}', "<value>"],
    "work": ['"test": [<steps>]', "<name>: [<steps>]", "<name>: [<steps>], <work>"],
    "steps": ["<step>", "<step>, <steps>", ""],
    "step": ['{"name": <name>, "action": "earthly", "target": <target>, "args": [<args>], "timeout": <duration>}'],
    "args": ["", '"--ci"', '"--X=<chars>"', "<value>, <args>"],
    "target": ['"+unit"', '"+<chars>"', "<value>"],
    "name": ['"api"', '"test"', '"a-b"', '"<chars>"', "<value>"],
    "duration": ['"5m"', '"24h"', '"1h1h"', '"0s"', '"<chars>"', "<value>"],
    "more": ["", ', "releaseEnabled": <bool>', ', "phaseGroups": <value>', ', "warnings": [<value>]', ", <name>: 1"],
    "bool": ["false", "true", "<value>"],
    "number": ["1", "0", "-1", "2.5", "1e400", "9007199254740993", "1000001", "01"],
    "value": ["null", "<number>", '"<chars>"', "[<value>, <value>]", "{<name>: <value>}", "true"],
    "chars": ["", "a", "\\u0000", "\\ud83d\\ude00", "\\ud800", "{{x}}", "\\n", "<chars><chars>", "\u202e", "%"],
}

_CUE: Final[Mapping[str, Sequence[str]]] = {
    "start": [
        'package project\n\nimport (\n\t"strings"\n\t"list"\n\t"regexp"\n\t"strconv"\n)\n\nname: "api"\n<fields>',
        'package project\nname: "api"\n<fields>',
        "package project\nimport <value>\nname: <value>\n<fields>",
        'package repo\nforgeVersion: "v1.0.0"\ntagging: strategy: "monorepo"\nphases: <value>\n<fields>',
        "<fields>",
    ],
    "fields": ["", "<field>\n<fields>", "<field>, <fields>", "<field>\n<field>\n<fields>"],
    "field": [
        "<label>: <value>",
        "<label>: <label>: <value>",
        "#D<optional>: {<fields>}",
        "let X = <value>",
        "<value>",
        "[<value>]: <value>",
        "...",
        "if <value> {<fields>}",
        "for k, v in <value> {<fields>}",
        "_h: <value>",
        "#D: <value>",
        'ci: phases: test: <label>: {action: "earthly", target: <value>}',
    ],
    "label": ["a", "b", "_h", "#D", "name<optional>", '"q"', '"\\(<value>)"', "(<value>)", "A=a", "ci", "phases"],
    "optional": ["", "?", "!"],
    "value": [
        "1",
        '"s"',
        "<reference>",
        "{<fields>}",
        "[<items>]",
        "<value> & <value>",
        "*<value> | <value>",
        "<value> | <value>",
        "<value> <operator> <value>",
        "(<value>)",
        "<unary><value>",
        '"\\(<value>)"',
        "<call>(<items>)",
        "<value>.<reference>",
        "<value>[<value>]",
        "string",
        "int",
        "_|_",
        "_",
        '"""\n\t<value>\n\t"""',
        '#"\\#(<value>)"#',
        "1e9",
        "0.1",
        "1Mi",
        "[for x in <value> {<fields>}]",
        "[...<value>]",
        "9999999999999999999999",
        "9007199254740992e2",
        "-1e-400",
        "0x1F",
    ],
    "items": ["", "<value>", "<value>, <items>", "..."],
    "reference": ["a", "b", "X", "#D", "x", "name", "ci.phases", "_h"],
    "operator": ["+", "-", "*", "/", "==", "!=", "<", ">=", "&&", "||", "div", "=~"],
    "unary": ["-", "!", ">", "<=", "!=", "=~", "!~", "*", "+"],
    "call": [
        *("len", "close", "and", "or", "div", "mod", "quo", "rem", "strings.Join", "strings.Split", "strings.Repeat"),
        *("strings.ToUpper", "strings.Replace", "strings.MinRunes", "list.Range", "list.Repeat", "list.Concat"),
        *("list.Sort", "list.FlattenN", "list.Contains", "regexp.Match", "regexp.ReplaceAll", "regexp.FindSubmatch"),
        *("strconv.Atoi", "strconv.Itoa", "strconv.FormatInt", "strconv.Unquote", "strconv.ParseFloat", "list.x"),
    ],
}

_EARTHFILE: Final[Mapping[str, Sequence[str]]] = {
    "start": ["VERSION <version>\n<base>\n<targets>", "<targets>", "<base>"],
    "version": ["0.8", "0.6", "--try 0.8", "0.<word>", ""],
    "base": ["", "    <command>\n<base>", "<command>\n<base>", "IMPORT <reference> AS <word>\n<base>"],
    "targets": ["", "<word>:\n<recipe>\n<targets>", "<upper>:\n    FUNCTION\n<recipe>\n<targets>", "# doc\n<targets>"],
    "recipe": [
        "    RUN true\n",
        "    <command>\n<recipe>",
        "    <block>\n<recipe>",
        "  <command>\n",
        "\t<command>\n<recipe>",
    ],
    "block": [
        "IF <words>\n        <command>\n    ELSE\n        <command>\n    END",
        "FOR <word> IN <words>\n<recipe>    END",
        "WITH DOCKER --load=<reference>\n        RUN <words>\n    END",
        "TRY\n        RUN <words>\n    FINALLY\n        <command>\n    END",
        "WAIT\n<recipe>    END",
        "IF <words>\n",
        "END",
    ],
    "command": [
        "RUN <words>",
        "FROM <reference>",
        "COPY <reference>/<word> <words>",
        "BUILD <flags> <reference> <flags>",
        "DO <reference> <flags>",
        "ARG <flags> <word>=<words>",
        "SAVE ARTIFACT <words> AS LOCAL <word>",
        "SAVE IMAGE <flags> <word>",
        "LET <word> = <words>",
        "SET <word> = <words>",
        "ENV <word>=<words>",
        "FROM DOCKERFILE <flags> .",
        "CACHE <words>",
        'RUN ["a", "<word>"]',
        "RUN <<EOF\n<words>\nEOF",
        "<upper> <words>",
    ],
    "flags": ["", "--<word>", "--<word>=<word>", "--pass-args <flags>", "--platform=<word>"],
    "reference": [
        "+unit",
        "+<word>",
        "./<word>+<word>",
        "../<word>+<upper>",
        "<word>+<word>",
        "$<word>+x",
        "github.com/a/b:v1+c",
    ],
    "words": [
        "true",
        "<word>",
        "<word> <words>",
        '"<word>" <words>',
        "\\\n        <words>",
        "$(<words>)",
        "'<word>",
        "# <word>",
    ],
    "word": ["a", "unit", "x-y", "$A", "${A}", "${A:-<word>}", "$(id)", "é", "a=b", "1", ".", "\u202e", "lint"],
    "upper": ["SETUP", "X", "RUN", "É"],
}

_GRAMMARS: Final[Mapping[Kind, Mapping[str, Sequence[str]]]] = {
    "document": _DOCUMENT,
    "cue": _CUE,
    "earthfile": _EARTHFILE,
}


def generated(kind: Kind, chance: random.Random) -> str:
    return _expanded("start", _GRAMMARS[kind], chance, 0)[:TEXT_CHARS_MAX]


def _expanded(rule: str, grammar: Mapping[str, Sequence[str]], chance: random.Random, depth: int) -> str:
    alternatives = grammar[rule]
    chosen = alternatives[0] if depth > DEPTH_MAX or chance.random() < 0.3 else chance.choice(alternatives)
    return _RULE.sub(lambda name: _expanded(name[1], grammar, chance, depth + 1), chosen)
