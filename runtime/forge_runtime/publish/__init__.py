"""Publishing artifacts: one port, and one module for each kind of place that takes them."""
