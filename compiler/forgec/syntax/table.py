"""The parsers' tables: lark makes them of the grammars, and they are kept beside these.

Making them takes lark 0.2 s, more than parsing a hundred files. What is kept is not a cache, but part of the program,
like the grammar itself: a test makes it anew and finds any difference, and `make golden` writes it. A table that does
not belong to its grammar is never used, so whoever edits one goes on working, only slower.
"""

import functools
import hashlib
from collections.abc import Iterator, Set
from typing import Any

import msgspec

from forge_grammar import resource
from forgec.syntax.lalr import END, Rule, Table


@functools.cache
def table(name: str) -> Table:
    """The table of the grammar in the file `name`, such as `cue.lark`."""
    grammar = resource.data(name)
    kept = msgspec.json.decode(resource.data(f"{name}.json"), type=Table)
    return kept if kept.grammar == _digest(grammar) else build_table(grammar)


def build_table(grammar: bytes) -> Table:
    """Always the same of the same grammar. Raises lark's GrammarError where it has a conflict."""
    made, grammar_rules = _of_lark(grammar.decode())
    (start,), (end,) = made.start_states.values(), made.end_states.values()
    alone = _alone(grammar_rules)
    states = [start]  # in the order in which they are reached; lark's own order is that of a set
    numbers = {start: 0}
    rules: dict[Rule, int] = {}
    rows: list[dict[str, int]] = []
    for state in states:
        row: dict[str, int] = {}
        for symbol, (_, target) in sorted(made.states[state].items(), key=lambda item: item[0]):
            if isinstance(target, int):
                if target not in numbers:
                    numbers[target] = len(states)
                    states.append(target)
                row[str(symbol)] = numbers[target]
            else:
                row[str(symbol)] = ~rules.setdefault(_rule(target, alone), len(rules))
        rows.append(row)
    rows[numbers[end]] = {END: numbers[end]}
    return Table(_digest(grammar), tuple(rules), tuple(rows))


def as_text(table: Table) -> str:
    """As it is kept: a line for each rule and each state, for those who compare two versions."""
    rules, rows = (
        ",\n".join(msgspec.json.encode(each).decode() for each in part) for part in (table.rules, table.rows)
    )
    return f'{{"grammar":"{table.grammar}",\n"rules":[\n{rules}\n],\n"rows":[\n{rows}\n]}}\n'


def _digest(grammar: bytes) -> str:
    return hashlib.sha256(grammar).hexdigest()


def _of_lark(grammar: str) -> tuple[Any, list[Any]]:
    """Its table, and the rules as it has expanded them."""
    from lark import Lark, Token
    from lark.lexer import Lexer

    class NoLexer(Lexer):
        """Grammars declare their terminals only; our lexers make them."""

        def __init__(self, _configuration: object) -> None:
            pass

        def lex(self, lexer_state: object, parser_state: object) -> Iterator[Token]:  # noqa: ARG002
            return iter(())

    lark = Lark(grammar, parser="lalr", lexer=NoLexer, maybe_placeholders=False, strict=True)
    return lark.parser.parser._parse_table, lark.rules  # the first is what lark would pickle


def _alone(rules: list[Any]) -> frozenset[str]:
    """The origins that begin with an underscore and are always one value, so that there is no list to splice."""
    alone = {rule.origin.name for rule in rules if rule.origin.name.startswith("_")}
    while several := {rule.origin.name for rule in rules if _is_several(rule, alone)} & alone:
        alone -= several
    return frozenset(alone)


def _rule(rule: Any, alone: frozenset[str]) -> Rule:
    """What lark's rule does to a tree: it splices what begins with an underscore, and `?rule` hands on a lone value."""
    origin = str(rule.origin.name)
    spliced = (at for at, symbol in enumerate(rule.expansion) if _is_list(symbol, alone))
    return Rule(
        origin=origin,
        size=len(rule.expansion),
        spliced=tuple(spliced),
        name=None if origin.startswith("_") else str(rule.alias or origin),
        single=origin in alone or bool(rule.options.expand1 and not rule.alias),
    )


def _is_several(rule: Any, alone: Set[str]) -> bool:
    return len(rule.expansion) != 1 or _is_list(rule.expansion[0], alone)


def _is_list(symbol: Any, alone: Set[str]) -> bool:
    return not symbol.is_term and symbol.name.startswith("_") and symbol.name not in alone
