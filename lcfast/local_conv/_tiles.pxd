# What the loops of every regime share: cutting work into blocks, aligned memory, an empty tile.
from libc.stdint cimport int64_t, uintptr_t
from libc.string cimport memset

from lcfast.local_conv._kernels cimport lc_tile

cdef enum:
    ALIGNMENT = 64 # bytes: a cache line and the widest vector


cdef inline int64_t ceiling(int64_t size, int64_t block) noexcept nogil:
    return (size + block - 1) // block


cdef inline void *aligned(void *memory) noexcept nogil:
    return <void *>((<uintptr_t>memory + ALIGNMENT - 1) & ~<uintptr_t>(ALIGNMENT - 1))


cdef inline lc_tile empty_tile(const int64_t *a_run_offset,
                               const int64_t *b_run_offset) noexcept nogil:
    # One run of length 0; the columns of c are contiguous.
    cdef lc_tile tile
    memset(&tile, 0, sizeof(tile))
    tile.runs = 1
    tile.a_run_offset = a_run_offset
    tile.b_run_offset = b_run_offset
    tile.c_column_step = 1
    return tile
