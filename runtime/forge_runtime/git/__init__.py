"""Git repositories of a worker: commands and the cache."""
