"""What a basket costs: pieces, the baker's dozen, tax."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from pricing.money import Money

BAKERS_DOZEN = 13  # one of so many equal pieces is free


@dataclass(frozen=True)
class Line:
    """Equal pieces in a basket."""

    sku: str
    quantity: int
    unit_price: Money

    def __post_init__(self) -> None:
        if self.quantity < 1:
            raise ValueError(f"{self.sku}: quantity {self.quantity} is less than 1")


@dataclass(frozen=True)
class Bill:
    """net - discount + tax = total."""

    net: Money
    discount: Money
    tax: Money
    total: Money


def price(lines: Iterable[Line], tax_rate: Decimal) -> Bill:
    """Price a basket. Lines of the same article count together for the baker's dozen.

    Tax is rounded once, on the sum: rounding each line would let the order of lines matter.
    """
    net = Money(0)
    quantities: dict[tuple[str, Money], int] = {}
    for line in lines:
        net += line.unit_price.times(line.quantity)
        article = (line.sku, line.unit_price)
        quantities[article] = quantities.get(article, 0) + line.quantity

    discount = Money(0)
    for (_, unit_price), quantity in quantities.items():
        discount += unit_price.times(quantity // BAKERS_DOZEN)

    tax = (net - discount).times(tax_rate)
    return Bill(net=net, discount=discount, tax=tax, total=net - discount + tax)
