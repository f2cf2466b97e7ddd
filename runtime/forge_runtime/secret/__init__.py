"""Secrets: where their values are kept, and how a job comes by those that it names."""
