"""Jobs that do nothing, carried by this project and by others over the same kind of server."""
