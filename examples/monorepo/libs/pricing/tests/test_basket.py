"""Bills: the baker's dozen and tax."""

import unittest
from decimal import Decimal

from pricing.basket import Line, price
from pricing.money import Money

TAX = Decimal("0.07")
BUN = Money.parse("1.50")
LOAF = Money.parse("4.20")


class PriceTest(unittest.TestCase):
    def test_tax_comes_on_top(self):
        bill = price([Line("bun", 2, BUN), Line("loaf", 1, LOAF)], TAX)

        self.assertEqual((str(bill.net), str(bill.tax), str(bill.total)), ("7.20", "0.50", "7.70"))

    def test_twelve_pieces_are_all_paid(self):
        self.assertEqual(price([Line("bun", 12, BUN)], TAX).discount, Money(0))

    def test_the_thirteenth_piece_is_free(self):
        self.assertEqual(price([Line("bun", 13, BUN)], TAX).discount, BUN)

    def test_equal_articles_on_two_lines_count_together(self):
        self.assertEqual(price([Line("bun", 6, BUN), Line("bun", 7, BUN)], TAX).discount, BUN)

    def test_different_articles_make_no_dozen(self):
        self.assertEqual(price([Line("bun", 6, BUN), Line("loaf", 7, LOAF)], TAX).discount, Money(0))

    def test_an_empty_basket_costs_nothing(self):
        self.assertEqual(price([], TAX).total, Money(0))

    def test_a_line_without_pieces_is_refused(self):
        with self.assertRaisesRegex(ValueError, "bun: quantity 0"):
            Line("bun", 0, BUN)


if __name__ == "__main__":
    unittest.main()
