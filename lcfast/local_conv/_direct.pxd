# What the other extension modules take from this one: the tables of kernels, which are compiled
# into it alone, and the steps through a geometry.
from libc.stdint cimport int64_t
from libc.string cimport memset

from lcfast.local_conv._kernels cimport lc_kernels_f32, lc_kernels_f64, lc_tile

cdef const lc_kernels_f32 *table_f32(int path) noexcept nogil
cdef const lc_kernels_f64 *table_f64(int path) noexcept nogil

# The steps between the numbers that one output position touches; see geometry.Geometry.
cdef struct Windows:
    int64_t positions, output_columns, down, along
    int64_t channels, input_rows, input_columns, kernel_rows, kernel_columns
    int64_t row_stride, column_stride
    int64_t runs, run_length, patch, filters
    int64_t x_row, y_row          # numbers in one row of the input and of the output
    int64_t y_position, y_filter  # steps in a row of the output
    int64_t kernel_position       # 0 where the kernel is shared
    int64_t bias_position
    int64_t span                  # from the first input of a window to beyond its last
    const int64_t *run_offset        # [runs], of the input
    const int64_t *kernel_run_offset # [runs], of a position's kernel

cdef Windows windows_of(geometry)
cpdef int64_t vector_bytes(int path) noexcept nogil


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
