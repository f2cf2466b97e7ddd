"""What `forgec explain` prints: `diagnostics.md`, one section a code."""
