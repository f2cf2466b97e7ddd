"""From a request to an answer. Knows products and prices, and nothing of sockets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pricing.basket import Line, price
from pricing.money import Money

TAX_RATE = Decimal("0.07")
LINES_MAX = 100
QUANTITY_MAX = 1_000


@dataclass(frozen=True)
class Answer:
    """An HTTP status and a JSON document."""

    status: int
    document: Mapping[str, Any]


class BadRequest(ValueError):
    """The request cannot be priced; the text tells the customer why."""


class QuoteService:
    """Answers requests from one catalogue."""

    def __init__(self, catalogue: Mapping[str, Any], version: str) -> None:
        self._products = {product["sku"]: product for product in catalogue["products"]}
        self._version = version

    def answer(self, method: str, path: str, body: bytes = b"") -> Answer:
        """The answer to one request; never raises for what a customer may send."""
        match method, path:
            case "GET", "/healthz":
                return Answer(200, {"status": "ok", "version": self._version})
            case "GET", "/products":
                return Answer(200, {"products": list(self._products.values())})
            case "POST", "/quote":
                try:
                    return Answer(200, self._quote(body))
                except BadRequest as error:
                    return Answer(400, {"error": str(error)})
            case _:
                return Answer(404, {"error": f"no {method} {path} here"})

    def _quote(self, body: bytes) -> dict[str, str]:
        try:
            lines = json.loads(body)["lines"]
        except (ValueError, KeyError, TypeError):
            raise BadRequest("the body must be a JSON object with lines") from None
        if not isinstance(lines, list) or not 1 <= len(lines) <= LINES_MAX:
            raise BadRequest(f"lines must be a list of 1 to {LINES_MAX} entries")

        bill = price(map(self._line, lines), TAX_RATE)
        return {
            "net": str(bill.net),
            "discount": str(bill.discount),
            "tax": str(bill.tax),
            "total": str(bill.total),
        }

    def _line(self, line: Any) -> Line:
        match line:
            case {"sku": str(sku), "quantity": int(quantity)} if 1 <= quantity <= QUANTITY_MAX:
                if sku not in self._products:
                    raise BadRequest(f"no product {sku!r}")
                return Line(sku, quantity, Money(self._products[sku]["cents"]))
            case _:
                raise BadRequest(f"a line needs sku and quantity (1 to {QUANTITY_MAX}), not {line!r}")
