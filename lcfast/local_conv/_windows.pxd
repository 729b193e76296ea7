# Where the windows of a geometry lie, as the loops take it.
from libc.stdint cimport int64_t

# The steps between the numbers that one output position touches; see geometry.Geometry.
cdef struct Windows:
    int64_t positions, output_columns, down, along
    int64_t channels, input_rows, input_columns, kernel_rows, kernel_columns
    int64_t row_stride, column_stride
    int64_t runs, run_length, patch, filters
    int64_t x_row, y_row          # numbers in one row of the input and of the output
    int64_t x_channel             # step in a row of the input
    int64_t y_position, y_filter  # steps in a row of the output
    int64_t kernel_position       # 0 where the kernel is shared
    int64_t bias_position
    int64_t span                  # from the first input of a window to beyond its last
    const int64_t *run_offset        # [runs], of the input
    const int64_t *kernel_run_offset # [runs], of a position's kernel

cdef Windows windows_of(geometry)
