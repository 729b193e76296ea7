# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False
"""The tasks of a program's steps, each on one block of rows; no task checks anything.

Tasks of a step write different numbers, and no sum is divided between two tasks, so results are
bit-identical however tasks are shared between threads.
"""
from libc.stdint cimport int64_t
from libc.string cimport memcpy

from lcfast.local_conv._batch cimport forward_task as batch_task
from lcfast.local_conv._filters cimport (
    COLUMN_BLOCK, PACKED_ROWS, PACKED_TAPS, forward_of_columns, forward_task as filters_task,
)
from lcfast.local_conv._kernels cimport LC_SPARSE_LANES, lc_windows
from lcfast.local_conv._positions cimport forward_group
from lcfast.local_conv._simd_paths cimport activate_block, real, table_f32, table_f64
from lcfast.local_conv._sparse cimport FEWEST_FOR_PANEL, panel_task, vector_task
from lcfast.local_conv._sums cimport sum_block
from lcfast.local_conv._tiles cimport aligned, ceiling


cdef inline char *at(Place place, char **bases) noexcept nogil:
    return bases[place.base] + place.offset


cdef void product_task(const Task *t, int64_t number, const real *x, real *y,
                       void *scratch) noexcept nogil:
    # y[n,p,f] = activation(sum_k x[n,p,k] kernel[p,k,f] + bias[p,f])
    cdef const real *kernel = <const real *>t.kernel
    cdef const real *bias = <const real *>t.bias
    cdef real *memory
    cdef int64_t *offsets
    cdef int64_t first, last, row, rows
    if t.kind == FILTERS:
        filters_task(&t.geometry, &t.filters, number, t.path, t.activation, t.alpha, t.rows, x,
                     kernel, bias, y)
    elif t.kind == WIDE:
        memory = <real *>aligned(scratch)
        row = 0
        while row < t.rows:
            forward_of_columns(&t.geometry, t.path, t.activation, t.alpha,
                               min(<int64_t>PACKED_ROWS, t.rows - row), number * COLUMN_BLOCK,
                               x + row * t.geometry.x_row, kernel, bias, memory,
                               memory + PACKED_TAPS * COLUMN_BLOCK, y + row * t.geometry.y_row)
            row += PACKED_ROWS
    elif t.kind == BATCH:
        offsets = <int64_t *>scratch
        memory = <real *>aligned(offsets + t.geometry.runs)
        first = number // t.row_blocks * t.geometry.positions // t.splits
        last = (number // t.row_blocks + 1) * t.geometry.positions // t.splits
        row = number % t.row_blocks * t.width
        rows = min(t.width, t.rows - row)
        batch_task(&t.geometry, t.path, ceiling(rows, t.lanes) * t.lanes, t.activation, t.alpha,
                   rows, first, last, t.batch.group, x + row * t.geometry.x_row, kernel, bias,
                   offsets, memory, memory + t.batch.panel, y + row * t.geometry.y_row)
    elif t.kind == POSITIONS:
        offsets = <int64_t *>scratch
        forward_group(&t.geometry, &t.positions, number, t.path, t.activation, t.alpha, t.rows, x,
                      kernel, bias, offsets, <real *>aligned(offsets + 2 * t.geometry.patch), y)
    else:
        sparse_task(t, number, x, y, <real *>aligned(scratch))


cdef void sparse_task(const Task *t, int64_t number, const real *x, real *y,
                      real *panel) noexcept nogil:
    # y[n,o] = activation(sum_r numbers[r] x[n,index[r]] + bias[o]), o in a strip of the matrix
    cdef const real *numbers = <const real *>t.kernel
    cdef const real *bias = <const real *>t.bias
    cdef int64_t row = number % t.row_blocks * LC_SPARSE_LANES
    cdef const Strip *strip = t.strips + number // t.row_blocks
    if t.rows < FEWEST_FOR_PANEL:
        vector_task(t.path, &t.csr, strip.first, strip.last, numbers, bias, t.rows, x, y)
    else:
        panel_task(t.path, &t.csr, strip, numbers, bias,
                   min(<int64_t>LC_SPARSE_LANES, t.rows - row), x + row * t.csr.columns, panel,
                   y + row * t.csr.rows)


cdef inline void affine(int path, int64_t count, const real *x, const real *mean,
                        const real *factor, const real *beta, real *y) noexcept nogil:
    if real is float:
        table_f32(path).affine(count, x, mean, factor, beta, y)
    else:
        table_f64(path).affine(count, x, mean, factor, beta, y)


cdef inline void combine(int path, int operation, int64_t count, const real *a, const real *b,
                         real *y) noexcept nogil:
    if real is float:
        table_f32(path).combine(operation, count, a, b, y)
    else:
        table_f64(path).combine(operation, count, a, b, y)


cdef inline void divide(int path, int64_t count, const real *x, real divisor,
                        real *y) noexcept nogil:
    if real is float:
        table_f32(path).divide(count, x, divisor, y)
    else:
        table_f64(path).divide(count, x, divisor, y)


cdef inline void activate_rows(int path, int activation, int64_t rows, int64_t columns,
                               const real *x, real *y) noexcept nogil:
    if real is float:
        table_f32(path).activate_rows(activation, rows, columns, x, y)
    else:
        table_f64(path).activate_rows(activation, rows, columns, x, y)


cdef inline void pool(int path, const lc_windows *windows, int64_t first, int64_t last,
                      const real *x, const real *divisor, real *y) noexcept nogil:
    if real is float:
        table_f32(path).pool(windows, first, last, x, divisor, y)
    else:
        table_f64(path).pool(windows, first, last, x, divisor, y)


cdef inline void depthwise(int path, const lc_windows *windows, int64_t first, int64_t last,
                           const real *x, const real *w, const real *bias,
                           real *y) noexcept nogil:
    if real is float:
        table_f32(path).depthwise(windows, first, last, x, w, bias, y)
    else:
        table_f64(path).depthwise(windows, first, last, x, w, bias, y)


cdef void affine_task(const Task *t, int64_t first, int64_t last, const real *x,
                      real *y) noexcept nogil:
    # y[i] = (x[i] - mean[i % period]) * factor[i % period] + beta[i % period]
    cdef const real *mean = <const real *>t.mean
    cdef const real *factor = <const real *>t.factor
    cdef const real *beta = <const real *>t.beta
    cdef int64_t at, count
    while first < last:
        at = first % t.period
        count = min(t.period - at, last - first)
        affine(t.path, count, x + first, mean + at, factor + at,
               beta + at if beta != NULL else NULL, y + first)
        first += count


cdef void pool_task(const Task *t, int64_t number, const real *x, real *y) noexcept nogil:
    # y[n,p,c] = max, mean or weighted sum of the window p, for some windows of all rows
    cdef int64_t first = number * t.units
    cdef int64_t last = min(first + t.units, t.rows * t.windows_each)
    cdef int64_t row, start, end
    cdef const real *divisors = <const real *>t.divisors
    cdef const real *kernel = <const real *>t.kernel
    cdef const real *bias = <const real *>t.bias
    while first < last:
        row = first // t.windows_each
        start = first - row * t.windows_each
        end = min(t.windows_each, start + last - first)
        if t.kind == DEPTHWISE:
            depthwise(t.path, &t.windows, start, end, x + row * t.copy.x_row, kernel, bias,
                      y + row * t.size)
            activate_block(t.path, t.activation, t.alpha, (end - start) * t.windows.channels,
                           y + row * t.size + start * t.windows.channels)
        else:
            pool(t.path, &t.windows, start, end, x + row * t.copy.x_row, divisors,
                 y + row * t.size)
        first += end - start


cdef void copy_row(const CopyAxes *copy, int axis, const real *x, real *y) noexcept nogil:
    # y[i . y_steps] = x[i . x_steps] from this axis on
    cdef int64_t size = copy.sizes[axis], x_step = copy.x_steps[axis], y_step = copy.y_steps[axis]
    cdef int64_t i
    if axis + 1 < copy.axes:
        for i in range(size):
            copy_row(copy, axis + 1, x + i * x_step, y + i * y_step)
    elif x_step == 1 and y_step == 1:
        memcpy(y, x, size * sizeof(real))
    else:
        for i in range(size):
            y[i * y_step] = x[i * x_step]


cdef void copy_task(const Task *t, int64_t number, const real *x, real *y) noexcept nogil:
    # some rows
    cdef const CopyAxes *copy = &t.copy
    cdef int64_t row, i
    for row in range(number * t.units, min((number + 1) * t.units, t.rows)):
        if copy.fills:
            for i in range(copy.y_row):
                y[row * copy.y_row + i] = <real>copy.fill
        copy_row(copy, 0, x + row * copy.x_row + copy.x_start, y + row * copy.y_row + copy.y_start)


cdef void run(const Task *t, int64_t number, const real *x, const real *other, real *y,
              void *scratch) noexcept nogil:
    cdef int64_t first = number * ELEMENTS
    cdef int64_t last = min(first + ELEMENTS, t.rows * t.size)
    cdef int64_t blocks, row
    if t.kind <= SPARSE:
        product_task(t, number, x, y, scratch)
    elif t.kind == ACTIVATE:
        if x != y:
            memcpy(y + first, x + first, (last - first) * sizeof(real))
        activate_block(t.path, t.activation, t.alpha, last - first, y + first)
    elif t.kind == ACTIVATE_ROWS:
        row = number * t.units
        activate_rows(t.path, t.activation, min(t.units, t.rows * t.windows_each - row), t.columns,
                      x + row * t.columns, y + row * t.columns)
    elif t.kind == AFFINE:
        affine_task(t, first, last, x, y)
    elif t.kind == COMBINE and t.by_rows:
        for row in range(number * t.units, min((number + 1) * t.units, t.rows)):
            combine(t.path, t.operation, t.size, x + row * t.copy.x_row, other + row * t.other_row,
                    y + row * t.size)
    elif t.kind == COMBINE:
        combine(t.path, t.operation, last - first, x + first, other + first, y + first)
    elif t.kind == DIVIDE:
        divide(t.path, last - first, x + first, <real>t.divisor, y + first)
    elif t.kind == POOL or t.kind == DEPTHWISE:
        pool_task(t, number, x, y)
    elif t.kind == SUM:
        blocks = ceiling(t.columns, COLUMN_BLOCK)
        row = number // blocks
        first = number % blocks * COLUMN_BLOCK
        sum_block(t.path, t.windows_each, t.columns, first,
                  min(<int64_t>COLUMN_BLOCK, t.columns - first), x + row * t.copy.x_row,
                  y + row * t.columns)
    else:
        copy_task(t, number, x, y)


cdef void run_float(const Task *task, int64_t number, char **bases, void *scratch) noexcept nogil:
    run[float](task, number, <const float *>at(task.x, bases), <const float *>at(task.other, bases),
               <float *>at(task.y, bases), scratch)


cdef void run_double(const Task *task, int64_t number, char **bases, void *scratch) noexcept nogil:
    run[double](task, number, <const double *>at(task.x, bases),
                <const double *>at(task.other, bases), <double *>at(task.y, bases), scratch)
