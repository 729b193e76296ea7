# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, embedsignature=True
"""The direct engine with vectors along output positions: few filters, each weight met once a row.

A task is a group of positions side by side in one row of them.  Their weights are unzipped once
into rows of positions and stay in cache while the batch passes by.  Where windows slide by one
number, the input is such a row already; else it is unzipped too, into as many rows as a window
steps numbers (phases).  Everything here is trusted, see ops.py.  Tasks share no output and no sum
is cut between two, so the bits do not depend on `threads`.
"""
from cython.parallel cimport prange
from libc.stdint cimport int64_t, uintptr_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from lcfast.local_conv._direct cimport (
    Windows, ceiling, table_f32, table_f64, window_offset, windows_of,
)
from lcfast.local_conv._kernels cimport LC_LINEAR, lc_positions

ctypedef fused real:
    float
    double

cdef enum:
    ALIGNMENT = 64
    ROW_BLOCK = 8 # rows of the batch whose part of a group is in cache together
    TILE_ROWS = 4 # of which the kernels compute so many at once
    FAR_BYTES = 32 << 20 # of input and output: the next rows are fetched ahead of their use


cdef inline void unzip(int path, int64_t positions, int64_t width, int64_t count, const real *x,
                       int64_t x_step, real *panel) noexcept nogil:
    if real is float:
        table_f32(path).unzip(positions, width, count, x, x_step, panel)
    else:
        table_f64(path).unzip(positions, width, count, x, x_step, panel)


cdef inline void zip_rows(int path, int64_t positions, int64_t width, int64_t count,
                          const real *panel, real *y) noexcept nogil:
    if real is float:
        table_f32(path).zip(positions, width, count, panel, y)
    else:
        table_f64(path).zip(positions, width, count, panel, y)


cdef inline void product(int path, const lc_positions *tile, const real *x, const real *w,
                         const real *bias, real *y) noexcept nogil:
    if real is float:
        table_f32(path).positions(tile, x, w, bias, y)
    else:
        table_f64(path).positions(tile, x, w, bias, y)


cdef inline void gradient_product(int path, const lc_positions *tile, const real *x,
                                  const real *dy, real *dw) noexcept nogil:
    if real is float:
        table_f32(path).positions_gradient(tile, x, dy, dw)
    else:
        table_f64(path).positions_gradient(tile, x, dy, dw)


cdef inline void activate_block(int path, int activation, double alpha, int64_t count,
                                real *y) noexcept nogil:
    if real is float:
        table_f32(path).activate(activation, <float>alpha, count, y)
    else:
        table_f64(path).activate(activation, alpha, count, y)


cdef inline int64_t lanes_of(int path, int64_t item_bytes) noexcept nogil:
    return table_f32(path).lanes if item_bytes == 4 else table_f64(path).lanes


# How rows of `columns` positions, or of phases of the input, are cut into groups: whole vectors,
# but for the last group, which has the rest as well.
cdef struct Groups:
    int64_t columns, lanes, vectors, each


cdef inline Groups groups_of(int64_t columns, int64_t lanes, int64_t vectors) noexcept nogil:
    cdef Groups cut
    cut.columns = columns
    cut.lanes = lanes
    cut.vectors = columns // lanes
    cut.each = ceiling(cut.vectors, vectors)
    return cut


cdef inline int64_t group_start(const Groups *cut, int64_t group) noexcept nogil:
    if group == cut.each:
        return cut.columns
    return group * cut.vectors // cut.each * cut.lanes


cdef inline int64_t most_positions(const Groups *cut) noexcept nogil:
    return (ceiling(cut.vectors, cut.each) + 1) * cut.lanes


cdef inline int64_t panel_width(int64_t positions, int64_t lanes) noexcept nogil:
    # An odd number of vectors: rows a power of two apart would meet in a few sets of the caches.
    return (ceiling(positions, lanes) | 1) * lanes


# ---------------------------------------------------------------- the input of a group

# How a group sees the input: rows of positions, in place or unzipped.
cdef struct Inputs:
    bint in_place
    int64_t phases, width # unzipped: numbers from one window to the next, and slots for each
    int64_t row           # numbers from a row of the batch to the next


cdef inline Inputs inputs_of(const Windows *g, int64_t positions, int64_t lanes) noexcept nogil:
    cdef Inputs inputs
    inputs.in_place = g.along == 1
    inputs.phases = min(g.along, g.run_length)
    inputs.width = panel_width(positions + (g.run_length - 1) // g.along, lanes)
    inputs.row = g.x_row if inputs.in_place else g.runs * inputs.phases * inputs.width
    return inputs


cdef void tap_offsets(const Windows *g, const Inputs *inputs, int64_t w_step, int64_t *x_offset,
                      int64_t *w_offset) noexcept nogil:
    # Where each tap of a window starts, in the input of a group and in its weights.
    cdef int64_t run, tap, k = 0
    for run in range(g.runs):
        for tap in range(g.run_length):
            if inputs.in_place:
                x_offset[k] = g.run_offset[run] + tap
            else:
                x_offset[k] = (run * inputs.phases + tap % g.along) * inputs.width + tap // g.along
            w_offset[k] = k * w_step
            k += 1


cdef void unzip_inputs(const Windows *g, const Inputs *inputs, int path, int64_t rows,
                       int64_t positions, const real *x, real *panel) noexcept nogil:
    # panel[n, run, phase, slot] = x[n, run, slot * along + phase], of all that the windows see
    cdef int64_t seen = (positions - 1) * g.along + g.run_length
    # Of overlapping windows the last slot may hold the first phases alone.
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


cdef void unzip_outputs(const Windows *g, int path, int64_t rows, int64_t positions, int64_t width,
                        const real *dy, real *panel) noexcept nogil:
    # panel[n,f,p] = dy[n,p,f]
    cdef int64_t n, f
    for n in range(rows):
        if g.y_filter == 1:
            unzip(path, positions, width, g.filters, dy + n * g.y_row, g.filters,
                  panel + n * g.filters * width)
        else:
            for f in range(g.filters):
                memcpy(panel + (n * g.filters + f) * width, dy + n * g.y_row + f * g.y_filter,
                       positions * sizeof(real))


# What a thread works with; numbers of each array.
cdef struct Scratch:
    int64_t weights, bias, x, y, total


cdef inline void *aligned(void *memory) noexcept nogil:
    return <void *>((<uintptr_t>memory + ALIGNMENT - 1) & ~<uintptr_t>(ALIGNMENT - 1))


# ---------------------------------------------------------------- forward

cdef void forward_task(const Windows *g, int path, int64_t lanes, int activation, double alpha,
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
    x += window_offset(g, first)
    y += first * g.y_position
    while row < rows:
        tile.rows = min(<int64_t>ROW_BLOCK, rows - row)
        tile.x_ahead = 0
        target = y + row * g.y_row if y_in_place else y_panel
        if inputs.in_place:
            if far and row + ROW_BLOCK < rows:
                tile.x_ahead = TILE_ROWS * g.x_row
            product(path, &tile, x + row * g.x_row, weights, bias, target)
        else:
            unzip_inputs(g, &inputs, path, tile.rows, positions, x + row * g.x_row, x_panel)
            product(path, &tile, x_panel, weights, bias, target)
        for n in range(tile.rows):
            if activation != LC_LINEAR:
                for f in range(g.filters):
                    activate_block(path, activation, alpha, positions,
                                   target + n * tile.y_row + f * tile.y_filter)
            if not y_in_place:
                zip_rows(path, positions, width, g.filters, y_panel + n * tile.y_row,
                         y + (row + n) * g.y_row)
        row += tile.rows


def forward(geometry, int64_t rows, const real[::1] x, const real[::1] kernel,
            const real[::1] bias, real[::1] y, int activation, double alpha, int path,
            int threads, int64_t vectors):
    """y[n,p,f] = activation(sum_k x[n,p,k] kernel[p,k,f] + bias[p,f]).

    Positions are cut into groups of at most `vectors` vectors and a rest.
    """
    cdef Windows g = windows_of(geometry)
    cdef const real *x_start = &x[0]
    cdef const real *kernel_start = &kernel[0]
    cdef const real *bias_start = NULL
    cdef real *y_start = &y[0]
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
    if bias is not None:
        bias_start = &bias[0]
    scratch.weights = g.patch * g.filters * width
    scratch.bias = g.filters * width
    scratch.x = 0 if inputs.in_place else block * inputs.row
    scratch.y = block * g.filters * width
    scratch.total = scratch.weights + scratch.bias + scratch.x + scratch.y
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
            forward_task(&g, path, lanes, activation, alpha, rows,
                         task // cut.each * cut.columns + first,
                         group_start(&cut, task % cut.each + 1) - first, x_start, kernel_start,
                         bias_start, offsets + thread * 2 * g.patch,
                         offsets + (thread * 2 + 1) * g.patch, &scratch,
                         numbers + thread * scratch.total, y_start)
    free(memory)
    free(offsets)


# ---------------------------------------------------------------- gradient of the kernel

cdef void kernel_gradient_task(const Windows *g, int path, int64_t lanes, int64_t rows,
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
    cdef const real *x_here
    cdef const real *dy_here
    cdef int64_t row = 0
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
        tile.accumulate = row > 0
        x_here = x + row * g.x_row + window_offset(g, first)
        dy_here = dy + row * g.y_row + first * g.y_position
        if not inputs.in_place:
            unzip_inputs(g, &inputs, path, tile.rows, positions, x_here, x_panel)
            x_here = x_panel
        if not y_in_place:
            unzip_outputs(g, path, tile.rows, positions, width, dy_here, y_panel)
            dy_here = y_panel
        gradient_product(path, &tile, x_here, dy_here, weights)
        row += tile.rows
    zip_rows(path, whole, width, count, weights, dkernel + first * count)
    if whole < positions: # a vector of its own, which reaches back over the one before it
        zip_rows(path, lanes, width, count, weights + whole,
                 dkernel + (first + positions - lanes) * count)


def kernel_gradient(geometry, int64_t rows, const real[::1] x, const real[::1] dy,
                    real[::1] dkernel, int path, int threads, int64_t vectors):
    """dkernel[p,k,f] = sum_n x[n,p,k] dy[n,p,f], one chain over n ascending."""
    cdef Windows g = windows_of(geometry)
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


# ---------------------------------------------------------------- gradient of the input

# The inputs of a row of pixels (of one channel, where channels come first) are cut into slots of as
# many numbers as a window steps: input slot * along + phase is tap m * along + phase of the run of
# position slot - m, in each row of positions that sees the row of pixels.
cdef struct Slots:
    int64_t planes     # 1, or the channels where they come first
    int64_t row_inputs # numbers in a row of pixels
    int64_t rows       # of positions that see a row of pixels, at most
    int64_t steps      # the most taps of one run in one phase
    int64_t full       # phases with so many; the others have one tap less


cdef inline Slots slots_of(const Windows *g) noexcept nogil:
    cdef Slots slots
    slots.planes = g.runs // g.kernel_rows
    slots.row_inputs = g.x_row // (slots.planes * g.input_rows)
    slots.rows = ceiling(g.kernel_rows, g.row_stride)
    slots.steps = ceiling(g.run_length, g.along)
    slots.full = g.run_length - (slots.steps - 1) * g.along
    return slots


cdef void slot_product(const Windows *g, const Slots *slots, int path, lc_positions *tile,
                       int64_t rows, int64_t phase, int64_t phases, int64_t steps, int64_t width,
                       int64_t dy_row, int64_t dy_filter, int64_t *dy_offset, int64_t *w_offset,
                       const real *dy, const real *weights, real *dx) noexcept nogil:
    # dx[n, phase, slot] = sum of dy[n,p,f] kernel[p,k,f] over p, then f, from `rows` rows of
    # positions; `phases` of them
    cdef int64_t row, m, f, k = 0
    for row in range(rows):
        for m in range(steps - 1, -1, -1):
            for f in range(g.filters):
                dy_offset[k] = row * dy_row + f * dy_filter + slots.steps - 1 - m
                w_offset[k] = slots.steps - 1 - m \
                    + ((row * g.run_length + m * g.along + phase) * g.filters + f) * width
                k += 1
    tile.taps = k
    tile.filters = phases
    product(path, tile, dy, weights, <const real *>NULL, dx + phase * tile.y_filter)


cdef void input_gradient_task(const Windows *g, const Slots *slots, int path, int64_t lanes,
                              int64_t rows, int64_t plane, int64_t pixel_row, int64_t low,
                              int64_t count, const real *dy, const real *kernel,
                              int64_t *dy_offset, int64_t *w_offset, const Scratch *scratch,
                              real *memory, real *dx) noexcept nogil:
    # dx[n,i] = sum of dy[n,p,f] kernel[p,k,f] over p, then f, where tap k of p is i; i in the slots
    # low..low + count of a row of pixels
    cdef int64_t origin = low - slots.steps + 1 # the column of the first position in the panels
    cdef int64_t width = panel_width(low + count - origin, lanes)
    cdef int64_t dx_width = panel_width(count, lanes)
    cdef int64_t first = max(origin, <int64_t>0)
    cdef int64_t last = min(low + count, g.output_columns)
    cdef bint inside = first == origin and last == low + count
    cdef bint dy_in_place = inside and (g.y_filter != 1 or g.filters == 1)
    cdef bint dx_in_place = g.along == 1
    cdef int64_t whole = min(count, slots.row_inputs // g.along - low)
    cdef int64_t top = max(ceiling(pixel_row - g.kernel_rows + 1, g.row_stride), <int64_t>0) \
        if pixel_row >= g.kernel_rows else 0
    cdef int64_t seen = min(pixel_row // g.row_stride + 1, g.positions // g.output_columns) - top
    cdef int64_t taps = g.run_length * g.filters # of a position in this row of pixels
    cdef int64_t panel = g.filters * width       # of a row of positions
    cdef int64_t dy_row = g.output_columns * g.y_position if dy_in_place else panel
    cdef int64_t dy_filter = g.y_filter if dy_in_place else width
    cdef real *weights = memory
    cdef real *dy_panel = weights + scratch.weights
    cdef real *dx_panel = dy_panel + scratch.y
    cdef real *target
    cdef const real *dy_here
    cdef int64_t row = 0, n, i, position, run
    cdef lc_positions tile
    last = max(last, first)
    seen = max(seen, <int64_t>0)
    if not inside:
        memset(weights, 0, seen * taps * width * sizeof(real))
    for i in range(seen):
        position = (top + i) * g.output_columns + first
        run = plane * g.kernel_rows + pixel_row - (top + i) * g.row_stride
        unzip(path, last - first, width, taps, kernel + position * g.kernel_position + run * taps,
              g.kernel_position, weights + i * taps * width + first - origin)
    tile.positions = count
    tile.x_ahead = 0
    tile.x_offset = dy_offset
    tile.w_offset = w_offset
    tile.w_filter = panel
    tile.x_row = g.y_row if dy_in_place else seen * panel
    tile.y_row = g.x_row if dx_in_place else g.along * dx_width
    tile.y_filter = dx_width
    dx += (plane * g.input_rows + pixel_row) * slots.row_inputs
    while row < rows:
        tile.rows = min(<int64_t>ROW_BLOCK, rows - row)
        dy_here = dy + row * g.y_row + (top * g.output_columns + first) * g.y_position
        if not dy_in_place:
            # Beyond the positions -0.0 times a weight of 0.0 changes no sum, not even one of -0.0.
            if not inside:
                for i in range(tile.rows * seen * panel):
                    dy_panel[i] = -0.0
            for n in range(tile.rows):
                for i in range(seen):
                    unzip_outputs(g, path, 1, last - first, width,
                                  dy_here + n * g.y_row + i * g.output_columns * g.y_position,
                                  dy_panel + (n * seen + i) * panel + first - origin)
            dy_here = dy_panel
        target = dx_panel
        if dx_in_place:
            target = dx + row * g.x_row + low
        elif g.run_length < g.along: # inputs between the windows
            memset(dx_panel, 0, tile.rows * tile.y_row * sizeof(real))
        slot_product(g, slots, path, &tile, seen, 0, slots.full, slots.steps, width, dy_row,
                     dy_filter, dy_offset, w_offset, dy_here, weights, target)
        if slots.steps > 1 and slots.full < g.along:
            slot_product(g, slots, path, &tile, seen, slots.full, g.along - slots.full,
                         slots.steps - 1, width, dy_row, dy_filter, dy_offset, w_offset, dy_here,
                         weights, target)
        if not dx_in_place:
            for n in range(tile.rows):
                target = dx + (row + n) * g.x_row
                zip_rows(path, whole, dx_width, g.along, dx_panel + n * tile.y_row,
                         target + low * g.along)
                # The last slot may hold the first phases alone.
                for i in range((low + whole) * g.along,
                               min((low + count) * g.along, slots.row_inputs)):
                    target[i] = dx_panel[n * tile.y_row + i % g.along * dx_width + whole]
        row += tile.rows


def input_gradient(geometry, int64_t rows, const real[::1] dy, const real[::1] kernel,
                   real[::1] dx, int path, int threads, int64_t vectors):
    """dx[n,i] = sum over p, then f, of dy[n,p,f] kernel[p,k,f] where tap k of p is i."""
    cdef Windows g = windows_of(geometry)
    cdef Slots slots = slots_of(&g)
    cdef const real *dy_start = &dy[0]
    cdef const real *kernel_start = &kernel[0]
    cdef real *dx_start = &dx[0]
    cdef int64_t lanes = lanes_of(path, sizeof(real))
    cdef Groups cut = groups_of(ceiling(slots.row_inputs, g.along), lanes, vectors)
    cdef int64_t width = panel_width(most_positions(&cut) + slots.steps, lanes)
    cdef int64_t tasks = slots.planes * g.input_rows * cut.each
    cdef int64_t task, low, row
    cdef int64_t block = min(<int64_t>ROW_BLOCK, rows)
    cdef int64_t taps = slots.rows * slots.steps * g.filters
    cdef Scratch scratch
    cdef int thread
    scratch.weights = slots.rows * g.run_length * g.filters * width
    scratch.y = block * slots.rows * g.filters * width
    scratch.x = 0 if g.along == 1 else block * g.along * width
    scratch.total = scratch.weights + scratch.y + scratch.x
    cdef void *memory = malloc(threads * scratch.total * sizeof(real) + ALIGNMENT)
    cdef int64_t *offsets = <int64_t *>malloc(threads * 2 * taps * sizeof(int64_t))
    cdef real *numbers = <real *>aligned(memory)
    if memory == NULL or offsets == NULL:
        free(memory)
        free(offsets)
        raise MemoryError("no memory for the weights of a group of positions")
    for thread in prange(threads, nogil=True, num_threads=threads, schedule="static", chunksize=1):
        for task in range(thread * tasks // threads, (thread + 1) * tasks // threads):
            low = group_start(&cut, task % cut.each)
            row = task // cut.each
            input_gradient_task(&g, &slots, path, lanes, rows, row // g.input_rows,
                                row % g.input_rows, low,
                                group_start(&cut, task % cut.each + 1) - low, dy_start,
                                kernel_start, offsets + thread * 2 * taps,
                                offsets + (thread * 2 + 1) * taps, &scratch,
                                numbers + thread * scratch.total, dx_start)
    free(memory)
    free(offsets)
