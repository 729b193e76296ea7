# What the cached fast path calls.
from libc.stdint cimport int64_t

cpdef forward(geometry, int64_t rows, int item_bytes, x, kernel, bias, y, int activation,
              double alpha, int path, int threads, int64_t vectors, int64_t splits)
