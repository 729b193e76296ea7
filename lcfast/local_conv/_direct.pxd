# What the other extension modules take from this one: the tables of kernels, which are compiled
# into it alone, and the steps through a geometry.
from libc.stdint cimport int64_t
from libc.string cimport memset

from lcfast.local_conv._kernels cimport lc_kernels_f32, lc_kernels_f64, lc_tile
from lcfast.local_conv._windows cimport Windows, windows_of

cdef const lc_kernels_f32 *table_f32(int path) noexcept nogil
cdef const lc_kernels_f64 *table_f64(int path) noexcept nogil

cpdef int64_t vector_bytes(int path) noexcept nogil

cpdef forward(geometry, int64_t rows, int item_bytes, x, kernel, bias, y, int activation,
              double alpha, int path, int threads)


cdef inline int64_t window_offset(const Windows *g, int64_t position) noexcept nogil:
    return position // g.output_columns * g.down + position % g.output_columns * g.along


cdef inline int64_t ceiling(int64_t size, int64_t block) noexcept nogil:
    return (size + block - 1) // block


cdef inline lc_tile empty_tile(const int64_t *a_run_offset,
                               const int64_t *b_run_offset) noexcept nogil:
    # One run of nothing; c has its columns side by side.
    cdef lc_tile tile
    memset(&tile, 0, sizeof(tile))
    tile.runs = 1
    tile.a_run_offset = a_run_offset
    tile.b_run_offset = b_run_offset
    tile.c_column_step = 1
    return tile
