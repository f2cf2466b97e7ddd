"""The functions of CUE's standard packages that configuration needs."""
