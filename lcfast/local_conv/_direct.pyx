# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, embedsignature=True
"""The direct engine's loops: which tile, which thread.  Everything here is trusted, see ops.py.

All arrays are C-contiguous, aligned, of one native real type, and flat.  Work is cut into tasks
whose order is fixed by the sizes; a thread takes one contiguous range of them.  No output is
shared by two tasks and no sum is cut between two threads, so the bits do not depend on `threads`.
"""
from cython.parallel cimport prange
from libc.stdint cimport int64_t, uintptr_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy

from lcfast.local_conv._kernels cimport *

cdef extern from *:
    """
    #ifdef LC_OPENMP
    #include <omp.h>
    static int lc_openmp(void) { return 1; }
    #else
    static int lc_openmp(void) { return 0; }
    #endif
    #ifdef LC_OPENMP_PAUSE
    static void lc_release_threads(void) { omp_pause_resource_all(omp_pause_hard); }
    #else
    static void lc_release_threads(void) {}
    #endif
    """
    int lc_openmp() nogil
    void lc_release_threads() nogil

ctypedef fused real:
    float
    double

cdef enum:
    ROW_BLOCK = 48               # rows of the batch in a tile: their windows stay in L1 and L2
    KERNEL_BLOCK_BYTES = 1 << 18 # of the kernel in a task: stays in L2 while the rows pass by
    STREAM_BYTES = 1 << 25       # of an output that no cache holds until it is read
    PACKED_TAPS = 512            # rows of a wide kernel that are packed at a time
    COLUMN_BLOCK = 64            # the least that a wide kernel (Dense) is cut into

PATH_NAMES = tuple([lc_path_names[path].decode() for path in range(LC_PATHS)])
SUPPORTED_PATHS = tuple([path for path in range(LC_PATHS) if lc_path_supported(path)])
HAS_OPENMP = bool(lc_openmp())


cdef const lc_kernels_f32 *table_f32(int path) noexcept nogil:
    return lc_table_f32[path]


cdef const lc_kernels_f64 *table_f64(int path) noexcept nogil:
    return lc_table_f64[path]


cpdef int64_t vector_bytes(int path) noexcept nogil:
    """Bytes in a vector of a SIMD path."""
    return lc_table_f32[path].lanes * sizeof(float)


def release_threads():
    """Let go of OpenMP's pool; the next parallel region of this thread makes a new one."""
    lc_release_threads()


cdef Windows windows_of(geometry):
    cdef Windows g
    g.positions = geometry.positions
    g.output_columns = geometry.output_columns
    g.down, g.along = geometry.window_steps
    g.runs = geometry.runs
    g.run_length = geometry.run_length
    g.patch = geometry.patch_size
    g.filters = geometry.filters
    g.channels = geometry.channels
    if len(geometry.input_size) == 2:
        g.input_rows, g.input_columns = geometry.input_size
        g.kernel_rows, g.kernel_columns = geometry.kernel_size
        g.row_stride, g.column_stride = geometry.strides
    else: # one row of pixels
        g.input_rows = g.kernel_rows = g.row_stride = 1
        g.input_columns, = geometry.input_size
        g.kernel_columns, = geometry.kernel_size
        g.column_stride, = geometry.strides
    g.x_row = g.channels * g.input_rows * g.input_columns
    g.y_row = g.positions * g.filters
    g.y_position = 1 if geometry.channels_first else g.filters
    g.y_filter = g.positions if geometry.channels_first else 1
    g.kernel_position = 0 if geometry.shared else g.patch * g.filters
    g.bias_position = 0 if geometry.shared else g.y_position
    cdef const int64_t[::1] run_offsets = geometry.run_offsets # which the geometry keeps
    cdef const int64_t[::1] kernel_run_offsets = geometry.kernel_run_offsets
    g.run_offset = &run_offsets[0] if g.runs else NULL
    g.kernel_run_offset = &kernel_run_offsets[0] if g.runs else NULL
    g.span = geometry.span
    return g


cdef inline void product(int path, const lc_tile *tile, const real *a, const real *b,
                         const real *bias, real *c) noexcept nogil:
    if real is float:
        lc_table_f32[path].product(tile, a, b, bias, c)
    else:
        lc_table_f64[path].product(tile, a, b, bias, c)


cdef inline void lone(int path, const lc_tile *tile, const real *a, const real *b,
                      const real *bias, real *c) noexcept nogil:
    if real is float:
        lc_table_f32[path].lone(tile, a, b, bias, c)
    else:
        lc_table_f64[path].lone(tile, a, b, bias, c)


cdef inline void activate_block(int path, int activation, double alpha, int64_t count,
                                real *y) noexcept nogil:
    if real is float:
        lc_table_f32[path].activate(activation, <float>alpha, count, y)
    else:
        lc_table_f64[path].activate(activation, alpha, count, y)


# ---------------------------------------------------------------- forward

# How the forward product is cut: (groups of positions) x (blocks of columns) x (blocks of rows).
cdef struct ForwardTasks:
    int64_t group, column_block, row_block
    int64_t groups, column_blocks, row_blocks
    bint stream # the output, past the caches


cdef ForwardTasks forward_tasks(const Windows *g, int64_t rows, int64_t item_bytes,
                                int threads) noexcept nogil:
    cdef ForwardTasks cut
    cdef int64_t kernel_bytes = max(g.patch * g.filters * item_bytes, 1)
    cut.group = max(KERNEL_BLOCK_BYTES // kernel_bytes, 1)
    cut.group = min(cut.group, max(ceiling(g.positions, threads), 1))
    cut.column_block = g.filters
    if kernel_bytes > KERNEL_BLOCK_BYTES and g.positions < threads * 4:
        cut.column_block = KERNEL_BLOCK_BYTES // max(g.patch * item_bytes, 1)
        cut.column_block = max(cut.column_block // COLUMN_BLOCK * COLUMN_BLOCK, COLUMN_BLOCK)
    cut.row_block = ROW_BLOCK
    cut.groups = ceiling(g.positions, cut.group)
    cut.column_blocks = ceiling(g.filters, cut.column_block)
    cut.row_blocks = ceiling(rows, cut.row_block)
    cut.stream = False
    return cut


cdef int64_t forward_of_one_row(const Windows *g, lc_tile tile, int path, int64_t first,
                                int64_t last, int64_t column, const real *x, const real *kernel,
                                const real *bias, real *y) noexcept nogil:
    # y[p,f] = sum_k x[p,k] kernel[p,k,f] + bias[p,f], several positions at once.  Returns the first
    # position that is left: where a vector would reach beyond the end of the kernel.
    cdef int64_t lanes = vector_bytes(path) // sizeof(real)
    cdef int64_t beyond = ceiling(tile.columns, lanes) * lanes - tile.columns
    cdef int64_t position = first
    last = min(last, g.positions - ceiling(beyond, max(g.kernel_position, <int64_t>1)))
    tile.a_row_step = g.along
    tile.b_apart = g.kernel_position
    tile.c_row_step = g.y_position
    while position < last:
        tile.rows = min(last - position, g.output_columns - position % g.output_columns)
        lone(path, &tile, x + window_offset(g, position),
             kernel + position * g.kernel_position + column,
             bias + position * g.bias_position + column * g.y_filter if bias != NULL else NULL,
             y + position * g.y_position)
        position += tile.rows
    return max(position, first)


cdef void forward_task(const Windows *g, const ForwardTasks *cut, int64_t task, int path,
                       int activation, double alpha, int64_t rows, const int64_t *run_offset,
                       const real *x, const real *kernel, const real *bias,
                       real *y) noexcept nogil:
    # y[n,p,f] = activation(sum_k x[n,p,k] kernel[p,k,f] + bias[p,f])
    cdef int64_t group = task // (cut.column_blocks * cut.row_blocks)
    cdef int64_t column = task // cut.row_blocks % cut.column_blocks * cut.column_block
    cdef int64_t row = task % cut.row_blocks * cut.row_block
    cdef int64_t first = group * cut.group
    cdef int64_t last = min(first + cut.group, g.positions)
    cdef int64_t position, n, f
    cdef const real *bias_here
    cdef lc_tile tile = empty_tile(g.run_offset, g.kernel_run_offset)
    tile.rows = min(cut.row_block, rows - row)
    tile.columns = min(cut.column_block, g.filters - column)
    tile.runs = g.runs
    tile.run_length = g.run_length
    tile.a_row_step = g.x_row
    tile.a_step = 1
    tile.b_row_step = g.filters
    tile.c_row_step = g.y_row
    tile.c_column_step = g.y_filter
    tile.stream = cut.stream
    x += row * g.x_row
    y += row * g.y_row + column * g.y_filter
    position = first
    if tile.rows == 1 and g.kernel_position != 0:
        position = forward_of_one_row(g, tile, path, first, last, column, x, kernel, bias, y)
    for position in range(position, last):
        bias_here = NULL
        if bias != NULL:
            bias_here = bias + position * g.bias_position + column * g.y_filter
        product(path, &tile, x + window_offset(g, position),
                kernel + position * g.kernel_position + column, bias_here,
                y + position * g.y_position)
    if activation == LC_LINEAR:
        return
    for n in range(tile.rows):
        if g.y_filter == 1 and tile.columns == g.filters:
            activate_block(path, activation, alpha, (last - first) * g.filters,
                           y + n * g.y_row + first * g.y_position)
        elif g.y_filter == 1:
            for position in range(first, last):
                activate_block(path, activation, alpha, tile.columns,
                               y + n * g.y_row + position * g.y_position)
        else:
            for f in range(tile.columns):
                activate_block(path, activation, alpha, last - first,
                               y + n * g.y_row + f * g.y_filter + first)


cdef void forward_of_columns(const Windows *g, int path, int activation, double alpha,
                             int64_t rows, int64_t column, const real *x, const real *kernel,
                             const real *bias, real *packed, real *y) noexcept nogil:
    # y[n,f] = activation(sum_k x[n,k] kernel[k,f] + bias[f]) for some columns of a wide kernel,
    # which are packed: rows of the kernel far apart fall upon each other in the cache.
    cdef int64_t k = 0, row, n
    cdef int64_t start = 0
    cdef lc_tile tile = empty_tile(&start, &start)
    tile.columns = min(<int64_t>COLUMN_BLOCK, g.filters - column)
    tile.a_row_step = g.x_row
    tile.a_step = 1
    tile.b_row_step = COLUMN_BLOCK
    tile.b_overrun = 1
    tile.c_row_step = g.y_row
    while k < g.patch:
        tile.run_length = min(<int64_t>PACKED_TAPS, g.patch - k)
        tile.accumulate = k > 0
        for n in range(tile.run_length):
            memcpy(packed + n * COLUMN_BLOCK, kernel + (k + n) * g.filters + column,
                   tile.columns * sizeof(real))
        row = 0
        while row < rows:
            tile.rows = min(<int64_t>ROW_BLOCK, rows - row)
            product(path, &tile, x + row * g.x_row + k, packed,
                    bias + column if bias != NULL and k + tile.run_length == g.patch else NULL,
                    y + row * g.y_row + column)
            row += tile.rows
        k += tile.run_length
    if activation != LC_LINEAR:
        for n in range(rows):
            activate_block(path, activation, alpha, tile.columns, y + n * g.y_row + column)


def forward_wide(geometry, int64_t rows, const real[::1] x, const real[::1] kernel,
                 const real[::1] bias, real[::1] y, int activation, double alpha,
                 int path, int threads):
    """y[n,f] = activation(sum_k x[n,k] kernel[k,f] + bias[f]): one position, one run, many f."""
    cdef Windows g = windows_of(geometry)
    cdef const real *x_start = &x[0]
    cdef const real *kernel_start = &kernel[0]
    cdef const real *bias_start = NULL
    cdef real *y_start = &y[0]
    cdef int64_t tasks = ceiling(g.filters, COLUMN_BLOCK)
    cdef int64_t task
    cdef int thread
    # Zeros: the last columns may end before a vector does.
    cdef real *packed = <real *>calloc(threads * PACKED_TAPS * COLUMN_BLOCK, sizeof(real))
    if packed == NULL:
        raise MemoryError("no memory for one packed block of the kernel")
    if bias is not None:
        bias_start = &bias[0]
    for thread in prange(threads, nogil=True, num_threads=threads, schedule="static", chunksize=1):
        for task in range(thread * tasks // threads, (thread + 1) * tasks // threads):
            forward_of_columns(&g, path, activation, alpha, rows, task * COLUMN_BLOCK, x_start,
                               kernel_start, bias_start,
                               packed + thread * PACKED_TAPS * COLUMN_BLOCK, y_start)
    free(packed)


def forward(geometry, int64_t rows, const real[::1] x, const real[::1] kernel,
            const real[::1] bias, real[::1] y, int activation, double alpha,
            int path, int threads):
    """y[n,p,f] = activation(sum_k x[n,p,k] kernel[p,k,f] + bias[p,f])."""
    cdef Windows g = windows_of(geometry)
    cdef const int64_t[::1] run_offsets = geometry.run_offsets
    cdef const int64_t *run_offset = &run_offsets[0]
    cdef const real *x_start = &x[0]
    cdef const real *kernel_start = &kernel[0]
    cdef const real *bias_start = NULL
    cdef real *y_start = &y[0]
    cdef ForwardTasks cut = forward_tasks(&g, rows, sizeof(real), threads)
    cdef int64_t tasks = cut.groups * cut.column_blocks * cut.row_blocks
    cdef int64_t vector = vector_bytes(path)
    cut.stream = rows * g.y_row * sizeof(real) >= STREAM_BYTES and activation == LC_LINEAR \
        and <uintptr_t>y_start % vector == 0 and g.filters * sizeof(real) % vector == 0 \
        and cut.column_block * sizeof(real) % vector == 0
    cdef int64_t task
    cdef int thread
    if bias is not None:
        bias_start = &bias[0]
    for thread in prange(threads, nogil=True, num_threads=threads, schedule="static", chunksize=1):
        for task in range(thread * tasks // threads, (thread + 1) * tasks // threads):
            forward_task(&g, &cut, task, path, activation, alpha, rows, run_offset,
                         x_start, kernel_start, bias_start, y_start)
        if cut.stream:
            lc_finish_streams()


# ---------------------------------------------------------------- gradient of the input

cdef void transpose(const real *block, int64_t steps, int64_t filters, int64_t columns,
                    real *transposed) noexcept nogil:
    # transposed[f,k] = block[k,f] for the `columns` taps of one piece of a run
    cdef int64_t k, f
    for f in range(filters):
        for k in range(columns):
            transposed[f * columns + k] = block[k * steps + f]


cdef void input_gradient_rows(const Windows *g, int path, int64_t rows, int64_t first_column,
                              int64_t last_column, const int64_t *run_offset, const real *dy,
                              const real *kernel, real *transposed, real *dx) noexcept nogil:
    # dx[n, tap(p,k)] += dy[n,p,f] kernel[p,k,f]: one chain over p, then f, both ascending.
    # Only the taps first_column..last_column of each run: what one task owns of a lone position.
    cdef int64_t position, run, column, row
    cdef int64_t dy_start = 0
    cdef const real *block
    cdef real *target
    cdef lc_tile tile = empty_tile(&dy_start, &dy_start)
    tile.run_length = g.filters
    tile.a_row_step = g.y_row
    tile.a_step = g.y_filter
    tile.c_row_step = g.x_row
    tile.accumulate = 1
    for position in range(g.positions):
        for run in range(g.runs):
            column = first_column
            while column < last_column:
                tile.columns = min(<int64_t>COLUMN_BLOCK, last_column - column)
                tile.b_row_step = tile.columns
                block = kernel + position * g.kernel_position \
                    + (run * g.run_length + column) * g.filters
                transpose(block, g.filters, g.filters, tile.columns, transposed)
                target = dx + window_offset(g, position) + run_offset[run] + column
                row = 0
                while row < rows:
                    tile.rows = min(<int64_t>ROW_BLOCK, rows - row)
                    product(path, &tile, dy + row * g.y_row + position * g.y_position, transposed,
                            <const real *>NULL, target + row * g.x_row)
                    row += tile.rows
                column += tile.columns


def input_gradient(geometry, int64_t rows, const real[::1] dy, const real[::1] kernel,
                   real[::1] dx, int path, int threads):
    """dx[n, tap(p,k)] += dy[n,p,f] kernel[p,k,f]; `dx` holds zeros when this is called."""
    cdef Windows g = windows_of(geometry)
    cdef const int64_t[::1] run_offsets = geometry.run_offsets
    cdef const int64_t *run_offset = &run_offsets[0]
    cdef const real *dy_start = &dy[0]
    cdef const real *kernel_start = &kernel[0]
    cdef real *dx_start = &dx[0]
    # Windows overlap, so positions cannot be shared out; a lone window (Dense) can be cut.
    cdef bint lone = g.positions == 1
    cdef int64_t row_block = rows if lone else ceiling(rows, threads)
    cdef int64_t column_block = COLUMN_BLOCK if lone else g.run_length
    cdef int64_t row_blocks = ceiling(rows, row_block)
    cdef int64_t column_blocks = ceiling(g.run_length, column_block)
    cdef int64_t tasks = row_blocks * column_blocks
    cdef int64_t task, row, column
    cdef int64_t scratch = g.filters * COLUMN_BLOCK
    cdef int thread
    cdef real *transposed = <real *>malloc(threads * scratch * sizeof(real))
    if transposed == NULL:
        raise MemoryError("no memory for the transposed kernel of one block")
    for thread in prange(threads, nogil=True, num_threads=threads, schedule="static", chunksize=1):
        for task in range(thread * tasks // threads, (thread + 1) * tasks // threads):
            row = task // column_blocks * row_block
            column = task % column_blocks * column_block
            input_gradient_rows(&g, path, min(row_block, rows - row), column,
                                min(column + column_block, g.run_length), run_offset,
                                dy_start + row * g.y_row, kernel_start,
                                transposed + thread * scratch, dx_start + row * g.x_row)
    free(transposed)


# ---------------------------------------------------------------- sums

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
    product(path, &tile, &one, values + first, <const real *>NULL, total + first)


def sum_rows(int64_t rows, int64_t columns, const real[::1] values, real[::1] total,
             int path, int threads):
    """total[j] = sum_n values[n,j], one chain over n ascending."""
    cdef const real *values_start = &values[0]
    cdef real *total_start = &total[0]
    cdef int64_t tasks = ceiling(columns, COLUMN_BLOCK)
    cdef int64_t task, first
    for task in prange(tasks, nogil=True, num_threads=threads, schedule="static"):
        first = task * COLUMN_BLOCK
        sum_block(path, rows, columns, first, min(<int64_t>COLUMN_BLOCK, columns - first),
                  values_start, total_start)
