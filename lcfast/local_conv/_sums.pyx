# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, embedsignature=True
"""Sums over the rows of the batch, as products with ones.  Arguments are validated in ops.py."""
from cython.parallel cimport prange
from libc.stdint cimport int64_t

from lcfast.local_conv._kernels cimport lc_tile
from lcfast.local_conv._simd_paths cimport product, real
from lcfast.local_conv._tiles cimport ceiling, empty_tile


cdef void sum_block(int path, int64_t rows, int64_t columns, int64_t first, int64_t width,
                    const real *values, real *total) noexcept nogil:
    # total[j] = sum_n 1 * values[n,j]
    cdef real one = 1
    cdef int64_t origin = 0
    cdef lc_tile tile = empty_tile(&origin, &origin)
    tile.rows = 1
    tile.columns = width
    tile.run_length = rows
    tile.a_row_step = 0
    tile.a_step = 0
    tile.b_row_step = columns
    tile.c_row_step = columns
    product(path, &tile, <const real *>&one, values + first, <const real *>NULL, total + first)


def sum_rows(int64_t rows, int64_t columns, const real[::1] values, real[::1] total,
             int path, int threads):
    """total[j] = sum_n values[n,j], n ascending."""
    cdef const real *values_start = &values[0]
    cdef real *total_start = &total[0]
    cdef int64_t tasks = ceiling(columns, COLUMN_BLOCK)
    cdef int64_t task, first
    for task in prange(tasks, nogil=True, num_threads=threads, schedule="static"):
        first = task * COLUMN_BLOCK
        sum_block(path, rows, columns, first, min(<int64_t>COLUMN_BLOCK, columns - first),
                  values_start, total_start)
