# The tables of kernels, for the other extension modules: they are compiled into this one alone.
from lcfast.local_conv._kernels cimport lc_kernels_f32, lc_kernels_f64

cdef const lc_kernels_f32 *table_f32(int path) noexcept nogil
cdef const lc_kernels_f64 *table_f64(int path) noexcept nogil
