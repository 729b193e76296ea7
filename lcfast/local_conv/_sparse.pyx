# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, embedsignature=True
"""The sparse engine: products with a CSR matrix, y[n,o] = sum_r data[r] x[n,index[r]], r in row o.

Arguments are validated in sparse.py.  A thread computes one contiguous range of tasks; tasks share
no output and no sum is split between two, so results are bit-identical for any number of threads.
"""
from cython.parallel cimport prange
from libc.stdint cimport int32_t, int64_t, uintptr_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp

from lcfast.local_conv._kernels cimport LC_PIECE, LC_SPARSE_HELD, LC_SPARSE_LANES, LC_TOTALS, lc_csr
from lcfast.local_conv._simd_paths cimport add_piece, real, table_f32, table_f64

cdef enum:
    STRIP_NUMBERS = 1 << 15 # stored numbers in a strip: they stay in L2 for the whole batch
    STRIP_COLUMNS = 512     # columns of a strip whose panel stays in L2; more if each is used
    OFTEN = 16              # so often
    LEAST_NUMBERS = 1 << 12 # a strip with fewer is not cut to feed more threads
    STRIPS = 16             # strips of a small matrix, for the threads to share
    ALIGNMENT = 64          # bytes of the widest vector


cdef class Matrix:
    """A CSR pattern, split into families of rows with the same columns, and strips of families."""

    def __cinit__(self, const int64_t[::1] starts, const int32_t[::1] indices, int64_t columns):
        cdef int64_t rows = starts.shape[0] - 1
        cdef int64_t *families
        self.arrays = starts.base, indices.base # keeps the memory behind the pointers alive
        self.csr.rows = rows
        self.csr.columns = columns
        self.csr.start = &starts[0]
        self.csr.index = &indices[0]
        families = <int64_t *>malloc((rows + 1) * sizeof(int64_t))
        self.csr.family = families
        self.strips = <Strip *>malloc((rows + 1) * sizeof(Strip))
        if families == NULL or self.strips == NULL:
            raise MemoryError("no memory for the families of rows of a sparse matrix")
        self.cut(families)

    def __dealloc__(self):
        free(<void *>self.csr.family)
        free(self.strips)

    def __reduce__(self):
        return Matrix, (*self.arrays, self.csr.columns)

    cdef void cut(self, int64_t *families) noexcept nogil:
        cdef const int64_t *start = self.csr.start
        cdef const int32_t *index = self.csr.index
        cdef int64_t rows = self.csr.rows
        cdef int64_t most = max(<int64_t>LEAST_NUMBERS,
                                min(<int64_t>STRIP_NUMBERS, start[rows] // STRIPS))
        cdef int64_t count = 0
        cdef int64_t o, f, taps, numbers, lowest, beyond, joint_lowest, joint_beyond, new_columns
        cdef Strip *strip = NULL
        for o in range(rows):
            taps = start[o + 1] - start[o]
            if (o == 0 or taps != start[o] - start[o - 1]
                    or start[o + 1] - start[families[count - 1]] > most
                    or memcmp(index + start[o], index + start[o - 1], taps * sizeof(int32_t))):
                families[count] = o
                count += 1
        families[count] = rows
        self.strip_count = 0
        self.widest = 0
        for f in range(count):
            o = families[f]
            taps = start[o + 1] - start[o]
            lowest = index[start[o]] if taps else 0
            beyond = index[start[o + 1] - 1] + 1 if taps else 0
            if strip != NULL:
                joint_lowest = min(lowest, strip.first_column) if taps else strip.first_column
                joint_beyond = max(beyond, strip.first_column + strip.columns)
                new_columns = joint_beyond - joint_lowest - strip.columns
                numbers = start[families[f + 1]] - start[o]
                if (start[families[f + 1]] - start[families[strip.first]] <= most
                        and (joint_beyond - joint_lowest <= STRIP_COLUMNS
                             or new_columns * OFTEN <= numbers)):
                    lowest = joint_lowest
                    beyond = joint_beyond
                else:
                    strip = NULL
            if strip == NULL:
                strip = self.strips + self.strip_count
                self.strip_count += 1
                strip.first = f
            strip.last = f + 1
            strip.first_column = lowest
            strip.columns = beyond - lowest
            self.widest = max(self.widest, strip.columns)


cdef void panel_task(int path, const lc_csr *csr, const Strip *strip, const real *data,
                     const real *bias, int64_t batch, const real *x, real *panel,
                     real *y) noexcept nogil:
    if real is float:
        table_f32(path).sparse_panel(csr, strip.first, strip.last, strip.first_column,
                                     strip.columns, data, bias, batch, x, panel, y)
    else:
        table_f64(path).sparse_panel(csr, strip.first, strip.last, strip.first_column,
                                     strip.columns, data, bias, batch, x, panel, y)


cdef void vector_task(int path, const lc_csr *csr, int64_t first, int64_t last, const real *data,
                      const real *bias, int64_t batch, const real *x, real *y) noexcept nogil:
    cdef int64_t n
    for n in range(batch):
        if real is float:
            table_f32(path).sparse_vector(csr, first, last, data, bias, x + n * csr.columns,
                                          y + n * csr.rows)
        else:
            table_f64(path).sparse_vector(csr, first, last, data, bias, x + n * csr.columns,
                                          y + n * csr.rows)


def product(Matrix matrix, const real[::1] numbers, int64_t batch, const real[::1] x,
            const real[::1] bias, real[::1] y, int activation, double alpha, int path, int threads):
    """y[n,o] = activation(sum_r numbers[r] x[n,index[r]] (+ bias[o])), r in row o of the matrix."""
    cdef lc_csr csr = matrix.csr
    cdef Strip *strips = matrix.strips
    cdef const real *data = &numbers[0]
    cdef const real *x_start = &x[0]
    cdef const real *bias_start = NULL
    cdef real *y_start = &y[0]
    cdef bint by_panel = batch >= FEWEST_FOR_PANEL
    cdef int64_t blocks = (batch + LC_SPARSE_LANES - 1) // LC_SPARSE_LANES if by_panel else 1
    cdef int64_t tasks = matrix.strip_count * blocks
    cdef int64_t panel_size = (matrix.widest + LC_SPARSE_HELD) * LC_SPARSE_LANES
    cdef int64_t task, first, last, n
    cdef int thread
    cdef real *memory = NULL
    cdef real *panels = NULL
    if bias is not None:
        bias_start = &bias[0]
    csr.activation = activation
    csr.alpha = alpha
    if by_panel:
        memory = <real *>malloc(threads * panel_size * sizeof(real) + ALIGNMENT)
        if memory == NULL:
            raise MemoryError("no memory for a block of the input of a sparse product")
        panels = <real *>((<uintptr_t>memory + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT)
    for thread in prange(threads, nogil=True, num_threads=threads, schedule="static", chunksize=1):
        first = thread * tasks // threads
        last = (thread + 1) * tasks // threads
        if not by_panel and first < last:
            vector_task(path, &csr, strips[first].first, strips[last - 1].last, data, bias_start,
                        batch, x_start, y_start)
        elif by_panel:
            for task in range(first, last):
                n = task % blocks * LC_SPARSE_LANES
                panel_task(path, &csr, strips + task // blocks, data, bias_start,
                           min(<int64_t>LC_SPARSE_LANES, batch - n), x_start + n * csr.columns,
                           panels + thread * panel_size, y_start + n * csr.rows)
    free(memory)


cdef inline int64_t numbers_before(const lc_csr *csr, int64_t family) noexcept nogil:
    return csr.start[csr.family[family]]


cdef void gradient_task(int path, const lc_csr *csr, const Strip *strip, int64_t batch,
                        const real *x, const real *dy, real *totals, real *ddata) noexcept nogil:
    # ddata[r] = sum_n dy[n,o] x[n,index[r]], n ascending, block by block
    cdef int64_t n = 0
    cdef int64_t size
    cdef int64_t first = numbers_before(csr, strip.first)
    cdef int64_t count = numbers_before(csr, strip.last) - first
    while n == 0 or n < batch:
        size = min(<int64_t>LC_SPARSE_LANES, batch - n)
        if real is float:
            table_f32(path).sparse_gradient(csr, strip.first, strip.last, size, n % LC_PIECE != 0,
                                            x + n * csr.columns, dy + n * csr.rows, ddata)
        else:
            table_f64(path).sparse_gradient(csr, strip.first, strip.last, size, n % LC_PIECE != 0,
                                            x + n * csr.columns, dy + n * csr.rows, ddata)
        n += LC_SPARSE_LANES
        if batch > LC_PIECE and (n >= batch or n % LC_PIECE == 0):
            add_piece(path, min(n, batch), n >= batch, count, count, ddata + first, totals)


def gradient(Matrix matrix, int64_t batch, const real[::1] x, const real[::1] dy,
             real[::1] ddata, int path, int threads):
    """ddata[r] = sum_n dy[n,o] x[n,index[r]], r in row o of the matrix."""
    cdef lc_csr csr = matrix.csr
    cdef Strip *strips = matrix.strips
    cdef int64_t tasks = matrix.strip_count
    cdef const real *x_start = &x[0]
    cdef const real *dy_start = &dy[0]
    cdef real *ddata_start = &ddata[0]
    cdef real *totals = NULL
    cdef int64_t task, most = 0
    cdef int thread
    if batch > LC_PIECE:
        for task in range(tasks):
            most = max(most, numbers_before(&csr, strips[task].last)
                       - numbers_before(&csr, strips[task].first))
        totals = <real *>malloc((threads * LC_TOTALS * most + 1) * sizeof(real))
        if totals == NULL:
            raise MemoryError("no memory for the sums of one strip of a sparse matrix")
    for thread in prange(threads, nogil=True, num_threads=threads, schedule="static", chunksize=1):
        for task in range(thread * tasks // threads, (thread + 1) * tasks // threads):
            gradient_task(path, &csr, strips + task, batch, x_start, dy_start,
                          totals + thread * LC_TOTALS * most, ddata_start)
    free(totals)
