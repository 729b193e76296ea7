# What the cached fast path and the programs of models call.
from libc.stdint cimport int64_t

from lcfast.local_conv._flat_geometry cimport FlatGeometry
from lcfast.local_conv._simd_paths cimport real

cdef enum:
    GROUP_NUMBERS = 64 # sums of a row of the batch that are transposed back together

# Sizes of the scratch arrays of one thread, and positions whose sums are transposed back together.
cdef struct ForwardScratch:
    int64_t group, panel, total

cdef ForwardScratch forward_scratch(const FlatGeometry *g, int64_t width, int64_t lanes,
                                    int64_t splits) noexcept nogil

cdef void forward_task(const FlatGeometry *g, int path, int64_t width, int activation,
                       double alpha, int64_t rows, int64_t first, int64_t last, int64_t group,
                       const real *x, const real *kernel, const real *bias,
                       int64_t *panel_run_offset, real *panel, real *sums,
                       real *y) noexcept nogil

cpdef forward(geometry, int64_t rows, int item_bytes, x, kernel, bias, y, int activation,
              double alpha, int path, int threads, int64_t vectors, int64_t splits)
