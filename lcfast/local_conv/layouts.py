"""Keras's stored weights and the canonical ones of the engines, each way.

Canonical: kernel (P, K, F) with K in the order of geometry.runs, bias flat in the order of the
flattened output.  Implementation 1 stores exactly that, in both data formats: the kernel because
the runs follow Keras's own order of K, the bias because Keras reshapes it (never transposes it)
for channels_first.  Implementations 2 and 3 get their functions here when they arrive.
"""

from __future__ import annotations

import numpy as np

from lcfast.local_conv.geometry import Geometry


def stored_kernel_shape(geometry: Geometry) -> tuple[int, ...]:
    """Shape in which get_weights and set_weights see the kernel."""
    return geometry.kernel_shape


def stored_bias_shape(geometry: Geometry) -> tuple[int, ...]:
    """Shape in which get_weights and set_weights see the bias; channels come last always."""
    return (*geometry.output_size, geometry.filters)


def canonical_kernel(stored: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Return the kernel (P, K, F) of what Keras stores, without a copy."""
    return stored.reshape(geometry.kernel_shape)


def canonical_bias(stored: np.ndarray) -> np.ndarray:
    """Return the flat bias of what Keras stores, without a copy."""
    return stored.reshape(-1)


def stored_kernel(canonical: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Return what Keras stores of a kernel (P, K, F)."""
    return canonical.reshape(stored_kernel_shape(geometry))


def stored_bias(canonical: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Return what Keras stores of a flat bias."""
    return canonical.reshape(stored_bias_shape(geometry))
