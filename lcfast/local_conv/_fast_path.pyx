# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=True
"""The cached fast path of ops.py, for forward calls of a few microseconds.

It applies to arrays that need no conversion and to calls whose choices (loops, threads, plan) were
cached with the geometry by an earlier call.  For all others ops.py computes the same.
"""
from numpy import empty, ndarray

from lcfast.local_conv._arrays cimport is_plain, may_overlap
from lcfast.local_conv._filters cimport forward as forward_along_filters
from lcfast.local_conv._batch cimport forward as forward_along_batch

from lcfast.local_conv import threads
from lcfast.local_conv._activation import ELEMENTWISE

cdef enum:
    REMEMBERED = 64 # most cached calls of a geometry; then the cache is emptied


cdef class Way:
    """The choices made for an earlier call: loops, threads, SIMD path, plan."""

    cdef int path, threads, activation
    cdef double alpha
    cdef long vectors, splits # 0: vectors run along filters
    cdef tuple shape          # of the output


def remember(geometry, rows, dtype, activation, call, int path, int thread_count, plan):
    """Cache the choices of this call for later calls with the same arguments."""
    cdef Way way = Way()
    cdef dict ways = geometry.__dict__.setdefault("_ways", {})
    if len(ways) >= REMEMBERED:
        ways.clear()
    name, way.alpha = activation
    way.activation = ELEMENTWISE[name]
    way.path, way.threads = path, thread_count
    way.vectors, way.splits = plan.vectors, plan.splits
    way.shape = (rows, *geometry.output_shape)
    ways[rows, dtype, activation, call, threads.get_num_threads()] = way


def forward(x, kernel, bias, geometry, activation, out, call):
    """y[n,p,f] = activation(sum_k x[n,p,k] kernel[p,k,f] + bias[p,f]), or None if it does not apply."""
    cdef dict ways = (<dict>geometry.__dict__).get("_ways")
    if ways is None or type(x) is not ndarray or type(kernel) is not ndarray:
        return None
    dtype = kernel.dtype
    if not is_plain(x, dtype, geometry.input_shape, 1, False):
        return None
    cdef Way way = ways.get((len(x), dtype, activation, call, threads.get_num_threads()))
    if way is None:
        return None
    if out is None:
        out = empty(way.shape, dtype)
    elif not is_plain(out, dtype, way.shape, 0, True) or may_overlap(out, x):
        return None
    if way.splits:
        forward_along_batch(geometry, way.shape[0], dtype.itemsize, x, kernel, bias, out,
                            way.activation, way.alpha, way.path, way.threads, way.vectors,
                            way.splits)
    else:
        forward_along_filters(geometry, way.shape[0], dtype.itemsize, x, kernel, bias, out,
                              way.activation, way.alpha, way.path, way.threads)
    return out
