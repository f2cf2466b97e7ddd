"""Money as whole cents: exact sums, and one rounding rule in one place."""

from __future__ import annotations

import decimal
import re
from dataclasses import dataclass
from decimal import Decimal

# Ties go to the even neighbour, so that rounding favours neither shop nor customer.
ROUNDING = decimal.ROUND_HALF_EVEN

_AMOUNT = re.compile(r"-?\d+\.\d\d")


@dataclass(frozen=True, order=True)
class Money:
    """An amount in cents of one currency; negative amounts are refunds."""

    cents: int

    @classmethod
    def parse(cls, text: str) -> Money:
        """Read `12.50`. Both cents must be there: `12.5` is more often a slip than an amount."""
        if not _AMOUNT.fullmatch(text):
            raise ValueError(f"{text!r} is no amount like 12.50")
        return cls(int(text.replace(".", "")))

    def __str__(self) -> str:
        sign = "-" if self.cents < 0 else ""
        return f"{sign}{abs(self.cents) // 100}.{abs(self.cents) % 100:02}"

    def __add__(self, other: Money) -> Money:
        return Money(self.cents + other.cents)

    def __sub__(self, other: Money) -> Money:
        return Money(self.cents - other.cents)

    def times(self, factor: Decimal | int) -> Money:
        """Multiply, and round to a whole cent."""
        return Money(int((self.cents * Decimal(factor)).quantize(Decimal(1), rounding=ROUNDING)))

    def split(self, parts: int) -> list[Money]:
        """Share out without losing a cent; the first shares get what does not divide."""
        share, rest = divmod(self.cents, parts)
        return [Money(share + (index < rest)) for index in range(parts)]
