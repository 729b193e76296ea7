# What the other extension modules take from this one: the kernels, which are compiled into it
# alone, each under one name for both real types, and the steps through a geometry.
from libc.stdint cimport int64_t, uintptr_t
from libc.string cimport memset

from lcfast.local_conv._kernels cimport lc_kernels_f32, lc_kernels_f64, lc_tile
from lcfast.local_conv._windows cimport Windows, windows_of

cdef const lc_kernels_f32 *table_f32(int path) noexcept nogil
cdef const lc_kernels_f64 *table_f64(int path) noexcept nogil

ctypedef fused real:
    float
    double

cdef enum:
    ALIGNMENT = 64 # bytes: a line of the caches and the widest vector

cpdef int64_t vector_bytes(int path) noexcept nogil

cpdef forward(geometry, int64_t rows, int item_bytes, x, kernel, bias, y, int activation,
              double alpha, int path, int threads)


cdef inline int64_t window_offset(const Windows *g, int64_t position) noexcept nogil:
    return position // g.output_columns * g.down + position % g.output_columns * g.along


cdef inline int64_t ceiling(int64_t size, int64_t block) noexcept nogil:
    return (size + block - 1) // block


cdef inline lc_tile empty_tile(const int64_t *a_run_offset,
                               const int64_t *b_run_offset) noexcept nogil:
    # One run of nothing; c has its columns side by side.
    cdef lc_tile tile
    memset(&tile, 0, sizeof(tile))
    tile.runs = 1
    tile.a_run_offset = a_run_offset
    tile.b_run_offset = b_run_offset
    tile.c_column_step = 1
    return tile


cdef inline void *aligned(void *memory) noexcept nogil:
    return <void *>((<uintptr_t>memory + ALIGNMENT - 1) & ~<uintptr_t>(ALIGNMENT - 1))


cdef inline int64_t lanes_of(int path, int64_t item_bytes) noexcept nogil:
    return table_f32(path).lanes if item_bytes == 4 else table_f64(path).lanes


cdef inline void product(int path, const lc_tile *tile, const real *a, const real *b,
                         const real *bias, real *c) noexcept nogil:
    if real is float:
        table_f32(path).product(tile, a, b, bias, c)
    else:
        table_f64(path).product(tile, a, b, bias, c)


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
