# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, embedsignature=True
"""The positions regime of the direct engine: y[n,f,p] = sum_k x[n,k,p] w[k,f,p], vectors along p.

It is for few filters, where each row of the batch reads each weight once.  A task is a group of
consecutive positions of one row of them.  Their weights are unzipped once into rows of positions
and stay in cache for the whole batch.  If receptive fields step by one number, the input is such a
row already; otherwise it is unzipped too, into one row for each number of the step (phases).
Arguments are validated in ops.py.  Tasks share no output and no sum is split between two, so
results are bit-identical for any number of threads.
"""
from cython.parallel cimport prange
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc

from lcfast.local_conv._flat_geometry cimport FlatGeometry, flat_geometry, receptive_field_offset
from lcfast.local_conv._kernels cimport LC_LINEAR, LC_PIECE, LC_TOTALS, lc_positions
from lcfast.local_conv._position_groups cimport (
    ROW_BLOCK, Groups, Scratch, group_start, groups_of, most_positions, panel_width,
    positions_product, unzip, unzip_outputs, zip_rows,
)
from lcfast.local_conv._simd_paths cimport (
    activate_block, add_piece, lanes_of, real, table_f32, table_f64,
)
from lcfast.local_conv._tiles cimport ALIGNMENT, aligned, ceiling

cdef enum:
    TILE_ROWS = 4 # rows of the batch that the kernels compute at once
    FAR_BYTES = 32 << 20 # from this size of input and output on, the next rows are prefetched


cdef inline void gradient_product(int path, const lc_positions *tile, const real *x,
                                  const real *dy, real *dw) noexcept nogil:
    if real is float:
        table_f32(path).positions_gradient(tile, x, dy, dw)
    else:
        table_f64(path).positions_gradient(tile, x, dy, dw)


# ---------------------------------------------------------------- the input of a group

# How a group reads the input: rows of positions, in place or unzipped.
cdef struct Inputs:
    bint in_place
    int64_t phases, width # unzipped: the step in numbers, and slots for each phase
    int64_t row           # numbers from a row of the batch to the next


cdef inline Inputs inputs_of(const FlatGeometry *g, int64_t positions,
                             int64_t lanes) noexcept nogil:
    cdef Inputs inputs
    inputs.in_place = g.along == 1
    inputs.phases = min(g.along, g.run_length)
    inputs.width = panel_width(positions + (g.run_length - 1) // g.along, lanes)
    inputs.row = g.x_row if inputs.in_place else g.runs * inputs.phases * inputs.width
    return inputs


cdef void tap_offsets(const FlatGeometry *g, const Inputs *inputs, int64_t w_step,
                      int64_t *x_offset, int64_t *w_offset) noexcept nogil:
    # Where each tap starts, in the input of a group and in its weights.
    cdef int64_t run, tap, k = 0
    for run in range(g.runs):
        for tap in range(g.run_length):
            if inputs.in_place:
                x_offset[k] = g.run_offset[run] + tap
            else:
                x_offset[k] = (run * inputs.phases + tap % g.along) * inputs.width + tap // g.along
            w_offset[k] = k * w_step
            k += 1


cdef void unzip_inputs(const FlatGeometry *g, const Inputs *inputs, int path, int64_t rows,
                       int64_t positions, const real *x, real *panel) noexcept nogil:
    # panel[n, run, phase, slot] = x[n, run, slot * along + phase], for all inputs of the group
    cdef int64_t seen = (positions - 1) * g.along + g.run_length
    # If receptive fields overlap, the last slot may hold only the first phases.
    cdef int64_t whole = positions if g.run_length <= g.along else seen // g.along
    cdef int64_t n, run, phase
    cdef const real *from_run
    cdef real *to
    for n in range(rows):
        for run in range(g.runs):
            from_run = x + n * g.x_row + g.run_offset[run]
            to = panel + n * inputs.row + run * inputs.phases * inputs.width
            unzip(path, whole, inputs.width, inputs.phases, from_run, g.along, to)
            if g.run_length > g.along:
                for phase in range(seen - whole * g.along):
                    to[phase * inputs.width + whole] = from_run[whole * g.along + phase]


# ---------------------------------------------------------------- forward

cdef void forward_task(const FlatGeometry *g, int path, int64_t lanes, int activation, double alpha,
                       int64_t rows, int64_t first, int64_t positions, const real *x,
                       const real *kernel, const real *bias, int64_t *x_offset, int64_t *w_offset,
                       const Scratch *scratch, real *memory, real *y) noexcept nogil:
    # y[n,p,f] = activation(sum_k x[n,p,k] kernel[p,k,f] + bias[p,f]), p from `first` on
    cdef int64_t width = panel_width(positions, lanes)
    cdef Inputs inputs = inputs_of(g, positions, lanes)
    cdef bint y_in_place = g.y_filter != 1 or g.filters == 1
    cdef real *weights = memory
    cdef real *bias_panel = weights + scratch.weights
    cdef real *x_panel = bias_panel + scratch.bias
    cdef real *y_panel = x_panel + scratch.x
    cdef real *target
    cdef int64_t row = 0, n, f
    cdef bint far = rows * (g.x_row + g.y_row) * <int64_t>sizeof(real) > FAR_BYTES
    cdef lc_positions tile
    unzip(path, positions, width, g.patch * g.filters, kernel + first * g.kernel_position,
          g.kernel_position, weights)
    tap_offsets(g, &inputs, g.filters * width, x_offset, w_offset)
    tile.filters = g.filters
    tile.positions = positions
    tile.taps = g.patch
    tile.x_offset = x_offset
    tile.w_offset = w_offset
    tile.w_filter = width
    tile.x_row = inputs.row
    tile.y_row = g.y_row if y_in_place else g.filters * width
    tile.y_filter = g.y_filter if y_in_place else width
    tile.bias_filter = tile.y_filter
    if bias != NULL:
        bias += first * g.y_position
        if not y_in_place:
            unzip(path, positions, width, g.filters, bias, g.filters, bias_panel)
            bias = bias_panel
    x += receptive_field_offset(g, first)
    y += first * g.y_position
    while row < rows:
        tile.rows = min(<int64_t>ROW_BLOCK, rows - row)
        tile.x_ahead = 0
        target = y + row * g.y_row if y_in_place else y_panel
        if inputs.in_place:
            if far and row + ROW_BLOCK < rows:
                tile.x_ahead = TILE_ROWS * g.x_row
            positions_product(path, &tile, x + row * g.x_row, weights, bias, target)
        else:
            unzip_inputs(g, &inputs, path, tile.rows, positions, x + row * g.x_row, x_panel)
            positions_product(path, &tile, x_panel, weights, bias, target)
        for n in range(tile.rows):
            if activation != LC_LINEAR:
                for f in range(g.filters):
                    activate_block(path, activation, alpha, positions,
                                   target + n * tile.y_row + f * tile.y_filter)
            if not y_in_place:
                zip_rows(path, positions, width, g.filters, y_panel + n * tile.y_row,
                         y + (row + n) * g.y_row)
        row += tile.rows


cdef ForwardCut forward_cut(const FlatGeometry *g, int64_t rows, int64_t lanes,
                            int64_t vectors) noexcept nogil:
    cdef ForwardCut cut
    cut.groups = groups_of(g.output_columns, lanes, vectors)
    cdef int64_t most = most_positions(&cut.groups)
    cdef int64_t width = panel_width(most, lanes)
    cdef int64_t block = min(<int64_t>ROW_BLOCK, rows)
    cdef Inputs inputs = inputs_of(g, most, lanes)
    cut.tasks = g.positions // g.output_columns * cut.groups.each
    cut.scratch.weights = g.patch * g.filters * width
    cut.scratch.bias = g.filters * width
    cut.scratch.x = 0 if inputs.in_place else block * inputs.row
    cut.scratch.y = block * g.filters * width
    cut.scratch.total = cut.scratch.weights + cut.scratch.bias + cut.scratch.x + cut.scratch.y
    return cut


cdef void forward_group(const FlatGeometry *g, const ForwardCut *cut, int64_t task, int path,
                        int activation, double alpha, int64_t rows, const real *x,
                        const real *kernel, const real *bias, int64_t *offsets, real *memory,
                        real *y) noexcept nogil:
    # y[n,p,f] = activation(sum_k x[n,p,k] kernel[p,k,f] + bias[p,f]), p of one group
    cdef int64_t group = task % cut.groups.each, row = task // cut.groups.each
    cdef int64_t first = group_start(&cut.groups, group)
    forward_task(g, path, cut.groups.lanes, activation, alpha, rows,
                 row * cut.groups.columns + first, group_start(&cut.groups, group + 1) - first,
                 x, kernel, bias, offsets, offsets + g.patch, &cut.scratch, memory, y)


def forward(geometry, int64_t rows, const real[::1] x, const real[::1] kernel,
            const real[::1] bias, real[::1] y, int activation, double alpha, int path,
            int threads, int64_t vectors):
    """y[n,p,f] = activation(sum_k x[n,p,k] kernel[p,k,f] + bias[p,f]).

    Positions are cut into groups of at most `vectors` vectors and a rest.
    """
    cdef FlatGeometry g = flat_geometry(geometry)
    cdef const real *x_start = &x[0]
    cdef const real *kernel_start = &kernel[0]
    cdef const real *bias_start = NULL
    cdef real *y_start = &y[0]
    cdef int64_t lanes = lanes_of(path, sizeof(real))
    cdef ForwardCut cut = forward_cut(&g, rows, lanes, vectors)
    cdef int64_t task
    cdef int thread
    if bias is not None:
        bias_start = &bias[0]
    cdef void *memory = malloc(threads * cut.scratch.total * sizeof(real) + ALIGNMENT)
    cdef int64_t *offsets = <int64_t *>malloc(threads * 2 * g.patch * sizeof(int64_t))
    cdef real *numbers = <real *>aligned(memory)
    if memory == NULL or offsets == NULL:
        free(memory)
        free(offsets)
        raise MemoryError("no memory for the weights of a group of positions")
    for thread in prange(threads, nogil=True, num_threads=threads, schedule="static", chunksize=1):
        for task in range(thread * cut.tasks // threads, (thread + 1) * cut.tasks // threads):
            forward_group(&g, &cut, task, path, activation, alpha, rows, x_start, kernel_start,
                          bias_start, offsets + thread * 2 * g.patch,
                          numbers + thread * cut.scratch.total, y_start)
    free(memory)
    free(offsets)


# ---------------------------------------------------------------- gradient of the kernel

cdef void kernel_gradient_task(const FlatGeometry *g, int path, int64_t lanes, int64_t rows,
                               int64_t first, int64_t positions, const real *x, const real *dy,
                               int64_t *x_offset, int64_t *w_offset, const Scratch *scratch,
                               real *memory, real *dkernel) noexcept nogil:
    # dkernel[p,k,f] = sum_n x[n,p,k] dy[n,p,f], p from `first` on
    cdef int64_t width = panel_width(positions, lanes)
    cdef int64_t whole = positions // lanes * lanes
    cdef int64_t count = g.patch * g.filters
    cdef Inputs inputs = inputs_of(g, positions, lanes)
    cdef bint y_in_place = g.y_filter != 1 or g.filters == 1
    cdef real *weights = memory
    cdef real *x_panel = weights + scratch.weights
    cdef real *y_panel = x_panel + scratch.x
    cdef real *totals = y_panel + scratch.y # of more rows than a piece has terms
    cdef const real *x_here
    cdef const real *dy_here
    cdef int64_t row = 0, i
    cdef lc_positions tile
    tap_offsets(g, &inputs, g.filters * width, x_offset, w_offset)
    tile.filters = g.filters
    tile.positions = positions
    tile.taps = g.patch
    tile.x_offset = x_offset
    tile.w_offset = w_offset
    tile.w_filter = width
    tile.x_row = inputs.row
    tile.y_row = g.y_row if y_in_place else g.filters * width
    tile.y_filter = g.y_filter if y_in_place else width
    while row < rows:
        tile.rows = min(<int64_t>ROW_BLOCK, rows - row)
        tile.accumulate = row % LC_PIECE != 0
        x_here = x + row * g.x_row + receptive_field_offset(g, first)
        dy_here = dy + row * g.y_row + first * g.y_position
        if not inputs.in_place:
            unzip_inputs(g, &inputs, path, tile.rows, positions, x_here, x_panel)
            x_here = x_panel
        if not y_in_place:
            unzip_outputs(g, path, tile.rows, positions, width, dy_here, y_panel)
            dy_here = y_panel
        gradient_product(path, &tile, x_here, dy_here, weights)
        row += tile.rows
        if rows > LC_PIECE and (row == rows or row % LC_PIECE == 0):
            for i in range(count):
                add_piece(path, row, row == rows, ceiling(positions, lanes) * lanes,
                          scratch.weights, weights + i * width, totals + i * width)
    zip_rows(path, whole, width, count, weights, dkernel + first * count)
    if whole < positions: # a vector of its own, which overlaps the one before it
        zip_rows(path, lanes, width, count, weights + whole,
                 dkernel + (first + positions - lanes) * count)


def kernel_gradient(geometry, int64_t rows, const real[::1] x, const real[::1] dy,
                    real[::1] dkernel, int path, int threads, int64_t vectors):
    """dkernel[p,k,f] = sum_n x[n,p,k] dy[n,p,f], n ascending."""
    cdef FlatGeometry g = flat_geometry(geometry)
    cdef const real *x_start = &x[0]
    cdef const real *dy_start = &dy[0]
    cdef real *dkernel_start = &dkernel[0]
    cdef int64_t lanes = lanes_of(path, sizeof(real))
    cdef Groups cut = groups_of(g.output_columns, lanes, vectors)
    cdef int64_t most = most_positions(&cut)
    cdef int64_t width = panel_width(most, lanes)
    cdef int64_t tasks = g.positions // g.output_columns * cut.each
    cdef int64_t task, first
    cdef Inputs inputs = inputs_of(&g, most, lanes)
    cdef int64_t block = min(<int64_t>ROW_BLOCK, rows)
    cdef Scratch scratch
    cdef int thread
    scratch.weights = g.patch * g.filters * width
    scratch.x = 0 if inputs.in_place else block * inputs.row
    scratch.y = block * g.filters * width
    scratch.total = scratch.weights + scratch.x + scratch.y
    if rows > LC_PIECE:
        scratch.total += LC_TOTALS * scratch.weights
    cdef void *memory = malloc(threads * scratch.total * sizeof(real) + ALIGNMENT)
    cdef int64_t *offsets = <int64_t *>malloc(threads * 2 * g.patch * sizeof(int64_t))
    cdef real *numbers = <real *>aligned(memory)
    if memory == NULL or offsets == NULL:
        free(memory)
        free(offsets)
        raise MemoryError("no memory for the weights of a group of positions")
    for thread in prange(threads, nogil=True, num_threads=threads, schedule="static", chunksize=1):
        for task in range(thread * tasks // threads, (thread + 1) * tasks // threads):
            first = group_start(&cut, task % cut.each)
            kernel_gradient_task(&g, path, lanes, rows, task // cut.each * cut.columns + first,
                                 group_start(&cut, task % cut.each + 1) - first, x_start,
                                 dy_start, offsets + thread * 2 * g.patch,
                                 offsets + (thread * 2 + 1) * g.patch, &scratch,
                                 numbers + thread * scratch.total, dkernel_start)
    free(memory)
    free(offsets)
