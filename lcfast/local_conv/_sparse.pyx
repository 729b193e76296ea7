# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, embedsignature=True
"""The sparse engine's loops: which rows of the CSR matrix, which rows of the batch, which thread.

All is trusted, see ops.py.  A thread takes one contiguous range of tasks; no output is shared by
two tasks and no sum is cut between two threads, so the bits do not depend on `threads`.
"""
from cython.parallel cimport prange
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport free, malloc

from lcfast.local_conv._direct cimport table_f32, table_f64
from lcfast.local_conv._kernels cimport LC_SPARSE_LANES

ctypedef fused real:
    float
    double

cdef enum:
    GROUP_NUMBERS = 1 << 16 # stored numbers in a task: their matrix rows share a panel of x


cdef void columns_of(int64_t first, int64_t last, const int64_t *start, const int32_t *index,
                     int64_t *lowest, int64_t *beyond) noexcept nogil:
    # The range of columns that rows first..last touch; they ascend within a row.
    cdef int64_t o
    lowest[0] = 0
    beyond[0] = 0
    for o in range(first, last):
        if start[o + 1] > start[o]:
            if beyond[0] == 0 or index[start[o]] < lowest[0]:
                lowest[0] = index[start[o]]
            if index[start[o + 1] - 1] >= beyond[0]:
                beyond[0] = index[start[o + 1] - 1] + 1


cdef void panel_task(int path, int64_t first, int64_t last, const int64_t *start,
                     const int32_t *index, const real *data, int64_t batch, int64_t columns,
                     const real *x, real *panel, real *y, int64_t y_step) noexcept nogil:
    # y[n,o] = sum_r data[r] x[n,index[r]] for rows first..last of the matrix and one block of n
    cdef int64_t lowest, beyond, column, n
    cdef real *target
    columns_of(first, last, start, index, &lowest, &beyond)
    for column in range(lowest, beyond):
        target = panel + (column - lowest) * LC_SPARSE_LANES
        for n in range(batch):
            target[n] = x[n * columns + column]
        for n in range(batch, LC_SPARSE_LANES):
            target[n] = 0
    if real is float:
        table_f32(path).sparse_panel(first, last, start, index, data, lowest, panel, batch, y,
                                        y_step)
    else:
        table_f64(path).sparse_panel(first, last, start, index, data, lowest, panel, batch, y,
                                        y_step)


def product(const int64_t[::1] starts, const int32_t[::1] indices, const real[::1] numbers,
            int64_t batch, int64_t columns, const real[::1] x, real[::1] y, int path, int threads):
    """y[n,o] = sum_r data[r] x[n,index[r]], r in row o of the matrix."""
    cdef int64_t rows = starts.shape[0] - 1
    cdef const int64_t *start = &starts[0]
    cdef const int32_t *index = &indices[0]
    cdef const real *data = &numbers[0]
    cdef const real *x_start = &x[0]
    cdef real *y_start = &y[0]
    # Below a quarter of the lanes, a panel costs more than it saves.
    cdef bint by_panel = batch * 4 > LC_SPARSE_LANES
    cdef int64_t lanes = LC_SPARSE_LANES if by_panel else 1
    cdef int64_t per_row = max(start[rows] // rows, 1)
    cdef int64_t group = max(min(GROUP_NUMBERS // per_row, (rows + threads - 1) // threads), 1)
    cdef int64_t groups = (rows + group - 1) // group
    cdef int64_t tasks = groups * ((batch + lanes - 1) // lanes)
    cdef int64_t widest = 1
    cdef int64_t task, first, last, n, lowest, beyond
    cdef int thread
    cdef real *panels = NULL
    if by_panel:
        for task in range(groups):
            columns_of(task * group, min((task + 1) * group, rows), start, index, &lowest, &beyond)
            widest = max(widest, beyond - lowest)
        panels = <real *>malloc(threads * widest * LC_SPARSE_LANES * sizeof(real))
        if panels == NULL:
            raise MemoryError("no memory for a block of the input of a sparse product")
    for thread in prange(threads, nogil=True, num_threads=threads, schedule="static", chunksize=1):
        for task in range(thread * tasks // threads, (thread + 1) * tasks // threads):
            n = task // groups * lanes
            first = task % groups * group
            last = min(first + group, rows)
            if by_panel:
                panel_task(path, first, last, start, index, data, min(lanes, batch - n), columns,
                           x_start + n * columns, panels + thread * widest * LC_SPARSE_LANES,
                           y_start + n * rows, rows)
            elif real is float:
                table_f32(path).sparse_vector(first, last, start, index, data,
                                                 x_start + n * columns, y_start + n * rows)
            else:
                table_f64(path).sparse_vector(first, last, start, index, data,
                                                 x_start + n * columns, y_start + n * rows)
    free(panels)


def gradient(const int64_t[::1] starts, const int32_t[::1] indices, int64_t batch,
             int64_t columns, const real[::1] x, const real[::1] dy, real[::1] ddata, int path,
             int threads):
    """ddata[r] = sum_n dy[n,o] x[n,index[r]], r in row o of the matrix."""
    cdef int64_t rows = starts.shape[0] - 1
    cdef const int64_t *start = &starts[0]
    cdef const int32_t *index = &indices[0]
    cdef const real *x_start = &x[0]
    cdef const real *dy_start = &dy[0]
    cdef real *ddata_start = &ddata[0]
    cdef int64_t first, last
    cdef int thread
    for thread in prange(threads, nogil=True, num_threads=threads, schedule="static", chunksize=1):
        first = thread * rows // threads
        last = (thread + 1) * rows // threads
        if real is float:
            table_f32(path).sparse_gradient(first, last, start, index, batch, x_start, columns,
                                               dy_start, rows, ddata_start)
        else:
            table_f64(path).sparse_gradient(first, last, start, index, batch, x_start, columns,
                                               dy_start, rows, ddata_start)
