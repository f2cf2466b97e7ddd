"""OCI registries: names, images made of bytes, and the client that pushes and pulls them."""
