"""Diagnostics in every form they leave the compiler in: text, JSON, SARIF, GitHub annotations, error records."""
