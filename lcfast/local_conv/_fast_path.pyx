# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=True
"""The cached fast path of forward calls that take microseconds, most of which Python would take.

A call that was made before, with arrays that need no conversion, runs with the plan cached in its
geometry.  For every other call it returns None, and ops.py takes the checked path.
"""
from numpy import empty, ndarray

from lcfast.local_conv._arrays cimport is_plain, may_overlap
from lcfast.local_conv._filters cimport forward as forward_along_filters
from lcfast.local_conv._batch cimport forward as forward_along_batch

from lcfast.local_conv import threads
from lcfast.local_conv._activation import ELEMENTWISE

cdef enum:
    CACHED_CALLS = 64 # most cached calls of a geometry; then the cache is cleared


cdef class CachedCall:
    """How a call that was made before was computed."""

    cdef int path, threads, activation
    cdef double alpha
    cdef long vectors, splits # 0: vectors run along filters
    cdef tuple shape          # of the output


def remember(geometry, rows, dtype, activation, call, int path, int thread_count, plan):
    """Let later calls like this one take the fast path."""
    cdef CachedCall cached = CachedCall()
    cdef dict calls = geometry.__dict__.setdefault("_cached_calls", {})
    if len(calls) >= CACHED_CALLS:
        calls.clear()
    name, cached.alpha = activation
    cached.activation = ELEMENTWISE[name]
    cached.path, cached.threads = path, thread_count
    cached.vectors, cached.splits = plan.vectors, plan.splits
    cached.shape = (rows, *geometry.output_shape)
    calls[rows, dtype, activation, call, threads.get_num_threads()] = cached


def forward(x, kernel, bias, geometry, activation, out, call):
    """y[n,p,f] = activation(sum_k x[n,p,k] kernel[p,k,f] + bias[p,f]), or None."""
    cdef dict calls = (<dict>geometry.__dict__).get("_cached_calls")
    if calls is None or type(x) is not ndarray or type(kernel) is not ndarray:
        return None
    dtype = kernel.dtype
    if not is_plain(x, dtype, geometry.input_shape, 1, False):
        return None
    cdef CachedCall cached = calls.get((len(x), dtype, activation, call, threads.get_num_threads()))
    if cached is None:
        return None
    if out is None:
        out = empty(cached.shape, dtype)
    elif not is_plain(out, dtype, cached.shape, 0, True) or may_overlap(out, x):
        return None
    if cached.splits:
        forward_along_batch(geometry, cached.shape[0], dtype.itemsize, x, kernel, bias, out,
                            cached.activation, cached.alpha, cached.path, cached.threads,
                            cached.vectors, cached.splits)
    else:
        forward_along_filters(geometry, cached.shape[0], dtype.itemsize, x, kernel, bias, out,
                              cached.activation, cached.alpha, cached.path, cached.threads)
    return out
