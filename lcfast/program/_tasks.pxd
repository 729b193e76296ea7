# One step of a program for a fixed number of rows, as a C struct, and its tasks.
from libc.stdint cimport int64_t

from lcfast.local_conv._batch cimport ForwardScratch
from lcfast.local_conv._filters cimport ForwardTasks
from lcfast.local_conv._flat_geometry cimport FlatGeometry
from lcfast.local_conv._kernels cimport lc_csr, lc_windows
from lcfast.local_conv._positions cimport ForwardCut
from lcfast.local_conv._sparse cimport Strip

cdef enum Kind:
    FILTERS
    WIDE
    BATCH
    POSITIONS
    SPARSE
    ACTIVATE
    ACTIVATE_ROWS
    AFFINE
    COMBINE
    DIVIDE
    POOL
    DEPTHWISE
    SUM
    COPY

cdef enum:
    MOST_AXES = 5       # of a copy
    ELEMENTS = 1 << 14  # numbers in a task of an element-wise step

# Where a value lies: in the arena of a block, or in an array of the caller.
cdef struct Place:
    int base       # 0: the arena; then the inputs, then the outputs
    int64_t offset # bytes

cdef struct CopyAxes:
    int axes
    int64_t sizes[MOST_AXES]
    int64_t x_steps[MOST_AXES]
    int64_t y_steps[MOST_AXES]
    int64_t x_start, y_start, x_row, y_row
    bint fills
    double fill

cdef struct Task:
    Kind kind
    int path, activation, operation
    double alpha
    int64_t rows    # of the step: those of the block times rows_each
    int64_t size    # numbers of the output in each of them
    int64_t tasks   # independent parts, any of which may run at the same time
    int64_t scratch # bytes
    Place x, other, y
    # products
    FlatGeometry geometry
    const void *kernel
    const void *bias
    ForwardTasks filters
    ForwardScratch batch
    int64_t width, lanes, splits, row_blocks
    ForwardCut positions
    lc_csr csr
    const Strip *strips
    int64_t panel # numbers
    # others
    const void *mean
    const void *factor
    const void *beta
    int64_t period, columns
    double divisor
    lc_windows windows
    int64_t windows_each # in a row
    int64_t units        # windows, rows or so of a task
    int64_t other_row    # as copy.x_row, of the second input
    bint by_rows         # an input is a part of another value
    const void *divisors
    CopyAxes copy

cdef void run_float(const Task *task, int64_t number, char **bases, void *scratch) noexcept nogil
cdef void run_double(const Task *task, int64_t number, char **bases, void *scratch) noexcept nogil
