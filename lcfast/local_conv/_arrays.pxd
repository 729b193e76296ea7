# Pointers to the data of arrays, and checks of arrays.
cdef void *start_of(array, Py_ssize_t item_bytes) except NULL
cdef bint is_plain(value, dtype, tuple shape, int batch_axes, bint writable) except -1
cpdef bint may_overlap(first, second) except -1
