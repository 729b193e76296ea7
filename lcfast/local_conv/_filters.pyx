# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, embedsignature=True
"""The filters regime of the direct engine: y[n,p,f] = sum_k x[n,p,k] w[p,k,f], vectors along f.

Arguments are validated in ops.py: all arrays are C-contiguous, aligned and of one native real type.
The sizes alone determine how work is cut into tasks; each thread computes one contiguous range of
them.  Tasks share no output and no sum is split between two, so results are bit-identical for any
number of threads.
"""
from cython.parallel cimport prange
from libc.stdint cimport int64_t, uintptr_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy

from lcfast.local_conv._arrays cimport start_of
from lcfast.local_conv._flat_geometry cimport FlatGeometry, flat_geometry, receptive_field_offset
from lcfast.local_conv._kernels cimport LC_AVX2, LC_AVX512, LC_LINEAR, LC_PIECE, LC_TOTALS, lc_tile
from lcfast.local_conv._simd_paths cimport (
    activate_block, add_piece, finish_streams, product, real, table_f32, table_f64, vector_bytes,
)
from lcfast.local_conv._tiles cimport ceiling, empty_tile

cdef enum:
    ROW_BLOCK = 48               # rows of the batch in a tile: their inputs stay in L1 and L2
    FULL_TILE = 8                # rows of a tile that saturate the multipliers
    KERNEL_BLOCK_BYTES = 1 << 18 # of the kernel in a task: stays in L2 for all rows
    STREAM_BYTES = 1 << 25       # from this output size on, streaming stores
    FEW_ROWS = 6                 # below so many rows of the batch, packing costs more than it saves
    STEP_TAPS = 16               # taps of a wide kernel in one step, for few rows: parts of a piece
    STEP_NUMBERS = 1 << 21       # size of a kernel that no private cache holds
    STEP_COLUMNS = 1 << 13       # filters whose sums stay in L1 during the steps
    STEP_AHEAD = 256             # prefetch distance

PACKED_FROM_ROWS = FEW_ROWS


cdef inline void lone(int path, const lc_tile *tile, const real *a, const real *b,
                      const real *bias, real *c) noexcept nogil:
    if real is float:
        table_f32(path).lone(tile, a, b, bias, c)
    else:
        table_f64(path).lone(tile, a, b, bias, c)


# ---------------------------------------------------------------- forward

cdef inline bint positions_are_rows(const FlatGeometry *g) noexcept nogil:
    # Whether the positions along a row of pixels, which share a kernel, are the rows of a tile.
    return g.kernel_position == 0 and g.output_columns >= FULL_TILE and g.y_filter == 1


cdef inline bint in_steps(const FlatGeometry *g, int64_t rows) noexcept nogil:
    # Whether a wide kernel is read in place, a few taps at a time: nothing is read twice.
    return g.positions == 1 and g.runs == 1 and rows < FEW_ROWS \
        and g.filters >= 2 * COLUMN_BLOCK and g.patch * g.filters >= STEP_NUMBERS


cdef ForwardTasks forward_tasks(const FlatGeometry *g, int64_t rows, int64_t item_bytes,
                                int threads) noexcept nogil:
    cdef ForwardTasks cut
    cdef int64_t kernel_bytes = max(g.patch * g.filters * item_bytes, 1)
    cut.group = max(KERNEL_BLOCK_BYTES // kernel_bytes, 1)
    if positions_are_rows(g):
        cut.group = max(cut.group, g.output_columns)
    cut.group = min(cut.group, max(ceiling(g.positions, threads), 1))
    cut.column_block = g.filters
    if kernel_bytes > KERNEL_BLOCK_BYTES and g.positions < threads * 4:
        cut.column_block = KERNEL_BLOCK_BYTES // max(g.patch * item_bytes, 1)
        cut.column_block = max(cut.column_block // COLUMN_BLOCK * COLUMN_BLOCK, COLUMN_BLOCK)
    if in_steps(g, rows):
        cut.column_block = ceiling(ceiling(g.filters, threads), COLUMN_BLOCK) * COLUMN_BLOCK
        cut.column_block = min(cut.column_block, <int64_t>STEP_COLUMNS)
    cut.row_block = ROW_BLOCK
    cut.groups = ceiling(g.positions, cut.group)
    cut.column_blocks = ceiling(g.filters, cut.column_block)
    cut.row_blocks = ceiling(rows, cut.row_block)
    cut.stream = cut.overrun = False
    return cut


cdef int64_t forward_of_one_row(const FlatGeometry *g, lc_tile tile, int path, int64_t first,
                                int64_t last, int64_t column, const real *x, const real *kernel,
                                const real *bias, real *y) noexcept nogil:
    # y[p,f] = sum_k x[p,k] kernel[p,k,f] + bias[p,f], several positions at once.  Returns the first
    # position left to do: from there on the last vector load would over-read past the kernel.
    if path == LC_AVX512 and tile.columns * <int64_t>sizeof(real) <= vector_bytes(LC_AVX2):
        path = LC_AVX2 # half a vector is enough, and it crosses fewer cache lines
    cdef int64_t lanes = vector_bytes(path) // sizeof(real)
    cdef int64_t beyond = ceiling(tile.columns, lanes) * lanes - tile.columns
    cdef int64_t position = first
    last = min(last, g.positions - ceiling(beyond, max(g.kernel_position, <int64_t>1)))
    tile.a_row_step = g.along
    tile.b_apart = g.kernel_position
    tile.c_row_step = g.y_position
    while position < last:
        tile.rows = min(last - position, g.output_columns - position % g.output_columns)
        lone(path, &tile, x + receptive_field_offset(g, position),
             kernel + position * g.kernel_position + column,
             bias + position * g.bias_position + column * g.y_filter if bias != NULL else NULL,
             y + position * g.y_position)
        position += tile.rows
    return max(position, first)


cdef void add_rows(int path, int64_t terms, bint last, int64_t rows, int64_t columns,
                   const real *bias, real *y, int64_t y_row, real *totals) noexcept nogil:
    # Adds a piece, in rows of y, to `totals`; after the last one, adds the bias to y.
    cdef int64_t n, f
    for n in range(rows):
        add_piece(path, terms, last, columns, rows * columns, y + n * y_row, totals + n * columns)
        if last and bias != NULL:
            for f in range(columns):
                y[n * y_row + f] += bias[f]


cdef bint forward_of_steps(const FlatGeometry *g, lc_tile tile, int path, const real *x,
                           const real *kernel, const real *bias, real *y) noexcept nogil:
    # y[n,f] = sum_k x[n,k] kernel[k,f] + bias[f], a few k at a time.  Whether there was memory.
    cdef int64_t k = 0
    cdef bint cut = g.patch > LC_PIECE, last = False
    cdef real *totals = NULL
    if cut:
        totals = <real *>malloc(LC_TOTALS * tile.rows * tile.columns * sizeof(real))
        if totals == NULL:
            return False
    tile.b_ahead = STEP_AHEAD
    while k < g.patch:
        tile.run_length = min(<int64_t>STEP_TAPS, g.patch - k)
        tile.accumulate = k % LC_PIECE != 0
        last = k + tile.run_length == g.patch
        product(path, &tile, x + k, kernel + k * g.filters, bias if last and not cut else NULL, y)
        k += tile.run_length
        if cut and (last or k % LC_PIECE == 0):
            add_rows(path, k, last, tile.rows, tile.columns, bias, y, g.y_row, totals)
    free(totals)
    return True


cdef void forward_of_position_rows(const FlatGeometry *g, lc_tile tile, int path, int64_t first,
                             int64_t last, const real *x, const real *kernel, const real *bias,
                             real *y) noexcept nogil:
    # y[n,p,f] = sum_k x[n,p,k] kernel[k,f] + bias[f], the positions of a row of pixels at once
    cdef int64_t rows = tile.rows, position, n
    tile.a_row_step = g.along
    tile.c_row_step = g.y_position
    tile.b_ahead = 0
    for n in range(rows):
        position = first
        while position < last:
            tile.rows = min(last - position, g.output_columns - position % g.output_columns)
            product(path, &tile, x + n * g.x_row + receptive_field_offset(g, position), kernel,
                    bias, y + n * g.y_row + position * g.y_position)
            position += tile.rows


cdef void forward_task(const FlatGeometry *g, const ForwardTasks *cut, int64_t task, int path,
                       int activation, double alpha, int64_t rows,
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
    tile.b_overrun = cut.overrun
    x += row * g.x_row
    y += row * g.y_row + column * g.y_filter
    position = first
    if positions_are_rows(g):
        forward_of_position_rows(g, tile, path, first, last, x, kernel + column,
                           bias + column if bias != NULL else NULL, y)
        position = last
    elif in_steps(g, rows) \
            and forward_of_steps(g, tile, path, x, kernel + column,
                                 bias + column * g.y_filter if bias != NULL else NULL, y):
        position = last
    elif tile.rows == 1 and g.kernel_position != 0:
        position = forward_of_one_row(g, tile, path, first, last, column, x, kernel, bias, y)
    for position in range(position, last):
        bias_here = NULL
        if bias != NULL:
            bias_here = bias + position * g.bias_position + column * g.y_filter
        # Later rows read the next kernel from L2; a prefetch from unmapped memory costs 100 ns.
        tile.b_ahead = g.kernel_position if row == 0 and position + 1 < g.positions else 0
        product(path, &tile, x + receptive_field_offset(g, position),
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


cdef void forward_of_columns(const FlatGeometry *g, int path, int activation, double alpha,
                             int64_t rows, int64_t column, const real *x, const real *kernel,
                             const real *bias, real *packed, real *totals,
                             real *y) noexcept nogil:
    # y[n,f] = activation(sum_k x[n,k] kernel[k,f] + bias[f]) for some columns of a wide kernel,
    # which are packed: rows of a wide kernel conflict in the cache sets.
    cdef int64_t k = 0, row, n
    cdef int64_t start = 0
    cdef bint cut = g.patch > LC_PIECE, last
    if bias != NULL:
        bias += column
    cdef lc_tile tile = empty_tile(&start, &start)
    tile.columns = min(<int64_t>COLUMN_BLOCK, g.filters - column)
    tile.a_row_step = g.x_row
    tile.a_step = 1
    tile.b_row_step = COLUMN_BLOCK
    tile.b_overrun = 1
    tile.c_row_step = g.y_row
    while k < g.patch:
        tile.run_length = min(<int64_t>PACKED_TAPS, g.patch - k)
        last = k + tile.run_length == g.patch
        for n in range(tile.run_length):
            memcpy(packed + n * COLUMN_BLOCK, kernel + (k + n) * g.filters + column,
                   tile.columns * sizeof(real))
        row = 0
        while row < rows:
            tile.rows = min(<int64_t>ROW_BLOCK, rows - row)
            product(path, &tile, x + row * g.x_row + k, packed,
                    bias if last and not cut else NULL, y + row * g.y_row + column)
            row += tile.rows
        k += tile.run_length
        if cut:
            add_rows(path, k, last, rows, tile.columns, bias, y + column, g.y_row, totals)
    if activation != LC_LINEAR:
        for n in range(rows):
            activate_block(path, activation, alpha, tile.columns, y + n * g.y_row + column)


cdef int64_t wide_scratch(const FlatGeometry *g, int64_t rows) noexcept nogil:
    # Numbers that a thread needs: what is packed, and totals.  Rows of a sum that is cut are computed
    # PACKED_ROWS at a time, so that its totals stay small.
    if g.patch <= LC_PIECE:
        return PACKED_TAPS * COLUMN_BLOCK
    return (PACKED_TAPS + LC_TOTALS * min(rows, <int64_t>PACKED_ROWS)) * COLUMN_BLOCK


def forward_wide(geometry, int64_t rows, const real[::1] x, const real[::1] kernel,
                 const real[::1] bias, real[::1] y, int activation, double alpha,
                 int path, int threads):
    """y[n,f] = activation(sum_k x[n,k] kernel[k,f] + bias[f]): one position, one run, many f."""
    cdef FlatGeometry g = flat_geometry(geometry)
    cdef const real *x_start = &x[0]
    cdef const real *kernel_start = &kernel[0]
    cdef const real *bias_start = NULL
    cdef real *y_start = &y[0]
    cdef int64_t tasks = ceiling(g.filters, COLUMN_BLOCK)
    cdef int64_t task, row
    cdef int thread
    cdef int64_t block = min(rows, <int64_t>PACKED_ROWS) if g.patch > LC_PIECE else rows
    cdef int64_t scratch = wide_scratch(&g, rows)
    # Zeros: the last vector load of a row may over-read its columns.
    cdef real *packed = <real *>calloc(threads * scratch, sizeof(real))
    if packed == NULL:
        raise MemoryError("no memory for one packed block of the kernel")
    if bias is not None:
        bias_start = &bias[0]
    for thread in prange(threads, nogil=True, num_threads=threads, schedule="static", chunksize=1):
        for task in range(thread * tasks // threads, (thread + 1) * tasks // threads):
            row = 0
            while row < rows:
                forward_of_columns(&g, path, activation, alpha, min(block, rows - row),
                                   task * COLUMN_BLOCK, x_start + row * g.x_row, kernel_start,
                                   bias_start, packed + thread * scratch,
                                   packed + thread * scratch + PACKED_TAPS * COLUMN_BLOCK,
                                   y_start + row * g.y_row)
                row = row + block
    free(packed)


cdef int forward_all(const FlatGeometry *g, int64_t rows, const real *x_start,
                     const real *kernel_start, const real *bias_start, real *y_start,
                     int activation, double alpha, int path, int threads) except -1:
    cdef ForwardTasks cut = forward_tasks(g, rows, sizeof(real), threads)
    cdef int64_t tasks = cut.groups * cut.column_blocks * cut.row_blocks
    cdef int64_t vector = vector_bytes(path)
    cut.stream = rows * g.y_row * sizeof(real) >= STREAM_BYTES and activation == LC_LINEAR \
        and <uintptr_t>y_start % vector == 0 and g.filters * sizeof(real) % vector == 0 \
        and cut.column_block * sizeof(real) % vector == 0
    cdef int64_t task
    cdef int thread
    if threads == 1: # a parallel region would cost a quarter of a microsecond
        with nogil:
            for task in range(tasks):
                forward_task(g, &cut, task, path, activation, alpha, rows,
                             x_start, kernel_start, bias_start, y_start)
            if cut.stream:
                finish_streams()
        return 0
    for thread in prange(threads, nogil=True, num_threads=threads, schedule="static", chunksize=1):
        for task in range(thread * tasks // threads, (thread + 1) * tasks // threads):
            forward_task(g, &cut, task, path, activation, alpha, rows,
                         x_start, kernel_start, bias_start, y_start)
        if cut.stream:
            finish_streams()
    return 0


def forward_blocks(geometry, int64_t rows, int item_bytes, int threads):
    """The largest numbers of positions, filters and rows of the batch in a task of `forward`."""
    cdef FlatGeometry g = flat_geometry(geometry)
    cdef ForwardTasks cut = forward_tasks(&g, rows, item_bytes, threads)
    return min(cut.group, g.positions), min(cut.column_block, g.filters), min(cut.row_block, rows)


cpdef forward(geometry, int64_t rows, int item_bytes, x, kernel, bias, y, int activation,
              double alpha, int path, int threads):
    """y[n,p,f] = activation(sum_k x[n,p,k] kernel[p,k,f] + bias[p,f])."""
    cdef FlatGeometry g = flat_geometry(geometry)
    cdef void *x_start = start_of(x, item_bytes)
    cdef void *kernel_start = start_of(kernel, item_bytes)
    cdef void *bias_start = NULL if bias is None else start_of(bias, item_bytes)
    cdef void *y_start = start_of(y, item_bytes)
    if item_bytes == sizeof(float):
        forward_all[float](&g, rows, <const float *>x_start, <const float *>kernel_start,
                           <const float *>bias_start, <float *>y_start, activation, alpha, path,
                           threads)
    else:
        forward_all[double](&g, rows, <const double *>x_start, <const double *>kernel_start,
                            <const double *>bias_start, <double *>y_start, activation, alpha,
                            path, threads)
