# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, embedsignature=True
"""Plans: the tasks of all steps of a program, for a number of rows and threads."""
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free

import numpy as np

from lcfast.local_conv._arrays cimport start_of
from lcfast.local_conv._batch cimport forward_scratch as batch_scratch
from lcfast.local_conv._filters cimport COLUMN_BLOCK, forward_tasks, wide_scratch
from lcfast.local_conv._flat_geometry cimport flat_geometry
from lcfast.local_conv._kernels cimport (
    LC_ADD, LC_MAXIMUM, LC_MINIMUM, LC_MULTIPLY, LC_SPARSE_HELD, LC_SPARSE_LANES, LC_SUBTRACT,
)
from lcfast.local_conv._positions cimport forward_cut
from lcfast.local_conv._simd_paths cimport vector_bytes
from lcfast.local_conv._sparse cimport FEWEST_FOR_PANEL, Matrix
from lcfast.local_conv._tiles cimport ALIGNMENT, ceiling
from lcfast.program._tasks cimport (
    ACTIVATE, ACTIVATE_ROWS, AFFINE, BATCH, COMBINE, COPY, DEPTHWISE, DIVIDE, ELEMENTS, FILTERS,
    POOL, POSITIONS, SPARSE, SUM, WIDE, Place, Task,
)

from lcfast.local_conv._activation import ELEMENTWISE, ROWS
from lcfast.local_conv.ops import work_of_forward
from lcfast.local_conv.plan import forward_plan
from lcfast.local_conv.threads import threads_for
from lcfast.program import steps as described

cdef enum:
    POOLED = 1 << 16     # numbers read by a task of a pooling
    WORK_OF_A_NUMBER = 8 # multiplications that one number of an element-wise step counts for

_OPERATIONS = {"add": LC_ADD, "subtract": LC_SUBTRACT, "multiply": LC_MULTIPLY,
               "maximum": LC_MAXIMUM, "minimum": LC_MINIMUM}


cdef class Plan:
    """The tasks of all steps for a block of rows."""

    def __cinit__(self, steps, list where, int64_t rows, int path, int threads):
        self.rows = rows
        self.count = len(steps.steps)
        self.kept = []
        self.tasks = <Task *>calloc(self.count + 1, sizeof(Task))
        self.shared = <int64_t *>calloc(self.count + 1, sizeof(int64_t))
        if self.tasks == NULL or self.shared == NULL:
            raise MemoryError("no memory for the plan of a program")
        cdef int64_t i
        for i, step in enumerate(steps.steps):
            self.fill(self.tasks + i, step, where, steps, path, threads)
            self.shared[i] = self.tasks[i].tasks
            if threads_for(work_of(step, rows), threads) == 1:
                self.shared[i] = min(self.shared[i], <int64_t>1)
            self.scratch = max(self.scratch, self.tasks[i].scratch)

    def __dealloc__(self):
        free(self.tasks)
        free(self.shared)

    cdef void *keep(self, array, dtype) except? NULL:
        if array is None:
            return NULL
        array = np.ascontiguousarray(array, dtype)
        self.kept.append(array)
        return start_of(array, array.itemsize)

    cdef int place(self, Place *place, tuple where, int64_t start) except -1:
        place.base = where[0]
        place.offset = where[1] * self.rows + start
        return 0

    cdef int fill(self, Task *task, step, where, steps, int path, int threads) except -1:
        operation, output = step.operation, step.output
        kind = type(operation)
        cdef int64_t item = steps.dtype.itemsize
        cdef int64_t numbers
        task.path = path
        task.rows = self.rows * output.rows_each
        task.size = output.size // output.rows_each
        x, other = step.inputs[0], step.inputs[len(step.inputs) - 1]
        self.place(&task.x, where[x.slot], x.start * item)
        self.place(&task.other, where[other.slot], other.start * item)
        self.place(&task.y, where[output.slot], 0)
        task.copy.x_row, task.other_row = x.numbers_between_rows, other.numbers_between_rows
        task.copy.y_row = task.size
        numbers = task.rows * task.size
        task.tasks = ceiling(numbers, ELEMENTS)
        if kind is described.Product:
            task.activation, task.alpha = ELEMENTWISE[operation.activation.name], \
                operation.activation.alpha
            task.bias = self.keep(operation.bias, steps.dtype)
            self.fill_product(task, operation, steps.dtype, threads)
        elif kind is described.Activate:
            task.kind = ACTIVATE
            task.activation, task.alpha = ELEMENTWISE[operation.activation.name], \
                operation.activation.alpha
        elif kind is described.ActivateRows:
            task.kind = ACTIVATE_ROWS
            task.activation, task.columns = ROWS[operation.activation.name], operation.columns
            task.windows_each = task.size // max(task.columns, 1)
            task.units = max(ELEMENTS // max(task.columns, 1), 1)
            task.tasks = ceiling(task.rows * task.windows_each, task.units)
        elif kind is described.Affine:
            task.kind = AFFINE
            task.mean = self.keep(operation.mean, steps.dtype)
            task.factor = self.keep(operation.factor, steps.dtype)
            task.beta = self.keep(operation.beta, steps.dtype)
            task.period = operation.mean.size
        elif kind is described.Combine:
            task.kind = COMBINE
            task.operation = _OPERATIONS[operation.operation]
            if x.row_step is not None or other.row_step is not None:
                task.by_rows = True
                task.units = max(ELEMENTS // task.size, <int64_t>1)
                task.tasks = ceiling(task.rows, task.units)
        elif kind is described.Divide:
            task.kind = DIVIDE
            task.divisor = operation.divisor
        elif kind is described.Pool or kind is described.Depthwise:
            task.windows.channels = operation.channels
            task.windows.taps = operation.tap.size
            task.windows.start = <const int64_t *>self.keep(operation.start, np.int64)
            task.windows.tap = <const int64_t *>self.keep(operation.tap, np.int64)
            if kind is described.Pool:
                task.kind = POOL
                divisor = operation.divisor
                if divisor is not None and (np.frexp(divisor)[0] == 0.5).all():
                    task.windows.reciprocals = 1
                    divisor = 1 / divisor
                task.divisors = self.keep(divisor, steps.dtype)
            else:
                task.kind = DEPTHWISE
                task.kernel = self.keep(operation.kernel, steps.dtype)
                task.bias = self.keep(operation.bias, steps.dtype)
                task.activation, task.alpha = ELEMENTWISE[operation.activation.name], \
                    operation.activation.alpha
            task.windows_each = operation.start.size
            task.units = max(POOLED // (operation.channels * operation.tap.size), 1)
            task.tasks = ceiling(task.rows * task.windows_each, task.units)
        elif kind is described.Sum:
            task.kind = SUM
            task.windows_each, task.columns = operation.positions, operation.columns
            task.tasks = task.rows * ceiling(task.columns, COLUMN_BLOCK)
        else:
            task.kind = COPY
            self.fill_copy(task, operation)
        task.scratch += 2 * ALIGNMENT
        return 0

    cdef int fill_product(self, Task *task, operation, dtype, int threads) except -1:
        geometry, kernel = operation.geometry, operation.kernel
        cdef int64_t item = dtype.itemsize
        cdef Matrix matrix
        if not isinstance(kernel, np.ndarray):
            matrix = kernel.pattern.cut
            task.kind = SPARSE
            self.kept.append(matrix)
            task.kernel = self.keep(kernel.numbers, dtype)
            task.csr = matrix.csr
            task.csr.activation, task.csr.alpha = task.activation, task.alpha
            task.strips = matrix.strips
            task.row_blocks = 1
            if task.rows >= FEWEST_FOR_PANEL:
                task.row_blocks = ceiling(task.rows, LC_SPARSE_LANES)
            task.tasks = matrix.strip_count * task.row_blocks
            task.scratch = (matrix.widest + LC_SPARSE_HELD) * LC_SPARSE_LANES * item
            return 0
        self.kept.append(geometry) # holds the arrays that the flat one points into
        task.kernel = self.keep(kernel, dtype)
        task.geometry = flat_geometry(geometry)
        task.geometry.x_row = task.copy.x_row
        plan = forward_plan(geometry, dtype, task.rows, threads, task.path)
        if plan.regime == "batch" and not (operation.overrun and fills_vectors(geometry, plan)):
            task.kind = BATCH
            task.lanes = vector_bytes(task.path) // item
            task.width, task.splits = plan.vectors * task.lanes, plan.splits
            task.batch = batch_scratch(&task.geometry, task.width, task.lanes, task.splits)
            task.row_blocks = ceiling(task.rows, task.width)
            task.tasks = task.splits * task.row_blocks
            task.scratch = task.geometry.runs * sizeof(int64_t) + task.batch.total * item
        elif plan.regime == "positions":
            task.kind = POSITIONS
            task.positions = forward_cut(&task.geometry, task.rows,
                                         vector_bytes(task.path) // item, plan.vectors)
            task.tasks = task.positions.tasks
            task.scratch = 2 * task.geometry.patch * sizeof(int64_t) \
                + task.positions.scratch.total * item
        elif plan.packed:
            task.kind = WIDE
            task.tasks = ceiling(task.geometry.filters, COLUMN_BLOCK)
            task.scratch = wide_scratch(&task.geometry, task.rows) * item
        else:
            task.kind = FILTERS
            task.filters = forward_tasks(&task.geometry, task.rows, item, threads)
            if operation.overrun:
                task.kernel = start_of(operation.with_slack, item)
                task.filters.overrun = True
            task.tasks = task.filters.groups * task.filters.column_blocks \
                * task.filters.row_blocks
        return 0

    cdef int fill_copy(self, Task *task, operation) except -1:
        cdef int axis
        task.units = max(ELEMENTS // max(task.size, <int64_t>1), <int64_t>1)
        task.tasks = ceiling(task.rows, task.units)
        task.copy.axes = len(operation.sizes)
        for axis in range(task.copy.axes):
            task.copy.sizes[axis] = operation.sizes[axis]
            task.copy.x_steps[axis] = operation.x_steps[axis]
            task.copy.y_steps[axis] = operation.y_steps[axis]
        task.copy.x_start, task.copy.y_start = operation.x_start, operation.y_start
        task.copy.fills = operation.fill is not None
        task.copy.fill = operation.fill or 0
        return 0


def fills_vectors(geometry, plan):
    """Whether vectors of filters are nearly full, the last one over-reading the kernel."""
    vectors = ceiling(geometry.filters, plan.lanes)
    return vectors >= 2 and 10 * geometry.filters >= 9 * vectors * plan.lanes


def work_of(step, rows):
    """Multiplications that a step on `rows` rows counts for, to choose threads."""
    operation, output = step.operation, step.output
    if type(operation) is not described.Product:
        return WORK_OF_A_NUMBER * max(step.inputs[0].size, output.size) * rows
    if isinstance(operation.kernel, np.ndarray):
        return work_of_forward(operation.geometry, rows * output.rows_each)
    return operation.kernel.numbers.size * rows * output.rows_each
