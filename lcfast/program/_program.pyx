# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, embedsignature=True
"""Programs: arenas, and the threads that run the tasks of a plan.

Many rows are cut into blocks; each thread takes the next block and runs all steps on it.  A few
rows are one block; the threads share the tasks of each step.  No thread waits for another longer
than that one needs for its task, and none spins for long.
"""
from cython.parallel cimport parallel
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from lcfast.local_conv._arrays cimport is_plain, may_overlap, start_of
from lcfast.local_conv._tiles cimport ALIGNMENT, ceiling
from lcfast.program._plan cimport Plan
from lcfast.program._tasks cimport Task, run_double, run_float

from lcfast.local_conv.arrays import as_output
from lcfast.program.layout import places
from lcfast.program.schedule import Schedule, schedule

cdef extern from *:
    """
    #ifdef LC_OPENMP
    #include <omp.h>
    static int lc_thread(void) { return omp_get_thread_num(); }
    static int lc_threads(void) { return omp_get_num_threads(); }
    #else
    static int lc_thread(void) { return 0; }
    static int lc_threads(void) { return 1; }
    #endif
    #include <stdint.h>
    #include <time.h>
    static int64_t lc_next(int64_t *counter) {
        return __atomic_fetch_add(counter, 1, __ATOMIC_ACQ_REL);
    }
    static int64_t lc_count(const int64_t *counter) {
        return __atomic_load_n(counter, __ATOMIC_ACQUIRE);
    }
    static void lc_pause(void) {
    #if defined(__x86_64__)
        __builtin_ia32_pause();
    #endif
    }
    static void lc_sleep(void) {
        const struct timespec shortly = {0, 20000};
        nanosleep(&shortly, NULL);
    }
    static double lc_seconds(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
    }
    """
    int lc_thread() noexcept nogil
    int lc_threads() noexcept nogil
    int64_t lc_next(int64_t *counter) noexcept nogil
    int64_t lc_count(const int64_t *counter) noexcept nogil
    void lc_pause() noexcept nogil
    void lc_sleep() noexcept nogil
    double lc_seconds() noexcept nogil

cdef enum:
    SPINS = 500            # rounds of waiting, some 20 us, before a thread leaves its core to others
    LINE = 8               # counters in a cache line: each has a line of its own
    MOST_IDLE_ARENAS = 4   # kept for later calls,
    IDLE_BYTES = 64 << 20  # and their bytes
    MOST_TASKS = 1 << 14   # of the cached plans of a program; then the cache is cleared
    MOST_PREPARED = 256    # numbers of rows and threads; then the cache is cleared


cdef class Arena:
    """Memory for the threads of one run: slots, scratch, pointers; and the counters they share."""

    cdef char *memory
    cdef readonly int64_t bytes

    def __cinit__(self, int64_t bytes):
        # Zeros, because the last vector load of a row may over-read a packed kernel.
        self.memory = <char *>calloc(bytes, 1)
        self.bytes = bytes
        if self.memory == NULL:
            raise MemoryError(f"no memory for {bytes} bytes of values between the layers")

    def __dealloc__(self):
        free(self.memory)


# What the threads of one run share.
cdef struct Run:
    char *memory            # of thread 0; each thread has `each` bytes
    int64_t each, slots, scratch
    char **bases            # of the whole arrays
    int64_t *row_bytes      # of them
    int arrays
    bint doubles
    int64_t blocks, block_rows
    int64_t *counters
    double *seconds         # of each step of each thread, or NULL


cdef inline void run_task(const Run *run, const Task *task, int64_t number, char **bases,
                          char *scratch) noexcept nogil:
    if run.doubles:
        run_double(task, number, bases, scratch)
    else:
        run_float(task, number, bases, scratch)


cdef inline char **bases_of_block(const Run *run, int thread, int64_t row,
                                  char *arena) noexcept nogil:
    # Pointers to the slots, the inputs and the outputs of a block, in the thread's memory.
    cdef char **bases = <char **>(run.memory + thread * run.each + run.slots + run.scratch)
    cdef int i
    bases[0] = arena
    for i in range(run.arrays):
        bases[1 + i] = run.bases[i] + row * run.row_bytes[i]
    return bases


cdef void run_block(const Run *run, const Task *tasks, int64_t count, int thread,
                    int64_t row) noexcept nogil:
    # all steps on one block
    cdef char *arena = run.memory + thread * run.each
    cdef char **bases = bases_of_block(run, thread, row, arena)
    cdef int64_t step, number
    cdef double start = 0
    for step in range(count):
        if run.seconds != NULL:
            start = lc_seconds()
        for number in range(tasks[step].tasks):
            run_task(run, tasks + step, number, bases, arena + run.slots)
        if run.seconds != NULL:
            run.seconds[thread * count + step] += lc_seconds() - start


cdef void run_blocks(const Run *run, const Task *tasks, const Task *last_tasks, int64_t count,
                     int thread) noexcept nogil:
    # the blocks that no other thread has taken; the last one may have fewer rows
    cdef int64_t block = lc_next(run.counters)
    while block < run.blocks:
        run_block(run, last_tasks if block + 1 == run.blocks else tasks, count, thread,
                  block * run.block_rows)
        block = lc_next(run.counters)


cdef void run_shared(const Run *run, const Task *tasks, const int64_t *shared, int64_t count,
                     int thread, int threads, int64_t row, int64_t *counters) noexcept nogil:
    # All steps on one block, the tasks of each step shared by the threads.  A thread takes those of
    # its own range first, so that in the next call it reads the same weights again, then others.
    cdef char *scratch = run.memory + thread * run.each + run.slots
    cdef char **bases = bases_of_block(run, thread, row, run.memory)
    cdef int64_t step, parts, number, first, end, spins, one
    cdef int64_t *done
    cdef int turn, owner
    cdef double start = 0
    for step in range(count):
        if run.seconds != NULL and thread == 0:
            start = lc_seconds()
        parts = shared[step]
        done = counters + step * (threads + 1) * LINE
        for turn in range(threads):
            owner = (thread + turn) % threads
            first = owner * parts // threads
            end = (owner + 1) * parts // threads
            if lc_count(done + (owner + 1) * LINE) >= end - first:
                continue
            number = first + lc_next(done + (owner + 1) * LINE)
            while number < end:
                if parts < tasks[step].tasks: # too little work to share
                    for one in range(tasks[step].tasks):
                        run_task(run, tasks + step, one, bases, scratch)
                else:
                    run_task(run, tasks + step, number, bases, scratch)
                lc_next(done)
                number = first + lc_next(done + (owner + 1) * LINE)
        spins = 0
        while lc_count(done) < parts:
            spins += 1
            if spins < SPINS:
                lc_pause()
            else:
                lc_sleep()
        if run.seconds != NULL and thread == 0:
            run.seconds[step] += lc_seconds() - start


cdef class Prepared:
    """How a program runs on a number of rows."""

    cdef Plan plan, last # of the blocks; of the last one, which may have fewer rows
    cdef int64_t blocks, block_rows, counters, tables, total
    cdef int threads
    cdef bint within
    cdef Run run

    @property
    def schedule(self):
        """Rows of a block, whether threads share its steps, and their number."""
        return Schedule(self.block_rows, self.within, self.threads)


cdef class Program:
    """Steps that run on blocks of rows.

    Parameters
    ----------
    steps : Steps
        What to compute.
    path : int
        SIMD path.
    """

    cdef readonly object steps
    cdef int path
    cdef int arrays
    cdef int64_t item, row_bytes
    cdef int64_t *sizes # bytes of a row of each input and output
    cdef object dtype
    cdef list where # the slots are
    cdef tuple input_shape, output_shape # of a lone input and output
    cdef dict prepared, plans
    cdef list idle # arenas

    def __cinit__(self, steps, int path):
        self.steps = steps
        self.path = path
        self.dtype, self.item = steps.dtype, steps.dtype.itemsize
        self.arrays = len(steps.inputs) + len(steps.outputs)
        self.where, self.row_bytes = places(steps)
        self.sizes = <int64_t *>calloc(self.arrays + 1, sizeof(int64_t))
        if self.sizes == NULL:
            raise MemoryError("no memory for a program")
        cdef int i
        for i, value in enumerate((*steps.inputs, *steps.outputs)):
            self.sizes[i] = value.size * self.item
        if len(steps.inputs) == len(steps.outputs) == 1:
            self.input_shape, self.output_shape = steps.inputs[0].shape, steps.outputs[0].shape
        self.prepared, self.plans, self.idle = {}, {}, []

    def __dealloc__(self):
        free(self.sizes)

    def run(self, tuple arrays, int64_t rows, int threads, double[:, ::1] seconds=None):
        """Compute `rows` rows.

        Parameters
        ----------
        arrays : tuple of ndarray
            The inputs, then the outputs: contiguous, aligned, of the program's dtype.
        rows, threads : int
            Their numbers.
        seconds : ndarray of shape (threads, steps), optional
            The times of the steps are added to it.
        """
        cdef Prepared how = self.prepared_for(rows, threads)
        cdef Run run = how.run
        cdef Arena arena = self.take(how.total)
        cdef int64_t block
        cdef int i
        cdef int64_t count = how.plan.count
        run.memory = <char *>((<size_t>arena.memory + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT)
        run.counters = <int64_t *>(run.memory + how.threads * run.each)
        run.bases = <char **>(<char *>run.counters + how.counters)
        run.row_bytes = self.sizes
        run.seconds = &seconds[0, 0] if seconds is not None and count else NULL
        for i in range(self.arrays):
            run.bases[i] = <char *>start_of(arrays[i], self.item)
        memset(run.counters, 0, how.counters)
        if how.threads == 1:
            with nogil:
                run_blocks(&run, how.plan.tasks, how.last.tasks, count, 0)
        elif not how.within:
            with nogil, parallel(num_threads=how.threads):
                run_blocks(&run, how.plan.tasks, how.last.tasks, count, lc_thread())
        else:
            for block in range(how.blocks):
                memset(run.counters, 0, how.counters)
                share(&run, how.last if block + 1 == how.blocks else how.plan, how.threads, block)
        if len(self.idle) < min(<int64_t>MOST_IDLE_ARENAS, IDLE_BYTES // arena.bytes):
            self.idle.append(arena)

    def answer(self, x, out, int threads):
        """The output of a program with one input and one output, or None if `x` does not fit."""
        if self.input_shape is None or not is_plain(x, self.dtype, self.input_shape, 1, False):
            return None
        cdef int64_t rows = len(x)
        if rows == 0:
            return None
        shape = (rows, *self.output_shape)
        if out is None:
            out = as_output(None, shape, self.dtype)
        elif not is_plain(out, self.dtype, shape, 0, True) or may_overlap(out, x):
            return None
        self.run((x, out), rows, threads)
        return out

    def schedule(self, rows, threads):
        """Rows of a block, whether threads share its steps, and their number."""
        return self.prepared_for(rows, threads).schedule

    def run_as(self, schedule, rows, threads):
        """Use this schedule for `rows` rows and at most `threads` threads, to compare schedules."""
        self.prepared[rows, threads] = self.prepare(rows, schedule)

    cdef Prepared prepared_for(self, int64_t rows, int threads):
        how = self.prepared.get((rows, threads))
        if how is None:
            if len(self.prepared) >= MOST_PREPARED:
                self.prepared.clear()
            how = self.prepare(rows, schedule(self.steps, self.row_bytes, rows, threads))
            self.prepared[rows, threads] = how
        return how

    cdef Prepared prepare(self, int64_t rows, how):
        cdef Prepared made = Prepared()
        cdef Plan plan, last
        cdef Run *run = &made.run
        made.block_rows, made.within, made.threads = how
        cdef int sharing = made.threads if made.within else 1
        made.blocks = ceiling(rows, made.block_rows)
        plan = last = self.plan(min(made.block_rows, rows), sharing)
        if made.blocks * made.block_rows != rows:
            last = self.plan(rows - (made.blocks - 1) * made.block_rows, sharing)
        made.plan, made.last = plan, last
        run.arrays = self.arrays
        run.slots = self.row_bytes * plan.rows
        run.scratch = ceiling(max(plan.scratch, last.scratch), ALIGNMENT) * ALIGNMENT
        run.each = run.slots + run.scratch
        run.each += ceiling((1 + run.arrays) * sizeof(char *), ALIGNMENT) * ALIGNMENT
        run.doubles = self.item == 8
        run.blocks = made.blocks
        run.block_rows = made.block_rows
        made.counters = LINE * sizeof(int64_t)
        if made.within:
            made.counters *= plan.count * (made.threads + 1) + 1
        made.total = made.threads * run.each + made.counters + ALIGNMENT \
            + run.arrays * <int64_t>sizeof(char *)
        return made

    cdef Plan plan(self, int64_t rows, int threads):
        plan = self.plans.get((rows, threads))
        if plan is None:
            if len(self.plans) >= max(MOST_TASKS // max(len(self.steps.steps), 1), 4):
                self.plans.clear()
            plan = self.plans[rows, threads] = Plan(
                self.steps, self.where, rows, self.path, threads)
        return plan

    cdef Arena take(self, int64_t total):
        try:
            arena = self.idle.pop()
        except IndexError:
            return Arena(total)
        return arena if (<Arena>arena).bytes >= total else Arena(total)


cdef int share(Run *run, Plan plan, int threads, int64_t block) except -1:
    cdef int64_t row = block * run.block_rows
    with nogil, parallel(num_threads=threads):
        run_shared(run, plan.tasks, plan.shared, plan.count, lc_thread(), lc_threads(), row,
                   run.counters)
    return 0
