# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, embedsignature=True
"""Activations of whole arrays, in blocks.  Arguments are validated in activation.py."""
from cython.parallel cimport prange
from libc.stdint cimport int64_t

from lcfast.local_conv._kernels cimport (
    LC_LINEAR, LC_RELU, LC_TANH, LC_SIGMOID, LC_ELU, LC_SELU, LC_EXPONENTIAL, LC_SOFTPLUS,
    LC_SOFTSIGN, LC_HARD_SIGMOID, LC_RELU6, LC_LEAKY_RELU, LC_SWISH, LC_MISH, LC_GELU,
    LC_GELU_APPROXIMATE, LC_SOFTMAX, LC_LOG_SOFTMAX
)
from lcfast.local_conv._simd_paths cimport real, table_f32, table_f64
from lcfast.local_conv._tiles cimport ceiling

cdef enum:
    ELEMENT_BLOCK = 1 << 14 # elements in a task

ELEMENTWISE = {"linear": LC_LINEAR, "relu": LC_RELU, "tanh": LC_TANH, "sigmoid": LC_SIGMOID,
               "elu": LC_ELU, "selu": LC_SELU, "exponential": LC_EXPONENTIAL,
               "softplus": LC_SOFTPLUS,
               "softsign": LC_SOFTSIGN, "hard_sigmoid": LC_HARD_SIGMOID, "relu6": LC_RELU6,
               "leaky_relu": LC_LEAKY_RELU, "swish": LC_SWISH, "mish": LC_MISH, "gelu": LC_GELU,
               "gelu_approximate": LC_GELU_APPROXIMATE}
ROWS = {"softmax": LC_SOFTMAX, "log_softmax": LC_LOG_SOFTMAX}


def activate(real[::1] y, int activation, double alpha, int path, int threads):
    """y[i] = activation(y[i]), in place."""
    cdef int64_t count = y.shape[0]
    cdef real *y_start = &y[0]
    cdef int64_t tasks = ceiling(count, ELEMENT_BLOCK)
    cdef int64_t task, first, size
    for task in prange(tasks, nogil=True, num_threads=threads, schedule="static"):
        first = task * ELEMENT_BLOCK
        size = min(<int64_t>ELEMENT_BLOCK, count - first)
        if real is float:
            table_f32(path).activate(activation, <float>alpha, size, y_start + first)
        else:
            table_f64(path).activate(activation, alpha, size, y_start + first)


def activation_gradient(const real[::1] value, const real[::1] dy, real[::1] dz, int activation,
                        double alpha, int path, int threads):
    """dz[i] = dy[i] * activation'(z[i]); `value` is y or z, depending on the activation."""
    cdef int64_t count = value.shape[0]
    cdef const real *value_start = &value[0]
    cdef const real *dy_start = &dy[0]
    cdef real *dz_start = &dz[0]
    cdef int64_t tasks = ceiling(count, ELEMENT_BLOCK)
    cdef int64_t task, first, size
    for task in prange(tasks, nogil=True, num_threads=threads, schedule="static"):
        first = task * ELEMENT_BLOCK
        size = min(<int64_t>ELEMENT_BLOCK, count - first)
        if real is float:
            table_f32(path).activation_gradient(activation, <float>alpha, size,
                                                   value_start + first, dy_start + first,
                                                   dz_start + first)
        else:
            table_f64(path).activation_gradient(activation, alpha, size, value_start + first,
                                                   dy_start + first, dz_start + first)


def activate_rows(int64_t rows, int64_t columns, const real[::1] x, real[::1] y, int activation,
                  int path, int threads):
    """y[r,:] = activation(x[r,:]); `y` may be `x`."""
    cdef const real *x_start = &x[0]
    cdef real *y_start = &y[0]
    cdef int64_t block = max(ELEMENT_BLOCK // columns, 1)
    cdef int64_t task, first, size
    for task in prange(ceiling(rows, block), nogil=True, num_threads=threads, schedule="static"):
        first = task * block * columns
        size = min(block, rows - task * block)
        if real is float:
            table_f32(path).activate_rows(activation, size, columns, x_start + first,
                                             y_start + first)
        else:
            table_f64(path).activate_rows(activation, size, columns, x_start + first,
                                             y_start + first)


def row_gradient(int64_t rows, int64_t columns, const real[::1] y, const real[::1] dy,
                 real[::1] dx, int activation, int path, int threads):
    """dx[r,c] = sum_i dy[r,i] d y[r,i] / d x[r,c], written in terms of y = activation(x)."""
    cdef const real *y_start = &y[0]
    cdef const real *dy_start = &dy[0]
    cdef real *dx_start = &dx[0]
    cdef int64_t block = max(ELEMENT_BLOCK // columns, 1)
    cdef int64_t task, first, size
    for task in prange(ceiling(rows, block), nogil=True, num_threads=threads, schedule="static"):
        first = task * block * columns
        size = min(block, rows - task * block)
        if real is float:
            table_f32(path).row_gradient(activation, size, columns, y_start + first,
                                            dy_start + first, dx_start + first)
        else:
            table_f64(path).row_gradient(activation, size, columns, y_start + first,
                                            dy_start + first, dx_start + first)
