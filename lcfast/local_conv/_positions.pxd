# What the programs of models call.
from libc.stdint cimport int64_t

from lcfast.local_conv._flat_geometry cimport FlatGeometry
from lcfast.local_conv._position_groups cimport Groups, Scratch
from lcfast.local_conv._simd_paths cimport real

# The tasks of a forward product, and the scratch arrays of one thread.
cdef struct ForwardCut:
    Groups groups
    int64_t tasks
    Scratch scratch

cdef ForwardCut forward_cut(const FlatGeometry *g, int64_t rows, int64_t lanes,
                            int64_t vectors) noexcept nogil

cdef void forward_group(const FlatGeometry *g, const ForwardCut *cut, int64_t task, int path,
                        int activation, double alpha, int64_t rows, const real *x,
                        const real *kernel, const real *bias, int64_t *offsets, real *memory,
                        real *y) noexcept nogil
