# What the programs of models call.
from libc.stdint cimport int64_t

from lcfast.local_conv._kernels cimport lc_csr
from lcfast.local_conv._simd_paths cimport real

cdef enum:
    FEWEST_FOR_PANEL = 4 # from so many rows of the batch on, a panel saves more than it costs

cdef struct Strip:
    int64_t first, last             # families
    int64_t first_column, columns   # the range that they read

cdef class Matrix:
    cdef lc_csr csr
    cdef Strip *strips
    cdef int64_t strip_count, widest
    cdef object arrays

    cdef void cut(self, int64_t *families) noexcept nogil

cdef void panel_task(int path, const lc_csr *csr, const Strip *strip, const real *data,
                     const real *bias, int64_t batch, const real *x, real *panel,
                     real *y) noexcept nogil

cdef void vector_task(int path, const lc_csr *csr, int64_t first, int64_t last, const real *data,
                      const real *bias, int64_t batch, const real *x, real *y) noexcept nogil
