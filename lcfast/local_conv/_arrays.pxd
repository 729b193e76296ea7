# What the loops take arrays by.
cdef void *start_of(array, Py_ssize_t item_bytes) except NULL
