# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, embedsignature=True
"""The direct engine's gradient of the kernel: dw[p,k,f] = sum_n x[n,p,k] dy[n,p,f].

Vectors run along taps or filters.  Arguments are validated in ops.py.  Tasks share no output and no
sum is split between two, so results are bit-identical for any number of threads.
"""
from cython.parallel cimport prange
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from lcfast.local_conv._flat_geometry cimport FlatGeometry, flat_geometry, receptive_field_offset
from lcfast.local_conv._kernels cimport LC_CACHE_LINE, LC_PIECE, LC_TOTALS, lc_tile
from lcfast.local_conv._simd_paths cimport add_piece, from_panel, product, real, vector_bytes
from lcfast.local_conv._tiles cimport ceiling, empty_tile

cdef enum:
    ROW_BLOCK = 48         # rows of the batch added to the sums at a time: they stay in L1 and L2
    COLUMN_BLOCK = 64      # filters in a task if there is one position
    TAP_BLOCK = 192        # taps in a piece of a run
    GROUP_BYTES = 1 << 16  # bytes of packed rows of a group of positions
    PIECES_BYTES = 1 << 18 # bytes of sums of a group of positions
    PAGE = 1 << 12


# How the gradient of the kernel is cut: a task owns some pieces (blocks of taps of one run) and a
# block of filters, for a group of positions in one row, or for all if they share a kernel.
cdef struct GradientTasks:
    int64_t group, groups_of_row, tap_block, tap_blocks, pieces, filter_block, filter_blocks
    int64_t x_step, dy_step # between rows of the batch, packed or not
    int64_t sums_of_piece
    bint along_taps, pack_x, pack_dy


cdef int64_t odd_lines(int64_t numbers, int64_t item_bytes) noexcept nogil:
    # A step between rows that avoids cache-set conflicts.
    return (ceiling(numbers * item_bytes, LC_CACHE_LINE) | 1) * LC_CACHE_LINE // item_bytes


cdef bint fall_together(int64_t step_bytes) noexcept nogil:
    # Whether rows with this step conflict in few sets of a cache whose ways are one page.
    cdef int64_t offset = step_bytes % PAGE
    return offset % (PAGE // 8) < LC_CACHE_LINE or offset % (PAGE // 8) > PAGE // 8 - LC_CACHE_LINE


cdef GradientTasks gradient_tasks(const FlatGeometry *g, int64_t item_bytes, int64_t lanes,
                                  bint along_taps) noexcept nogil:
    cdef GradientTasks cut
    cdef int64_t per_position, row_bytes
    cut.along_taps = along_taps
    cut.tap_block = min(g.run_length, <int64_t>TAP_BLOCK)
    cut.tap_blocks = ceiling(g.run_length, cut.tap_block)
    cut.filter_block = g.filters
    if g.positions == 1 and not along_taps:
        cut.filter_block = min(g.filters, <int64_t>COLUMN_BLOCK)
    cut.filter_blocks = ceiling(g.filters, cut.filter_block)
    cut.pack_x = fall_together(g.x_row * item_bytes)
    cut.pack_dy = g.y_filter != 1 or cut.filter_blocks > 1 or fall_together(g.y_row * item_bytes)
    cut.sums_of_piece = cut.filter_block * ceiling(cut.tap_block, lanes) * lanes
    per_position = cut.filter_block * cut.tap_block * item_bytes
    cut.pieces = min(max(PIECES_BYTES // per_position, 1), g.runs * cut.tap_blocks)
    cut.group = 1
    if g.kernel_position != 0: # a shared kernel has one sum over positions
        row_bytes = ROW_BLOCK * max(g.along, cut.filter_block) * item_bytes
        cut.group = max(min(GROUP_BYTES // row_bytes,
                            PIECES_BYTES // (cut.pieces * per_position)), 1)
        cut.group = min(cut.group, g.output_columns)
    cut.groups_of_row = ceiling(g.output_columns, cut.group)
    cut.x_step = g.x_row
    cut.dy_step = g.y_row
    if cut.pack_x:
        cut.x_step = odd_lines((cut.group - 1) * g.along + cut.tap_block + lanes, item_bytes)
    if cut.pack_dy:
        cut.dy_step = odd_lines(cut.group * cut.filter_block, item_bytes)
    return cut


cdef void pack_rows(int64_t rows, int64_t count, const real *values, int64_t step, real *packed,
                    int64_t packed_step) noexcept nogil:
    # packed[n,i] = values[n,i], the rows contiguous
    cdef int64_t n
    for n in range(rows):
        memcpy(packed + n * packed_step, values + n * step, count * sizeof(real))


cdef void pack_gradient(const FlatGeometry *g, int64_t rows, int64_t first, int64_t count,
                        int64_t filter, int64_t filters, const real *dy, real *packed,
                        int64_t packed_step) noexcept nogil:
    # packed[n,q,f] = dy[n,first+q,filter+f]
    cdef int64_t n, q, f
    if g.y_filter == 1 and filters == g.filters:
        pack_rows(rows, count * filters, dy + first * g.filters, g.y_row, packed, packed_step)
        return
    for n in range(rows):
        for q in range(count):
            for f in range(filters):
                packed[n * packed_step + q * filters + f] = dy[
                    n * g.y_row + (first + q) * g.y_position + (filter + f) * g.y_filter]


cdef void kernel_gradient_task(const FlatGeometry *g, const GradientTasks *cut, int path,
                               int64_t rows, int64_t first, int64_t count, int64_t piece,
                               int64_t last_piece, int64_t filter, int64_t before, int64_t terms,
                               const real *x, const real *dy, real *xs, real *dys, real *sums,
                               real *totals, real *dkernel) noexcept nogil:
    # dkernel[p,k,f] += x[n,p,k] dy[n,p,f], n ascending (shared: p, then n); `before` of the sum's
    # `terms` were added before.  Sums of one piece go to dkernel at once, unless along taps.
    cdef int64_t filters = min(cut.filter_block, g.filters - filter)
    cdef int64_t lanes = vector_bytes(path) // sizeof(real)
    cdef int64_t row = 0, start = 0, q, here, run, tap, taps, whole, offset, tap_of_kernel, done, i
    cdef int64_t apart = cut.group * cut.pieces * cut.sums_of_piece
    cdef bint last
    cdef const real *x_rows
    cdef const real *dy_rows
    cdef real *target
    cdef real *to_kernel
    cdef lc_tile tile = empty_tile(&start, &start)
    tile.a_row_step = 1
    if cut.along_taps and not cut.pack_dy:
        tile.a_ahead = g.y_position # the gradient of the next position
    while row < rows:
        done = before + row
        tile.run_length = min(min(<int64_t>ROW_BLOCK, rows - row), LC_PIECE - done % LC_PIECE)
        tile.accumulate = done % LC_PIECE != 0
        done += tile.run_length
        last = done == terms
        dy_rows = dy + row * g.y_row + first * g.y_position
        if cut.pack_dy:
            pack_gradient(g, tile.run_length, first, count, filter, filters, dy + row * g.y_row,
                          dys, cut.dy_step)
            dy_rows = dys
        for here in range(piece, last_piece):
            run = here // cut.tap_blocks
            tap = here % cut.tap_blocks * cut.tap_block
            taps = min(cut.tap_block, g.run_length - tap)
            whole = ceiling(taps, lanes) * lanes
            offset = receptive_field_offset(g, first) + g.run_offset[run] + tap
            tap_of_kernel = run * g.run_length + tap
            x_rows = x + row * g.x_row + offset
            if cut.pack_x:
                pack_rows(tile.run_length, (count - 1) * g.along + taps, x_rows, g.x_row, xs,
                          cut.x_step)
                x_rows = xs
            for q in range(count):
                to_kernel = dkernel + (first + q) * g.kernel_position + tap_of_kernel * g.filters \
                    + filter
                target = to_kernel
                if cut.along_taps or totals != NULL:
                    target = sums + (q * cut.pieces + here - piece) * cut.sums_of_piece
                if cut.along_taps:
                    # Vectors may over-read the run, but not the input.
                    tile.b_overrun = cut.pack_x or row + tile.run_length < rows \
                        or offset + q * g.along + whole <= g.x_row
                    tile.rows = filters
                    tile.columns = whole if tile.b_overrun else taps
                    tile.a_step = cut.dy_step
                    tile.b_row_step = cut.x_step
                    tile.c_row_step = whole
                    product(path, &tile, dy_rows + q * filters, x_rows + q * g.along,
                            <const real *>NULL, target)
                else:
                    tile.rows = taps
                    tile.columns = filters
                    tile.a_step = cut.x_step
                    tile.b_row_step = cut.dy_step
                    tile.c_row_step = filters if totals != NULL else g.filters
                    product(path, &tile, x_rows + q * g.along, dy_rows + q * filters,
                            <const real *>NULL, target)
                if totals != NULL and (last or done % LC_PIECE == 0):
                    add_piece(path, done, last, tile.rows * tile.c_row_step, apart, target,
                              totals + (target - sums))
                if last and cut.along_taps: # its filters are outermost
                    from_panel(path, taps, whole, filters, target, to_kernel, g.filters)
                elif last and totals != NULL:
                    for i in range(taps):
                        memcpy(to_kernel + i * g.filters, target + i * filters,
                               filters * sizeof(real))
        row += tile.run_length


def kernel_gradient(geometry, int64_t rows, const real[::1] x, const real[::1] dy,
                    real[::1] dkernel, int path, int threads, bint along_taps):
    """dkernel[p,k,f] = sum_n x[n,p,k] dy[n,p,f], vectors along k where `along_taps`, else f."""
    cdef FlatGeometry g = flat_geometry(geometry)
    cdef const real *x_start = &x[0]
    cdef const real *dy_start = &dy[0]
    cdef real *dkernel_start = &dkernel[0]
    cdef GradientTasks cut = gradient_tasks(&g, sizeof(real), vector_bytes(path) // sizeof(real),
                                            along_taps)
    cdef int64_t pieces = g.runs * cut.tap_blocks
    cdef int64_t parts = ceiling(pieces, cut.pieces)
    cdef bint shared = g.kernel_position == 0
    cdef int64_t groups = g.positions // g.output_columns * cut.groups_of_row
    cdef int64_t tasks = (1 if shared else groups) * parts * cut.filter_blocks
    cdef int64_t task, group, last, piece, column, first, filter
    cdef int64_t row_block = min(<int64_t>ROW_BLOCK, rows)
    cdef int64_t xs = row_block * cut.x_step if cut.pack_x else 0
    cdef int64_t dys = row_block * cut.dy_step if cut.pack_dy else 0
    cdef int64_t terms = rows * (g.positions if shared else 1)
    cdef int64_t sums = cut.group * cut.pieces * cut.sums_of_piece
    cdef int64_t scratch = xs + dys
    if terms > LC_PIECE:
        scratch += (1 + LC_TOTALS) * sums
    elif along_taps:
        scratch += sums
    cdef int thread
    # Zeros: vectors may over-read what is packed.
    cdef real *memory = <real *>calloc(threads * scratch + 1, sizeof(real))
    cdef real *own
    if memory == NULL:
        raise MemoryError("no memory for one block of the gradient of the kernel")
    for thread in prange(threads, nogil=True, num_threads=threads, schedule="static", chunksize=1):
        own = memory + thread * scratch
        for task in range(thread * tasks // threads, (thread + 1) * tasks // threads):
            group = 0 if shared else task // (parts * cut.filter_blocks)
            last = groups if shared else group + 1
            piece = task // cut.filter_blocks % parts * cut.pieces
            filter = task % cut.filter_blocks * cut.filter_block
            while group < last:
                column = group % cut.groups_of_row * cut.group
                first = group // cut.groups_of_row * g.output_columns + column
                kernel_gradient_task(&g, &cut, path, rows, first,
                                     min(cut.group, g.output_columns - column), piece,
                                     min(piece + cut.pieces, pieces), filter,
                                     group * rows if shared else 0, terms,
                                     x_start, dy_start, own, own + xs, own + xs + dys,
                                     own + xs + dys + sums if terms > LC_PIECE else NULL,
                                     dkernel_start)
                group = group + 1
    free(memory)
