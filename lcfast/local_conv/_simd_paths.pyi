"""The SIMD paths of the compiled kernels; a path is an index into PATH_NAMES, fastest first."""

PATH_NAMES: tuple[str, ...]
SUPPORTED_PATHS: tuple[int, ...]
TERMS_OF_PIECE: int

def vector_bytes(path: int) -> int: ...
