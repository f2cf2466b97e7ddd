"""Tests of stylecheck."""
