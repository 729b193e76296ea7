# cython: language_level=3, boundscheck=False, wraparound=False
"""Checks of arrays, and pointers to their data, in less than a microsecond.

The buffer protocol without a format gives everything but the dtype, several times faster than
creating a typed memoryview.  A pointer is valid as long as the array is alive.
"""
from cpython.buffer cimport (
    PyBUF_ND, PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer,
)
from libc.stdint cimport uintptr_t

from numpy import may_share_memory, ndarray


cdef void *start_of(array, Py_ssize_t item_bytes) except NULL:
    """A pointer to the data of a C-contiguous array."""
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, PyBUF_SIMPLE)
    cdef void *start = view.buf
    cdef Py_ssize_t found = view.itemsize
    PyBuffer_Release(&view) # the array owns its memory, and the caller holds the array
    if found != item_bytes: # the loops would read out of bounds
        raise ValueError(f"an array has items of {found} bytes; expected {item_bytes}")
    return start


def fits(value, dtype, tuple row_shape):
    """Whether `value` is an array (N, *row_shape) that the kernels can read without a copy."""
    return is_plain(value, dtype, row_shape, 1, False)


def fits_output(out, dtype, tuple shape):
    """Whether `out` is an array of this shape that the kernels can write to directly."""
    return is_plain(out, dtype, shape, 0, True)


cdef bint is_plain(value, dtype, tuple shape, int batch_axes, bint writable) except -1:
    # An exact ndarray of this dtype, C-contiguous, aligned; `shape` is without the batch axes.
    cdef int flags = PyBUF_ND | PyBUF_WRITABLE if writable else PyBUF_ND
    cdef Py_buffer view
    cdef Py_ssize_t axis
    if type(value) is not ndarray or value.dtype is not dtype:
        return False
    try:
        PyObject_GetBuffer(value, &view, flags)
    except (BufferError, ValueError): # not contiguous, or read-only
        return False
    cdef bint plain = view.ndim == len(shape) + batch_axes \
        and <uintptr_t>view.buf % view.itemsize == 0
    if plain:
        for axis in range(len(shape)):
            if view.shape[axis + batch_axes] != <Py_ssize_t>shape[axis]:
                plain = False
    PyBuffer_Release(&view)
    return plain


def takes_answer(out, x):
    """Whether a result can be written to `out` while the contiguous `x` is read."""
    cdef Py_buffer view
    try:
        PyObject_GetBuffer(out, &view, PyBUF_SIMPLE)
    except (BufferError, ValueError): # not C-contiguous
        return False
    cdef bint aligned = <uintptr_t>view.buf % view.itemsize == 0
    PyBuffer_Release(&view)
    return aligned and not may_overlap(out, x)


cpdef bint may_overlap(first, second) except -1:
    """Whether two arrays may share memory; False means that they do not."""
    cdef Py_buffer one, other
    cdef bint apart
    try:
        PyObject_GetBuffer(first, &one, PyBUF_SIMPLE)
    except (BufferError, TypeError, ValueError): # not contiguous, or not an array
        return may_share_memory(first, second)
    try:
        PyObject_GetBuffer(second, &other, PyBUF_SIMPLE)
    except (BufferError, TypeError, ValueError):
        PyBuffer_Release(&one)
        return may_share_memory(first, second)
    apart = <uintptr_t>one.buf + one.len <= <uintptr_t>other.buf \
        or <uintptr_t>other.buf + other.len <= <uintptr_t>one.buf
    PyBuffer_Release(&one)
    PyBuffer_Release(&other)
    return not apart
