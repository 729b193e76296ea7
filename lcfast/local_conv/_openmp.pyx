# cython: language_level=3
"""Whether the kernels were built with OpenMP, how many threads it gives, and the fork guard."""

cdef extern from *:
    """
    #ifdef LC_OPENMP
    #include <omp.h>
    static int lc_openmp(void) { return 1; }
    static int lc_max_threads(void) { return omp_get_max_threads(); }
    #else
    static int lc_openmp(void) { return 0; }
    static int lc_max_threads(void) { return 1; }
    #endif
    #if defined(LC_OPENMP_PAUSE) && !defined(__clang__)
    #include <pthread.h>
    /* libgomp's threads do not survive a fork, and a child process would wait for them forever.
       They are released before every fork, whether Python or a server in C makes it; the next
       parallel region creates new ones.  clang's libomp restarts by itself in a child process, and
       later threads crash after its pause. */
    static void lc_release_threads(void) { omp_pause_resource_all(omp_pause_hard); }
    static int lc_guard_forks(void) { return pthread_atfork(lc_release_threads, NULL, NULL); }
    #else
    static int lc_guard_forks(void) { return 0; }
    #endif
    """
    int lc_openmp()
    int lc_max_threads()
    int lc_guard_forks()

HAS_OPENMP = bool(lc_openmp())
if lc_guard_forks():
    raise MemoryError("no memory to register the fork guard")


def max_threads():
    """How many threads OpenMP gives a parallel region of the calling thread; 1 without OpenMP."""
    return lc_max_threads()
