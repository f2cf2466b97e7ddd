"""The parser: a table and tokens to what is made of them.

    values   a  +  b                 tokens, and what was made of those before
    states   0  3  7  4              where the parser stood when each of them came
                └─ rows[4]["EOL"] ─▶ >= 0: take the token, go to that state
                                      < 0: first apply rule ~n, which replaces the values of its right side by one

lark makes the tables (`table.py`). Their interpreter is our own, because it is this short: it costs no import, and
what is made of a rule is made at once, without a tree of lark's in between.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from msgspec import Struct

from forgec.syntax.token import Token

END: Final = "$END"
"""The kind of the token after the last one."""


class Rule(Struct, frozen=True, array_like=True):
    """One way to write `origin`, out of `size` values. `spliced`: which of them are lists of values in its place.

    Under its `name` something is made of them; without one they stay a list, for the rule that contains it. If
    `single`, a value that is alone stands for itself.
    """

    origin: str
    size: int
    spliced: tuple[int, ...]
    name: str | None
    single: bool


class Table(Struct, frozen=True):
    """Where `rows` lead from each state, by kind of token and by origin of rule; the parser begins in the first.

    `grammar` is the digest of the grammar that the table was made of.
    """

    grammar: str
    rules: tuple[Rule, ...]
    rows: tuple[dict[str, int], ...]


class Unexpected(Exception):
    """No rule goes on with this token; one of the `accepted` kinds could stand there."""

    def __init__(self, token: Token, accepted: frozenset[str]) -> None:
        self.token = token
        self.accepted = accepted
        super().__init__(token)


def parse(table: Table, tokens: Iterable[Token], make: Callable[[str, list[Any]], Any]) -> Any:
    """What `make` makes of the whole: it is called with a rule's name and values as soon as the rule is complete."""
    rows, rules = table.rows, table.rules
    states, values = [0], list[Any]()
    for token in _ended(tokens):
        kind = token.kind
        while (action := rows[states[-1]].get(kind, _NONE)) < 0:
            if action == _NONE:
                raise Unexpected(token, _accepted(table, states))
            rule = rules[~action]
            if rule.single and rule.size == 1 and not rule.spliced:  # most: a value goes through ten ranks of operators
                states[-1] = rows[states[-2]][rule.origin]
                continue
            at = len(values) - rule.size
            made: Any = values[at:]
            if rule.spliced:
                made = _splice(made, rule.spliced)
            if rule.single and len(made) == 1:
                made = made[0]
            elif rule.name is not None:
                made = make(rule.name, made)
            values[at:] = (made,)
            _apply(rows, rule, states)
        states.append(action)
        values.append(token)
    return values[0]


_NONE: Final = -(10**9)
"""No rule has this number."""


def _ended(tokens: Iterable[Token]) -> Iterator[Token]:
    start = end = 0
    for token in tokens:
        yield token
        start, end = token.start, token.end
    yield Token(END, "", start, end)


def _apply(rows: Sequence[dict[str, int]], rule: Rule, states: list[int]) -> None:
    """Go back to where the rule began, and from there on over what it is."""
    if rule.size:
        del states[-rule.size :]
    states.append(rows[states[-1]][rule.origin])


def _splice(values: list[Any], spliced: tuple[int, ...]) -> list[Any]:
    """The list at the front is taken over and grows: a long one is not copied for each of its items."""
    whole: list[Any] = values[0] if spliced[0] == 0 else []
    for index, value in enumerate(values):
        if index not in spliced:
            whole.append(value)
        elif index:
            whole += value
    return whole


def _accepted(table: Table, states: Sequence[int]) -> frozenset[str]:
    """The kinds that can really be taken: a row also has those which only some of the states before it go on with."""
    return frozenset(kind for kind in table.rows[states[-1]] if kind.isupper() and _takes(table, states, kind))


def _takes(table: Table, states: Sequence[int], kind: str) -> bool:
    ahead = list(states)
    while (action := table.rows[ahead[-1]].get(kind, _NONE)) < 0:
        if action == _NONE:
            return False
        _apply(table.rows, table.rules[~action], ahead)
    return True
