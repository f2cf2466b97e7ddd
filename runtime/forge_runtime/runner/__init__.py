"""Running one step: the runner port and its adapters."""
