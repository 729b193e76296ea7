# cython: language_level=3, boundscheck=False, wraparound=False
"""A geometry flattened to a struct of integers for the C loops, built once for each geometry."""
from libc.stdint cimport int64_t

from lcfast.local_conv._arrays cimport start_of


cdef class CachedFlatGeometry:
    """The struct, cached in its geometry: reading the geometry's attributes takes microseconds."""

    cdef FlatGeometry flat
    cdef object offsets # the arrays that `flat` points into

    def __cinit__(self, geometry):
        self.offsets = geometry.run_offsets, geometry.kernel_run_offsets
        self.flat = flattened(geometry)


cdef FlatGeometry flat_geometry(geometry):
    cdef dict cached = geometry.__dict__ # which also holds its cached properties
    flat = cached.get("_flat_geometry")
    if flat is None:
        flat = cached["_flat_geometry"] = CachedFlatGeometry(geometry)
    return (<CachedFlatGeometry>flat).flat


cdef FlatGeometry flattened(geometry):
    cdef FlatGeometry g
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
