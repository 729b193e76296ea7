# A geometry flattened to the integers that the C loops need.
from libc.stdint cimport int64_t

# Sizes, and steps in numbers of an array; see geometry.Geometry.
cdef struct FlatGeometry:
    int64_t positions, output_columns, down, along
    int64_t channels, input_rows, input_columns, kernel_rows, kernel_columns
    int64_t row_stride, column_stride
    int64_t runs, run_length, patch, filters
    int64_t x_row, y_row          # numbers in one row of the input and of the output
    int64_t x_channel             # step from a channel to the next in a row of the input
    int64_t y_position, y_filter  # steps in a row of the output
    int64_t kernel_position       # 0 where the kernel is shared
    int64_t bias_position
    int64_t span                  # from the first input of a receptive field to one past its last
    const int64_t *run_offset        # [runs], of the input
    const int64_t *kernel_run_offset # [runs], of a position's kernel

cdef FlatGeometry flat_geometry(geometry)


cdef inline int64_t receptive_field_offset(const FlatGeometry *g, int64_t position) noexcept nogil:
    # Where the receptive field of an output position starts in a row of the input.
    return position // g.output_columns * g.down + position % g.output_columns * g.along
