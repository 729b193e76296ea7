# What _program.pyx runs.
from libc.stdint cimport int64_t

from lcfast.program._tasks cimport Place, Task


cdef class Plan:
    cdef readonly int64_t rows
    cdef Task *tasks
    cdef int64_t *shared # how many parts of each step the threads share
    cdef int64_t count, scratch # steps; bytes of a task
    cdef list kept # arrays that the tasks point into

    cdef void *keep(self, array, dtype) except? NULL
    cdef int place(self, Place *place, tuple where, int64_t start) except -1
    cdef int fill(self, Task *task, step, where, steps, int path, int threads) except -1
    cdef int fill_product(self, Task *task, operation, dtype, int threads) except -1
    cdef int fill_copy(self, Task *task, operation) except -1
