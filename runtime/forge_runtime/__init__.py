"""The runtime: dispatchers and workers that carry jobs over NATS JetStream."""
