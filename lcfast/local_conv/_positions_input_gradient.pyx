# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, embedsignature=True
"""The gradient of the input in the positions regime, with vectors along positions.

A task is a stretch of one row of pixels.  The weights and the upstream gradients of the positions
that read it are unzipped into rows of positions.  Arguments are validated in ops.py.  Tasks share
no output and no sum is split between two, so results are bit-identical for any number of threads.
"""
from cython.parallel cimport prange
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from lcfast.local_conv._flat_geometry cimport FlatGeometry, flat_geometry
from lcfast.local_conv._kernels cimport lc_positions
from lcfast.local_conv._position_groups cimport (
    ROW_BLOCK, Groups, Scratch, group_start, groups_of, most_positions, panel_width,
    positions_product, unzip, unzip_outputs, zip_rows,
)
from lcfast.local_conv._simd_paths cimport lanes_of, real
from lcfast.local_conv._tiles cimport ALIGNMENT, aligned, ceiling


# The inputs of a row of pixels (of one channel, if channels come first) are cut into slots of
# `along` numbers, the step between receptive fields: input slot * along + phase is tap
# m * along + phase of the run of position slot - m, in each row of positions that reads them.
cdef struct Slots:
    int64_t planes     # 1, or the channels if they come first
    int64_t row_inputs # numbers in a row of pixels
    int64_t rows       # most rows of positions that read a row of pixels
    int64_t steps      # the most taps of one run in one phase
    int64_t full       # phases with that many taps; the others have one less


cdef inline Slots slots_of(const FlatGeometry *g) noexcept nogil:
    cdef Slots slots
    slots.planes = g.runs // g.kernel_rows
    slots.row_inputs = g.x_row // (slots.planes * g.input_rows)
    slots.rows = ceiling(g.kernel_rows, g.row_stride)
    slots.steps = ceiling(g.run_length, g.along)
    slots.full = g.run_length - (slots.steps - 1) * g.along
    return slots


cdef void slot_product(const FlatGeometry *g, const Slots *slots, int path, lc_positions *tile,
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
    positions_product(path, tile, dy, weights, <const real *>NULL, dx + phase * tile.y_filter)


cdef void input_gradient_task(const FlatGeometry *g, const Slots *slots, int path, int64_t lanes,
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
            # Past the positions, -0.0 times a weight of 0.0 changes no sum, not even one of -0.0.
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
        elif g.run_length < g.along: # inputs between the receptive fields
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
                # The last slot may hold only the first phases.
                for i in range((low + whole) * g.along,
                               min((low + count) * g.along, slots.row_inputs)):
                    target[i] = dx_panel[n * tile.y_row + i % g.along * dx_width + whole]
        row += tile.rows


def input_gradient(geometry, int64_t rows, const real[::1] dy, const real[::1] kernel,
                   real[::1] dx, int path, int threads, int64_t vectors):
    """dx[n,i] = sum over p, then f, of dy[n,p,f] kernel[p,k,f] where tap k of p is i."""
    cdef FlatGeometry g = flat_geometry(geometry)
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
