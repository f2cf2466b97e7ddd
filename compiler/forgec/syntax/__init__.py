"""Source text to values: CUE, JSON and Earthfiles, every node with its place."""
