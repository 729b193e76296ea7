# cython: language_level=3, boundscheck=False, wraparound=False
"""The SIMD paths: their names, which of them this processor has, and their tables of kernels.

The C kernels are linked into this extension module alone; the others reach them through its .pxd.
"""
from lcfast.local_conv._kernels cimport (
    LC_PATHS, LC_PIECE, lc_finish_streams, lc_path_names, lc_path_supported, lc_table_f32,
    lc_table_f64,
)

PATH_NAMES = tuple([lc_path_names[path].decode() for path in range(LC_PATHS)])
SUPPORTED_PATHS = tuple([path for path in range(LC_PATHS) if lc_path_supported(path)])
TERMS_OF_PIECE = LC_PIECE


cdef const lc_kernels_f32 *table_f32(int path) noexcept nogil:
    return lc_table_f32[path]


cdef const lc_kernels_f64 *table_f64(int path) noexcept nogil:
    return lc_table_f64[path]


cdef void finish_streams() noexcept nogil:
    lc_finish_streams()


cpdef int64_t vector_bytes(int path) noexcept nogil:
    """Bytes in a vector of a SIMD path."""
    return lc_table_f32[path].lanes * sizeof(float)
