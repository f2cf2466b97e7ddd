"""Laws that hold for every basket, tried on many random ones. The seed is fixed: a failure repeats."""

import random
import unittest
from decimal import Decimal

from pricing.basket import Line, price
from pricing.money import Money

CASES = 2_000
TAX = Decimal("0.07")


class Laws(unittest.TestCase):
    def setUp(self):
        self.random = random.Random(1312)

    def basket(self):
        prices = {sku: Money(self.random.randint(1, 5_000)) for sku in ("bun", "loaf", "cake", "roll")}
        skus = self.random.choices(list(prices), k=self.random.randint(1, 8))
        return [Line(sku, self.random.randint(1, 40), prices[sku]) for sku in skus]

    def test_the_order_of_lines_does_not_matter(self):
        for _ in range(CASES):
            lines = self.basket()
            shuffled = self.random.sample(lines, k=len(lines))
            self.assertEqual(price(shuffled, TAX), price(lines, TAX))

    def test_one_more_piece_never_makes_a_basket_cheaper(self):
        for _ in range(CASES):
            lines = self.basket()
            more = [*lines, Line(lines[0].sku, 1, lines[0].unit_price)]
            self.assertGreaterEqual(price(more, TAX).total, price(lines, TAX).total, lines)

    def test_shares_add_up_to_the_whole(self):
        for _ in range(CASES):
            whole, parts = Money(self.random.randint(0, 100_000)), self.random.randint(1, 20)
            self.assertEqual(sum(share.cents for share in whole.split(parts)), whole.cents)


if __name__ == "__main__":
    unittest.main()
