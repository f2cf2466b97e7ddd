"""The grammars of the CUE dialect and the Earthfile, as package resources."""
