"""OpenMP as the kernels were built with it; importing this module installs the fork guard."""

HAS_OPENMP: bool

def max_threads() -> int: ...
