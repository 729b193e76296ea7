# What the programs of models call.
from libc.stdint cimport int64_t

from lcfast.local_conv._simd_paths cimport real

cdef enum:
    COLUMN_BLOCK = 64 # columns in a task

cdef void sum_block(int path, int64_t rows, int64_t columns, int64_t first, int64_t width,
                    const real *values, real *total) noexcept nogil
