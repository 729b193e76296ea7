# cython: language_level=3, boundscheck=False, wraparound=False
"""The integers of a geometry as the loops take them: a struct, made once for each geometry."""
from libc.stdint cimport int64_t

from lcfast.local_conv._arrays cimport start_of


cdef class Steps:
    """The windows of a geometry, kept with it: reading its attributes takes microseconds."""

    cdef Windows windows
    cdef object offsets # the arrays that `windows` points into

    def __cinit__(self, geometry):
        self.offsets = geometry.run_offsets, geometry.kernel_run_offsets
        self.windows = read_windows(geometry)


cdef Windows windows_of(geometry):
    cdef dict kept = geometry.__dict__ # where its cached properties lie too
    steps = kept.get("_steps")
    if steps is None:
        steps = kept["_steps"] = Steps(geometry)
    return (<Steps>steps).windows


cdef Windows read_windows(geometry):
    cdef Windows g
    g.positions = geometry.positions
    g.output_columns = geometry.output_columns
    g.down, g.along = geometry.window_steps
    g.runs = geometry.runs
    g.run_length = geometry.run_length
    g.patch = geometry.patch_size
    g.filters = geometry.filters
    g.channels = geometry.channels
    if len(geometry.input_size) == 2:
        g.input_rows, g.input_columns = geometry.input_size
        g.kernel_rows, g.kernel_columns = geometry.kernel_size
        g.row_stride, g.column_stride = geometry.strides
    else: # one row of pixels
        g.input_rows = g.kernel_rows = g.row_stride = 1
        g.input_columns, = geometry.input_size
        g.kernel_columns, = geometry.kernel_size
        g.column_stride, = geometry.strides
    g.x_row = g.channels * g.input_rows * g.input_columns
    g.y_row = g.positions * g.filters
    g.x_channel = g.input_rows * g.input_columns if geometry.channels_first else 1
    g.y_position = 1 if geometry.channels_first else g.filters
    g.y_filter = g.positions if geometry.channels_first else 1
    g.kernel_position = 0 if geometry.shared else g.patch * g.filters
    g.bias_position = 0 if geometry.shared else g.y_position
    g.run_offset = g.kernel_run_offset = NULL
    if g.runs:
        g.run_offset = <const int64_t *>start_of(geometry.run_offsets, sizeof(int64_t))
        g.kernel_run_offset = \
            <const int64_t *>start_of(geometry.kernel_run_offsets, sizeof(int64_t))
    g.span = geometry.span
    return g
