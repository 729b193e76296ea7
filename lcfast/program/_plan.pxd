# What _program.pyx runs.
from libc.stdint cimport int64_t

from lcfast.program._tasks cimport Task


cdef class Plan:
    cdef readonly int64_t rows
    cdef Task *tasks
    cdef int64_t *shared # how many parts of each step the threads share
    cdef int64_t count, slots, scratch # steps; bytes of the arena
    cdef list kept # arrays that the tasks point into

    cdef void *keep(self, array, dtype) except? NULL
    cdef int fill(self, Task *task, step, where, steps, int path, int threads) except -1
    cdef int fill_product(self, Task *task, operation, dtype, int threads) except -1
    cdef int fill_copy(self, Task *task, operation) except -1
