# What the cached fast path and the programs of models call.
from libc.stdint cimport int64_t

from lcfast.local_conv._flat_geometry cimport FlatGeometry
from lcfast.local_conv._kernels cimport LC_PIECE
from lcfast.local_conv._simd_paths cimport real

cdef enum:
    PACKED_TAPS = LC_PIECE # rows of a wide kernel packed at a time
    PACKED_ROWS = 960      # rows of the batch whose sums are held while it is packed
    COLUMN_BLOCK = 64      # smallest block of filters of a wide kernel (Dense)

# Tasks of the forward product: (groups of positions) x (blocks of columns) x (blocks of rows).
cdef struct ForwardTasks:
    int64_t group, column_block, row_block
    int64_t groups, column_blocks, row_blocks
    bint stream  # streaming stores, which bypass the caches
    bint overrun # the kernel may be over-read by a vector

cdef ForwardTasks forward_tasks(const FlatGeometry *g, int64_t rows, int64_t item_bytes,
                                int threads) noexcept nogil

cdef void forward_task(const FlatGeometry *g, const ForwardTasks *cut, int64_t task, int path,
                       int activation, double alpha, int64_t rows,
                       const real *x, const real *kernel, const real *bias,
                       real *y) noexcept nogil

cdef void forward_of_columns(const FlatGeometry *g, int path, int activation, double alpha,
                             int64_t rows, int64_t column, const real *x, const real *kernel,
                             const real *bias, real *packed, real *totals,
                             real *y) noexcept nogil

cdef int64_t wide_scratch(const FlatGeometry *g, int64_t rows) noexcept nogil

cpdef forward(geometry, int64_t rows, int item_bytes, x, kernel, bias, y, int activation,
              double alpha, int path, int threads)
