"""Tables, sessions and every SELECT."""
