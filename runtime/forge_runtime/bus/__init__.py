"""Messages, records and objects: the bus port, its JetStream adapter and its in-memory double."""
