# The kernels of every SIMD path, which are compiled into this module alone, and each of them under
# one name for both real types.
from libc.stdint cimport int64_t

from lcfast.local_conv._kernels cimport lc_kernels_f32, lc_kernels_f64, lc_tile

ctypedef fused real:
    float
    double

cdef const lc_kernels_f32 *table_f32(int path) noexcept nogil
cdef const lc_kernels_f64 *table_f64(int path) noexcept nogil
cdef void finish_streams() noexcept nogil

cpdef int64_t vector_bytes(int path) noexcept nogil


cdef inline int64_t lanes_of(int path, int64_t item_bytes) noexcept nogil:
    return table_f32(path).lanes if item_bytes == 4 else table_f64(path).lanes


cdef inline void product(int path, const lc_tile *tile, const real *a, const real *b,
                         const real *bias, real *c) noexcept nogil:
    if real is float:
        table_f32(path).product(tile, a, b, bias, c)
    else:
        table_f64(path).product(tile, a, b, bias, c)


cdef inline void add_piece(int path, int64_t terms, bint last, int64_t count, int64_t apart,
                           real *sums, real *totals) noexcept nogil:
    if real is float:
        table_f32(path).add_piece(terms, last, count, apart, sums, totals)
    else:
        table_f64(path).add_piece(terms, last, count, apart, sums, totals)


cdef inline void to_panel(int path, int64_t rows, int64_t width, int64_t count, const real *x,
                          int64_t x_row, real *panel) noexcept nogil:
    if real is float:
        table_f32(path).to_panel(rows, width, count, x, x_row, panel)
    else:
        table_f64(path).to_panel(rows, width, count, x, x_row, panel)


cdef inline void from_panel(int path, int64_t rows, int64_t width, int64_t count,
                            const real *panel, real *y, int64_t y_row) noexcept nogil:
    if real is float:
        table_f32(path).from_panel(rows, width, count, panel, y, y_row)
    else:
        table_f64(path).from_panel(rows, width, count, panel, y, y_row)


cdef inline void activate_block(int path, int activation, double alpha, int64_t count,
                                real *y) noexcept nogil:
    if real is float:
        table_f32(path).activate(activation, <float>alpha, count, y)
    else:
        table_f64(path).activate(activation, alpha, count, y)
