"""Money and baskets of a bakery."""
