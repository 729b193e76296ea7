# What the loops of the positions regime share: groups of consecutive positions, and their kernels.
from libc.stdint cimport int64_t
from libc.string cimport memcpy

from lcfast.local_conv._flat_geometry cimport FlatGeometry
from lcfast.local_conv._kernels cimport lc_positions
from lcfast.local_conv._simd_paths cimport real, table_f32, table_f64
from lcfast.local_conv._tiles cimport ceiling

cdef enum:
    ROW_BLOCK = 8 # rows of the batch whose part of a group is in cache; LC_PIECE is a multiple


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


cdef inline void positions_product(int path, const lc_positions *tile, const real *x, const real *w,
                                   const real *bias, real *y) noexcept nogil:
    if real is float:
        table_f32(path).positions(tile, x, w, bias, y)
    else:
        table_f64(path).positions(tile, x, w, bias, y)


# How rows of `columns` positions, or of slots of the input, are cut into groups: whole vectors, and
# in the last group the remainder as well.
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
    # An odd number of vectors: rows a power of two apart would cause cache-set conflicts.
    return (ceiling(positions, lanes) | 1) * lanes


cdef inline void unzip_outputs(const FlatGeometry *g, int path, int64_t rows, int64_t positions,
                               int64_t width, const real *dy, real *panel) noexcept nogil:
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


# Sizes of the scratch arrays of one thread.
cdef struct Scratch:
    int64_t weights, bias, x, y, total
