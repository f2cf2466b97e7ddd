"""Where the compiler touches the outside: git and the file system."""
