# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, embedsignature=True
"""The direct engine with the batch innermost: vectors run along rows of the batch.

A task packs the inputs that its positions see into a panel, transposed, and computes with single
numbers of the kernel, which so needs no packing.  Everything here is trusted, see ops.py.  Tasks
share no output and no sum is cut between two, so the bits do not depend on `threads`.
"""
from cython.parallel cimport prange
from libc.stdint cimport int64_t, uintptr_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from lcfast.local_conv._direct cimport (
    Windows, ceiling, empty_tile, table_f32, table_f64, window_offset, windows_of,
)
from lcfast.local_conv._kernels cimport LC_LINEAR, lc_tile

ctypedef fused real:
    float
    double

cdef enum:
    ALIGNMENT = 64
    GROUP_NUMBERS = 64 # sums of a row of the batch that leave a panel together


cdef inline void product(int path, const lc_tile *tile, const real *a, const real *b,
                         const real *bias, real *c) noexcept nogil:
    if real is float:
        table_f32(path).product(tile, a, b, bias, c)
    else:
        table_f64(path).product(tile, a, b, bias, c)


cdef inline void to_panel(int path, int vectors, int64_t rows, int64_t count, const real *x,
                          int64_t x_row, real *panel) noexcept nogil:
    if real is float:
        table_f32(path).to_panel(vectors, rows, count, x, x_row, panel)
    else:
        table_f64(path).to_panel(vectors, rows, count, x, x_row, panel)


cdef inline void from_panel(int path, int vectors, int64_t rows, int64_t count, const real *panel,
                            real *y, int64_t y_row) noexcept nogil:
    if real is float:
        table_f32(path).from_panel(vectors, rows, count, panel, y, y_row)
    else:
        table_f64(path).from_panel(vectors, rows, count, panel, y, y_row)


cdef inline void activate_block(int path, int activation, double alpha, int64_t count,
                                real *y) noexcept nogil:
    if real is float:
        table_f32(path).activate(activation, <float>alpha, count, y)
    else:
        table_f64(path).activate(activation, alpha, count, y)


cdef inline void *aligned(void *memory) noexcept nogil:
    return <void *>((<uintptr_t>memory + ALIGNMENT - 1) & ~<uintptr_t>(ALIGNMENT - 1))


# ---------------------------------------------------------------- forward

cdef void forward_task(const Windows *g, int path, int vectors, int64_t width, int activation,
                       double alpha, int64_t rows, int64_t first, int64_t last, int64_t group,
                       const real *x, const real *kernel, const real *bias, real *panel,
                       real *sums, real *y) noexcept nogil:
    # y[n,p,f] = activation(sum_k x[n,p,k] kernel[p,k,f] + bias[p,f]), p in first..last
    cdef int64_t origin = window_offset(g, first)
    cdef int64_t position, start, count, f, here
    cdef const real *bias_here = NULL
    cdef lc_tile tile = empty_tile(g.run_offset)
    tile.rows = g.filters
    tile.columns = width
    tile.runs = g.runs
    tile.run_length = g.run_length
    tile.a_run_step = g.run_length * g.filters
    tile.b_run_scale = width
    tile.a_row_step = 1
    tile.a_step = g.filters
    tile.b_row_step = width
    tile.bias_row_step = g.y_filter
    # The kernel of the next position is on its way while this one computes.
    tile.a_ahead = g.kernel_position
    to_panel(path, vectors, rows, window_offset(g, last - 1) + g.span - origin, x + origin,
             g.x_row, panel)
    start = first
    while start < last:
        count = min(group, last - start)
        # Of a group the sums lie in the order of the output: channels_first filter by filter.
        tile.c_row_step = width if g.y_filter == 1 else count * width
        for position in range(start, start + count):
            here = (position - start) * (g.filters if g.y_filter == 1 else 1)
            if bias != NULL:
                bias_here = bias + position * g.bias_position
            product(path, &tile, kernel + position * g.kernel_position,
                    panel + (window_offset(g, position) - origin) * width, bias_here,
                    sums + here * width)
        if activation != LC_LINEAR:
            activate_block(path, activation, alpha, count * g.filters * width, sums)
        if g.y_filter == 1:
            from_panel(path, vectors, rows, count * g.filters, sums, y + start * g.filters, g.y_row)
        else:
            for f in range(g.filters):
                from_panel(path, vectors, rows, count, sums + f * count * width,
                           y + f * g.y_filter + start, g.y_row)
        start += count


def forward(geometry, int64_t rows, const real[::1] x, const real[::1] kernel,
            const real[::1] bias, real[::1] y, int activation, double alpha, int path,
            int threads, int64_t vectors, int64_t splits):
    """y[n,p,f] = activation(sum_k x[n,p,k] kernel[p,k,f] + bias[p,f]).

    Rows are cut into blocks of `vectors` vectors, positions into `splits` ranges.
    """
    cdef Windows g = windows_of(geometry)
    cdef const real *x_start = &x[0]
    cdef const real *kernel_start = &kernel[0]
    cdef const real *bias_start = NULL
    cdef real *y_start = &y[0]
    cdef int64_t lanes = table_f32(path).lanes if real is float else table_f64(path).lanes
    cdef int64_t width = vectors * lanes
    cdef int64_t row_blocks = ceiling(rows, width)
    cdef int64_t tasks = splits * row_blocks
    cdef int64_t task, first, last, row, n, panel_numbers = 0
    cdef int64_t group = max(GROUP_NUMBERS // g.filters if g.y_filter == 1 else lanes, 1)
    cdef int thread, vectors_here
    if bias is not None:
        bias_start = &bias[0]
    for task in range(splits):
        first = task * g.positions // splits
        last = (task + 1) * g.positions // splits
        panel_numbers = max(panel_numbers,
                            window_offset(&g, last - 1) - window_offset(&g, first) + g.span)
    panel_numbers *= width
    cdef int64_t scratch = panel_numbers + group * g.filters * width
    cdef void *memory = malloc(threads * scratch * sizeof(real) + ALIGNMENT)
    cdef real *panels = <real *>aligned(memory)
    cdef real *panel
    if memory == NULL:
        raise MemoryError("no memory for panels of the input")
    for thread in prange(threads, nogil=True, num_threads=threads, schedule="static", chunksize=1):
        panel = panels + thread * scratch
        for task in range(thread * tasks // threads, (thread + 1) * tasks // threads):
            first = task // row_blocks * g.positions // splits
            last = (task // row_blocks + 1) * g.positions // splits
            row = task % row_blocks * width
            n = min(width, rows - row)
            vectors_here = <int>ceiling(n, lanes)
            forward_task(&g, path, vectors_here, vectors_here * lanes, activation, alpha, n,
                         first, last, group, x_start + row * g.x_row, kernel_start, bias_start,
                         panel, panel + panel_numbers, y_start + row * g.y_row)
    free(memory)


# ---------------------------------------------------------------- gradient of the input

cdef int64_t first_position_beyond(const Windows *g, int64_t offset) noexcept nogil:
    # The first position whose window starts at `offset` or later; windows start in order.
    cdef int64_t low = 0, high = g.positions, middle
    while low < high:
        middle = (low + high) // 2
        if window_offset(g, middle) < offset:
            low = middle + 1
        else:
            high = middle
    return low


cdef inline void positions_of_inputs(const Windows *g, int64_t low, int64_t high, int64_t *first,
                                     int64_t *last) noexcept nogil:
    # The positions that may see an input in low..high.
    first[0] = first_position_beyond(g, low - g.span + 1)
    last[0] = max(first_position_beyond(g, high), first[0])


cdef void input_gradient_task(const Windows *g, int path, int vectors, int64_t width, int64_t rows,
                              int64_t low, int64_t high, const real *dy, const real *kernel,
                              real *dy_panel, real *dx_panel, real *dx) noexcept nogil:
    # dx[n, tap(p,k)] += dy[n,p,f] kernel[p,k,f]: one chain over p, then f, for taps in low..high
    cdef int64_t first, last, position, run, start, from_tap, to_tap, f
    cdef int64_t origin = 0
    cdef lc_tile tile = empty_tile(&origin)
    positions_of_inputs(g, low, high, &first, &last)
    tile.columns = width
    tile.run_length = g.filters
    tile.a_row_step = g.filters
    tile.a_step = 1
    tile.b_row_step = width if g.y_filter == 1 else (last - first) * width
    tile.c_row_step = width
    tile.accumulate = 1
    if g.y_filter == 1:
        to_panel(path, vectors, rows, (last - first) * g.filters, dy + first * g.filters, g.y_row,
                 dy_panel)
    else:
        for f in range(g.filters):
            to_panel(path, vectors, rows, last - first, dy + f * g.y_filter + first, g.y_row,
                     dy_panel + f * (last - first) * width)
    memset(dx_panel, 0, (high - low) * width * sizeof(real))
    for position in range(first, last):
        for run in range(g.runs):
            start = window_offset(g, position) + g.run_offset[run]
            from_tap = max(low - start, <int64_t>0)
            to_tap = min(high - start, g.run_length)
            if from_tap >= to_tap:
                continue
            tile.rows = to_tap - from_tap
            product(path, &tile, kernel + position * g.kernel_position
                    + (run * g.run_length + from_tap) * g.filters,
                    dy_panel + (position - first) * (g.filters if g.y_filter == 1 else 1) * width,
                    <const real *>NULL, dx_panel + (start + from_tap - low) * width)
    from_panel(path, vectors, rows, high - low, dx_panel, dx + low, g.x_row)


def input_gradient(geometry, int64_t rows, const real[::1] dy, const real[::1] kernel,
                   real[::1] dx, int path, int threads, int64_t vectors, int64_t splits):
    """dx[n, tap(p,k)] = sum over p, then f, of dy[n,p,f] kernel[p,k,f].

    Rows are cut into blocks of `vectors` vectors, inputs into `splits` ranges.
    """
    cdef Windows g = windows_of(geometry)
    cdef const real *dy_start = &dy[0]
    cdef const real *kernel_start = &kernel[0]
    cdef real *dx_start = &dx[0]
    cdef int64_t lanes = table_f32(path).lanes if real is float else table_f64(path).lanes
    cdef int64_t width = vectors * lanes
    cdef int64_t row_blocks = ceiling(rows, width)
    cdef int64_t tasks = splits * row_blocks
    cdef int64_t task, low, high, first, last, row, n
    cdef int64_t dx_numbers = ceiling(g.x_row, splits) * width
    cdef int64_t dy_numbers = 0
    cdef int thread, vectors_here
    for task in range(splits):
        positions_of_inputs(&g, task * g.x_row // splits, (task + 1) * g.x_row // splits, &first,
                            &last)
        dy_numbers = max(dy_numbers, (last - first) * g.filters * width)
    cdef int64_t scratch = dx_numbers + dy_numbers
    cdef void *memory = malloc(threads * scratch * sizeof(real) + ALIGNMENT)
    cdef real *panels = <real *>aligned(memory)
    cdef real *panel
    if memory == NULL:
        raise MemoryError("no memory for panels of the gradients")
    for thread in prange(threads, nogil=True, num_threads=threads, schedule="static", chunksize=1):
        panel = panels + thread * scratch
        for task in range(thread * tasks // threads, (thread + 1) * tasks // threads):
            low = task // row_blocks * g.x_row // splits
            high = (task // row_blocks + 1) * g.x_row // splits
            row = task % row_blocks * width
            n = min(width, rows - row)
            vectors_here = <int>ceiling(n, lanes)
            input_gradient_task(&g, path, vectors_here, vectors_here * lanes, n, low, high,
                                dy_start + row * g.y_row, kernel_start, panel + dx_numbers, panel,
                                dx_start + row * g.x_row)
    free(memory)
