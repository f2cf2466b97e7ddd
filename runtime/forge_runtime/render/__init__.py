"""A release: its resources as files, and the image that holds them."""
