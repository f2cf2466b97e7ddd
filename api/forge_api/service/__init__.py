"""What the API does: one transaction per function, decisions from the state tables."""
