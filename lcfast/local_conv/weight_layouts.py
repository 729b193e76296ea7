"""Conversions between Keras's stored weights and the forms that the engines use.

There are two canonical forms:

- the *kernel* (P, K, F), K in the order of geometry's runs, for the direct engine;
- the *vector* of all connections, in the order of the CSR matrix (outputs x inputs), for sparse.

Implementation 1 stores the kernel and implementation 3 the vector, unchanged, in both data formats.
Implementation 2 stores a dense (inputs x outputs) matrix: values outside the connections are
dropped when it is set and are 0 when it is read.  The bias is flat in the order of the flattened
output, because Keras reshapes it (never transposes it) for channels_first.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from lcfast.local_conv import sparse
from lcfast.local_conv.geometry import Geometry


def stored_kernel_shape(geometry: Geometry, implementation: int) -> tuple[int, ...]:
    """Shape of the kernel in get_weights and set_weights."""
    if implementation == 1:
        return geometry.kernel_shape
    if implementation == 2:
        return (*geometry.input_shape, *geometry.output_shape)
    return (geometry.connections,)


def stored_bias_shape(geometry: Geometry) -> tuple[int, ...]:
    """Shape of the bias in get_weights and set_weights; filters are always last."""
    return (*geometry.output_size, geometry.filters)


def kernel_of_stored(stored: np.ndarray, geometry: Geometry, implementation: int) -> np.ndarray:
    """Return the kernel (P, K, F) from the form that Keras stores."""
    if implementation == 1:
        return stored
    return kernel_of_vector(vector_of_stored(stored, geometry, implementation), geometry)


def stored_of_kernel(kernel: np.ndarray, geometry: Geometry, implementation: int) -> np.ndarray:
    """Return a kernel (P, K, F) in the form that Keras stores."""
    if implementation == 1:
        return kernel
    return stored_of_vector(vector_of_kernel(kernel, geometry), geometry, implementation)


def vector_of_stored(stored: np.ndarray, geometry: Geometry, implementation: int) -> np.ndarray:
    """Return the vector of all connections from the form that Keras stores."""
    if implementation == 1:
        return vector_of_kernel(stored, geometry)
    if implementation == 3:
        return stored
    pattern = sparse.pattern_of(geometry)
    dense = stored.reshape(pattern.shape[1], pattern.shape[0])
    return np.ascontiguousarray(dense[pattern.indices, pattern.rows])


def stored_of_vector(vector: np.ndarray, geometry: Geometry, implementation: int) -> np.ndarray:
    """Return the vector of all connections in the form that Keras stores."""
    if implementation == 1:
        return kernel_of_vector(vector, geometry)
    if implementation == 3:
        return vector
    pattern = sparse.pattern_of(geometry)
    dense = np.zeros((pattern.shape[1], pattern.shape[0]), vector.dtype)
    dense[pattern.indices, pattern.rows] = vector
    return dense.reshape(stored_kernel_shape(geometry, 2))


def vector_of_kernel(kernel: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Return the vector of all connections of a kernel (P, K, F)."""
    by_output = kernel.transpose(_BY_OUTPUT[geometry.channels_first])
    if geometry.padded is geometry:
        return np.ascontiguousarray(by_output).reshape(-1)
    vector: np.ndarray = by_output[_connected(geometry)]
    return vector


def kernel_of_vector(vector: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Return the kernel (P, K, F) from the vector of all connections; 0 at taps in the padding."""
    order = _BY_OUTPUT[geometry.channels_first]
    shape = tuple(geometry.kernel_shape[axis] for axis in order)
    if geometry.padded is geometry:
        by_output = vector.reshape(shape)
    else:
        by_output = np.zeros(shape, vector.dtype)
        by_output[_connected(geometry)] = vector
    return np.ascontiguousarray(by_output.transpose(np.argsort(order)))


# The axes of a kernel (P, K, F) in the order of the flattened output, then the input.
_BY_OUTPUT = {False: (0, 2, 1), True: (2, 0, 1)}


def _connected(geometry: Geometry) -> np.ndarray:
    """For each number of a kernel, in the order of outputs: whether its tap lies in the input."""
    _, inside = geometry.inputs_of_taps()
    kernel = np.broadcast_to(inside[:, :, None], geometry.kernel_shape)
    return kernel.transpose(_BY_OUTPUT[geometry.channels_first])


def vector_in_format(vector: np.ndarray, geometry: Geometry, data_format: str) -> np.ndarray:
    """Return the vector of the same connections, reordered for `data_format`."""
    kernel = kernel_of_vector(vector, geometry)
    positions, patch, filters = kernel.shape
    size = geometry.kernel_size
    if geometry.channels_first:  # reorder K from (C, *size) to (*size, C)
        taps = kernel.reshape(positions, geometry.channels, *size, filters)
        kernel = np.moveaxis(taps, 1, -2)
    else:
        taps = kernel.reshape(positions, *size, geometry.channels, filters)
        kernel = np.moveaxis(taps, -2, 1)
    other = replace(geometry, data_format=data_format)
    return vector_of_kernel(np.ascontiguousarray(kernel).reshape(positions, patch, filters), other)


def bias_in_format(stored: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Return the stored bias reordered for the other data format."""
    shape = (geometry.filters, geometry.positions)
    by_filter = stored.reshape(shape if geometry.channels_first else shape[::-1])
    return np.ascontiguousarray(by_filter.T).reshape(stored.shape)


def dense_bytes(geometry: Geometry, dtype: np.dtype) -> int:
    """Bytes of the dense tensor of implementation 2."""
    return math.prod(stored_kernel_shape(geometry, 2)) * dtype.itemsize
