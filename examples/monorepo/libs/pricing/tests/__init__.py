"""Tests of the pricing library."""
