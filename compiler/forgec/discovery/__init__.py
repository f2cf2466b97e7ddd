"""Finding projects in a tree and describing them: the discovery document."""
