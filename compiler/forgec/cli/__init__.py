"""The `forgec` command: one module a command, listed in `main`; what they share beside them."""
