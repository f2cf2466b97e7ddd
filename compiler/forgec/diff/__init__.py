"""What two discovery documents mean differently: changes, what they do to a run, and the ways to show them."""
