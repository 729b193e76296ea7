"""`local_conv.ops` computed by the naive loops of `reference`, to run whole layers on them."""

from contextlib import contextmanager

import numpy as np
import pytest

from lcfast.local_conv import ops
from tests.support import reference


@contextmanager
def layers_on_naive_loops():
    """Let layers of the direct engine compute with the naive loops meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        for operation in (
            forward,
            input_gradient,
            kernel_gradient,
            sum_rows,
            activate,
            activation_gradient,
        ):
            patch.setattr(ops, operation.__name__, operation)
        patch.setattr(ops, "forward_checked", forward)
        patch.setattr(ops, "cached_forward", lambda *arguments: None)
        yield


def forward(x, kernel, bias, geometry, activation=ops.LINEAR, out=None, options=None):
    """See `ops.forward`; `options` choose nothing here."""
    x = ops.as_batch(x, kernel.dtype, geometry.input_shape, "the input")
    flat = None if bias is None else bias.reshape(-1)
    z = reference.forward(x, kernel.reshape(geometry.kernel_shape), flat, geometry)
    return activate(z, activation, out)


def input_gradient(dy, kernel, geometry, options=None):
    """See `ops.input_gradient`."""
    dy = ops.as_batch(dy, kernel.dtype, geometry.output_shape, "the gradient of the output")
    return reference.input_gradient(dy, kernel.reshape(geometry.kernel_shape), geometry)


def kernel_gradient(x, dy, geometry, options=None):
    """See `ops.kernel_gradient`."""
    x = ops.as_batch(x, dy.dtype, geometry.input_shape, "the input")
    return reference.kernel_gradient(x, np.ascontiguousarray(dy), geometry)


def sum_rows(values, options=None):
    """See `ops.sum_rows`."""
    return reference.sum_rows(values)


def activate(z, activation, out=None, options=None):
    """See `ops.activate`."""
    target = ops.as_output(out, z.shape, z.dtype)
    target[...] = reference.activate(activation.name, activation.alpha, z)
    return target


def activation_gradient(value, dy, activation, options=None):
    """See `ops.activation_gradient`."""
    dy = ops.as_array(dy, value.dtype, "the gradient of the output")
    return reference.activation_gradient(activation.name, activation.alpha, value, dy)
