"""Amounts: reading, writing, rounding, sharing."""

import unittest
from decimal import Decimal

from pricing.money import Money


class MoneyTest(unittest.TestCase):
    def test_amounts_are_read_and_written_alike(self):
        for text in ("0.00", "0.05", "12.50", "-3.07"):
            self.assertEqual(str(Money.parse(text)), text)

    def test_careless_amounts_are_refused(self):
        for text in ("12.5", "12", ".50", "1,50", "12.500", ""):
            with self.assertRaisesRegex(ValueError, "no amount"):
                Money.parse(text)

    def test_half_a_cent_goes_to_the_even_neighbour(self):
        half = Decimal("0.5")
        for cents, expected in ((25, 12), (27, 14), (-25, -12), (-27, -14)):
            rounded = Money(cents).times(half).cents
            self.assertEqual(
                rounded, expected, f"half of {cents} cents must be {expected} cents, not {rounded}"
            )

    def test_shares_differ_by_one_cent_at_most(self):
        self.assertEqual(Money(100).split(3), [Money(34), Money(33), Money(33)])


if __name__ == "__main__":
    unittest.main()
