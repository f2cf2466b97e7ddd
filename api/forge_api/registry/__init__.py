"""A registry of one machine: OCI images in a directory, over HTTP on loopback."""
