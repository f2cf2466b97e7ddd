"""The API that starts, cancels and shows runs, and the `forge` command."""
