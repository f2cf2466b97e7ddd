"""How a function of a standard package is described: what it takes, and the Python function that does it.

A function is pure. It raises TypeError or ValueError with a message fit for a person, and TooLarge where it would not
end soon.
"""

import enum
from collections.abc import Callable
from typing import Any, Final, Protocol

from msgspec import Struct

from forgec.syntax.value import Kind, TooLarge

ITEMS_MAX: Final = 10_000
"""Items in one list that a function makes."""


class Parameter(enum.Enum):
    """The kinds of arguments; the value is their name in messages."""

    TEXT = "a string"
    WHOLE = "a whole number"
    NUMBER = "a number"
    TRUTH = "true or false"
    TEXTS = "a list of strings"
    NUMBERS = "a list of numbers"
    ITEMS = "a list"
    VALUES = "a list of concrete values"
    VALUE = "a concrete value"
    ORDER = "list.Ascending, list.Descending or {x: _, y: _, less: ...}"

    @property
    def kinds(self) -> Kind:
        """Of the single values; of lists, those of their items."""
        match self:
            case Parameter.TEXT | Parameter.TEXTS:
                return Kind.STRING
            case Parameter.WHOLE:
                return Kind.INT
            case Parameter.NUMBER | Parameter.NUMBERS:
                return Kind.NUMBER
            case Parameter.TRUTH:
                return Kind.BOOL
            case _:
                return Kind.ANY


class Item(Protocol):
    """An item of a list as it stands: not looked into, so it may be a struct that is not concrete."""

    def items(self) -> "list[Item] | None":
        """Its own items, where it is a list."""


Order = Callable[[Item, Item], bool]
"""Whether the first of two items comes before the second."""


class Function(Struct, frozen=True):
    """`apply` takes one value a parameter and gives a plain value or a list of items.

    `is_check`: it gives true or false, and without its first argument it stands for the values that it is true of.
    `grows`: a list that is not long enough for it may become so. `weight`: how many times a text is read, at most.
    """

    parameters: tuple[Parameter, ...]
    apply: Callable[..., Any]
    is_check: bool = False
    grows: bool = False
    weight: int = 1


def checked_length(count: int) -> None:
    """TooLarge where a list of this length would be too long."""
    if count > ITEMS_MAX:
        raise TooLarge(f"a list of more than {ITEMS_MAX} items")
