# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, embedsignature=True
"""The batch regime of the direct engine: y[p,f,n] = sum_k w[p,k,f] x[p,k,n], vectors along n.

A task transposes the inputs of its positions into a panel, batch innermost, and broadcasts single
numbers of the kernel, so the kernel needs no packing.  Arguments are validated in ops.py.  Tasks
share no output and no sum is split between two, so results are bit-identical for any number of
threads.
"""
from cython.parallel cimport prange
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc

from lcfast.local_conv._arrays cimport start_of
from lcfast.local_conv._flat_geometry cimport FlatGeometry, flat_geometry, receptive_field_offset
from lcfast.local_conv._kernels cimport LC_LINEAR, lc_tile
from lcfast.local_conv._simd_paths cimport (
    activate_block, from_panel, lanes_of, product, real, to_panel, vector_bytes,
)
from lcfast.local_conv._tiles cimport ALIGNMENT, aligned, ceiling, empty_tile

# ---------------------------------------------------------------- forward

cdef void forward_task(const FlatGeometry *g, int path, int64_t width, int activation,
                       double alpha, int64_t rows, int64_t first, int64_t last, int64_t group,
                       const real *x, const real *kernel, const real *bias,
                       int64_t *panel_run_offset, real *panel, real *sums,
                       real *y) noexcept nogil:
    # y[n,p,f] = activation(sum_k x[n,p,k] kernel[p,k,f] + bias[p,f]), p in first..last
    cdef int64_t origin = receptive_field_offset(g, first)
    cdef int64_t position, start, count, f, here
    cdef const real *bias_here = NULL
    cdef lc_tile tile = empty_tile(g.kernel_run_offset, panel_run_offset)
    tile.rows = g.filters
    tile.columns = width
    tile.runs = g.runs
    tile.run_length = g.run_length
    tile.a_row_step = 1
    tile.a_step = g.filters
    tile.b_row_step = width
    tile.bias_row_step = g.y_filter
    for start in range(g.runs):
        panel_run_offset[start] = g.run_offset[start] * width
    to_panel(path, rows, width, receptive_field_offset(g, last - 1) + g.span - origin, x + origin,
             g.x_row, panel)
    start = first
    while start < last:
        count = min(group, last - start)
        # The sums of a group are in the order of the output: filter by filter for channels_first.
        tile.c_row_step = width if g.y_filter == 1 else count * width
        for position in range(start, start + count):
            here = (position - start) * (g.filters if g.y_filter == 1 else 1)
            # The kernel of the next position is prefetched; beyond the last one lies nothing.
            tile.a_ahead = g.kernel_position if position + 1 < g.positions else 0
            if bias != NULL:
                bias_here = bias + position * g.bias_position
            product(path, &tile, kernel + position * g.kernel_position,
                    panel + (receptive_field_offset(g, position) - origin) * width, bias_here,
                    sums + here * width)
        if activation != LC_LINEAR:
            activate_block(path, activation, alpha, count * g.filters * width, sums)
        if g.y_filter == 1:
            from_panel(path, rows, width, count * g.filters, sums, y + start * g.filters, g.y_row)
        else:
            for f in range(g.filters):
                from_panel(path, rows, width, count, sums + f * count * width,
                           y + f * g.y_filter + start, g.y_row)
        start += count


cdef ForwardScratch forward_scratch(const FlatGeometry *g, int64_t width, int64_t lanes,
                                    int64_t splits) noexcept nogil:
    cdef ForwardScratch scratch
    cdef int64_t task, first, last
    scratch.group = max(GROUP_NUMBERS // g.filters if g.y_filter == 1 else lanes, 1)
    scratch.panel = 0
    for task in range(splits):
        first = task * g.positions // splits
        last = (task + 1) * g.positions // splits
        scratch.panel = max(scratch.panel, receptive_field_offset(g, last - 1)
                            - receptive_field_offset(g, first) + g.span)
    scratch.panel *= width
    scratch.total = scratch.panel + scratch.group * g.filters * width
    return scratch


cdef int forward_all(const FlatGeometry *g, int64_t rows, const real *x_start,
                     const real *kernel_start, const real *bias_start, real *y_start,
                     int activation, double alpha, int path, int threads, int64_t vectors,
                     int64_t splits) except -1:
    cdef int64_t lanes = vector_bytes(path) // sizeof(real)
    cdef int64_t width = vectors * lanes
    cdef int64_t row_blocks = ceiling(rows, width)
    cdef int64_t tasks = splits * row_blocks
    cdef int64_t task, first, last, row, n
    cdef ForwardScratch scratch = forward_scratch(g, width, lanes, splits)
    cdef int thread
    cdef void *memory = malloc(threads * scratch.total * sizeof(real) + ALIGNMENT)
    # One more, because without channels there are no runs, and malloc(0) may return NULL.
    cdef int64_t *offsets = <int64_t *>malloc((threads * g.runs + 1) * sizeof(int64_t))
    cdef real *panels = <real *>aligned(memory)
    cdef real *panel
    if memory == NULL or offsets == NULL:
        free(memory)
        free(offsets)
        raise MemoryError("no memory for panels of the input")
    for thread in prange(threads, nogil=True, num_threads=threads, schedule="static", chunksize=1):
        panel = panels + thread * scratch.total
        for task in range(thread * tasks // threads, (thread + 1) * tasks // threads):
            first = task // row_blocks * g.positions // splits
            last = (task // row_blocks + 1) * g.positions // splits
            row = task % row_blocks * width
            n = min(width, rows - row)
            forward_task(g, path, ceiling(n, lanes) * lanes, activation, alpha, n, first, last,
                         scratch.group, x_start + row * g.x_row, kernel_start, bias_start,
                         offsets + thread * g.runs, panel, panel + scratch.panel,
                         y_start + row * g.y_row)
    free(memory)
    free(offsets)
    return 0


cpdef forward(geometry, int64_t rows, int item_bytes, x, kernel, bias, y, int activation,
              double alpha, int path, int threads, int64_t vectors, int64_t splits):
    """y[n,p,f] = activation(sum_k x[n,p,k] kernel[p,k,f] + bias[p,f]).

    Rows are cut into blocks of `vectors` vectors, positions into `splits` ranges.
    """
    cdef FlatGeometry g = flat_geometry(geometry)
    cdef void *x_start = start_of(x, item_bytes)
    cdef void *kernel_start = start_of(kernel, item_bytes)
    cdef void *bias_start = NULL if bias is None else start_of(bias, item_bytes)
    cdef void *y_start = start_of(y, item_bytes)
    if item_bytes == sizeof(float):
        forward_all[float](&g, rows, <const float *>x_start, <const float *>kernel_start,
                           <const float *>bias_start, <float *>y_start, activation, alpha, path,
                           threads, vectors, splits)
    else:
        forward_all[double](&g, rows, <const double *>x_start, <const double *>kernel_start,
                            <const double *>bias_start, <double *>y_start, activation, alpha,
                            path, threads, vectors, splits)


# ---------------------------------------------------------------- gradient of the input

cdef inline int64_t first_position(int64_t index, int64_t kernel, int64_t stride) noexcept nogil:
    # The first position along one dimension that reads an input, or one before it.
    return max(ceiling(index - kernel + 1, stride), <int64_t>0) if index >= kernel else 0


cdef inline void positions_of_pixels(const FlatGeometry *g, int64_t low, int64_t high,
                                     int64_t *first, int64_t *last) noexcept nogil:
    # A range that contains every position that reads a pixel in low..high.
    cdef int64_t top = low // g.input_columns, bottom = (high - 1) // g.input_columns
    cdef int64_t output_rows = g.positions // g.output_columns
    cdef int64_t row = first_position(top, g.kernel_rows, g.row_stride)
    cdef int64_t last_row = min(bottom // g.row_stride, output_rows - 1)
    cdef int64_t column = 0, last_column = g.output_columns - 1
    if top == bottom:
        column = first_position(low % g.input_columns, g.kernel_columns, g.column_stride)
        last_column = min((high - 1) % g.input_columns // g.column_stride, last_column)
    first[0] = min(row * g.output_columns + column, g.positions)
    last[0] = max(last_row * g.output_columns + last_column + 1, first[0])


cdef void input_gradient_task(const FlatGeometry *g, int path, int64_t width, int64_t rows,
                              int64_t low, int64_t high, const real *dy, const real *kernel,
                              int64_t *kernel_offset, int64_t *dy_offset, real *dy_panel,
                              real *dx_panel, real *dx) noexcept nogil:
    # dx[n,i] = sum of dy[n,p,f] kernel[p,k,f] over p, then f, where tap k of p is i: one sum for
    # each channel of the pixels low..high.
    # Two separate tests: with one position the filters are contiguous in either data format.
    cdef bint channels_last = g.x_channel == 1, filters_last = g.y_filter == 1
    cdef int64_t output_rows = g.positions // g.output_columns
    cdef int64_t first, last, pixel, y, x, row, column, first_column, last_column, position, tap, f
    cdef lc_tile tile = empty_tile(kernel_offset, dy_offset)
    positions_of_pixels(g, low, high, &first, &last)
    tile.rows = g.channels
    tile.columns = width
    tile.run_length = g.filters
    tile.a_row_step = g.filters if channels_last else g.kernel_rows * g.kernel_columns * g.filters
    tile.a_step = 1
    tile.a_ahead = g.channels * g.filters if channels_last else g.filters
    tile.b_row_step = width if filters_last else (last - first) * width
    tile.c_row_step = width if channels_last else (high - low) * width
    if filters_last:
        to_panel(path, rows, width, (last - first) * g.filters, dy + first * g.filters, g.y_row,
                 dy_panel)
    else:
        for f in range(g.filters):
            to_panel(path, rows, width, last - first, dy + f * g.y_filter + first, g.y_row,
                     dy_panel + f * (last - first) * width)
    for pixel in range(low, high):
        y = pixel // g.input_columns
        x = pixel % g.input_columns
        first_column = first_position(x, g.kernel_columns, g.column_stride)
        last_column = min(x // g.column_stride, g.output_columns - 1)
        tile.runs = 0
        for row in range(first_position(y, g.kernel_rows, g.row_stride),
                         min(y // g.row_stride, output_rows - 1) + 1):
            for column in range(first_column, last_column + 1):
                position = row * g.output_columns + column
                tap = (y - row * g.row_stride) * g.kernel_columns + x - column * g.column_stride
                if channels_last:
                    tap *= g.channels
                kernel_offset[tile.runs] = position * g.kernel_position + tap * g.filters
                dy_offset[tile.runs] = (position - first) * width * \
                    (g.filters if filters_last else 1)
                tile.runs += 1
        product(path, &tile, kernel, dy_panel, <const real *>NULL,
                dx_panel + (pixel - low) * width * (g.channels if channels_last else 1))
    if channels_last:
        from_panel(path, rows, width, (high - low) * g.channels, dx_panel,
                   dx + low * g.channels, g.x_row)
    else:
        for f in range(g.channels):
            from_panel(path, rows, width, high - low, dx_panel + f * (high - low) * width,
                       dx + f * g.x_channel + low, g.x_row)


def input_gradient(geometry, int64_t rows, const real[::1] dy, const real[::1] kernel,
                   real[::1] dx, int path, int threads, int64_t vectors, int64_t splits):
    """dx[n,i] = sum over p, then f, of dy[n,p,f] kernel[p,k,f] where tap k of p is i.

    Rows are cut into blocks of `vectors` vectors, pixels of the input into `splits` ranges.
    """
    cdef FlatGeometry g = flat_geometry(geometry)
    cdef const real *dy_start = &dy[0]
    cdef const real *kernel_start = &kernel[0]
    cdef real *dx_start = &dx[0]
    cdef int64_t lanes = lanes_of(path, sizeof(real))
    cdef int64_t width = vectors * lanes
    cdef int64_t row_blocks = ceiling(rows, width)
    cdef int64_t tasks = splits * row_blocks
    cdef int64_t pixels = g.input_rows * g.input_columns
    cdef int64_t task, low, high, first, last, row, n
    cdef int64_t dx_numbers = ceiling(pixels, splits) * g.channels * width
    cdef int64_t dy_numbers = 0
    cdef int64_t runs = (g.kernel_rows // g.row_stride + 1) \
        * (g.kernel_columns // g.column_stride + 1)
    cdef int thread
    for task in range(splits):
        positions_of_pixels(&g, task * pixels // splits, (task + 1) * pixels // splits, &first,
                            &last)
        dy_numbers = max(dy_numbers, (last - first) * g.filters * width)
    cdef int64_t scratch = dx_numbers + dy_numbers
    cdef void *memory = malloc(threads * scratch * sizeof(real) + ALIGNMENT)
    cdef int64_t *offsets = <int64_t *>malloc(threads * 2 * runs * sizeof(int64_t))
    cdef real *panels = <real *>aligned(memory)
    cdef real *panel
    if memory == NULL or offsets == NULL:
        free(memory)
        free(offsets)
        raise MemoryError("no memory for panels of the gradients")
    for thread in prange(threads, nogil=True, num_threads=threads, schedule="static", chunksize=1):
        panel = panels + thread * scratch
        for task in range(thread * tasks // threads, (thread + 1) * tasks // threads):
            low = task // row_blocks * pixels // splits
            high = (task // row_blocks + 1) * pixels // splits
            row = task % row_blocks * width
            n = min(width, rows - row)
            input_gradient_task(&g, path, ceiling(n, lanes) * lanes, n, low, high,
                                dy_start + row * g.y_row, kernel_start,
                                offsets + thread * 2 * runs, offsets + (thread * 2 + 1) * runs,
                                panel + dx_numbers, panel, dx_start + row * g.x_row)
    free(memory)
    free(offsets)
