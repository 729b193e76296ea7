"""One time step of each recurrent layer, and its pullback.

A cell holds the weights of one call and is applied one step at a time: `step` takes the product of
the step's inputs with the kernel, z (rows, gates * units), and the states before the step, and
returns the states after it.  Products use local_conv, so a row does not depend on its batch.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lcfast.layers import activation_argument
from lcfast.layers.dense import dense_geometry
from lcfast.layers.recurrent_steps import Recorded
from lcfast.local_conv import ops
from lcfast.vocabulary.activations import ActivationFunction

States = tuple[np.ndarray, ...]
# (gradients of the states after) -> (dz, gradients of each recurrent product, of the states before)
PullStep = Callable[[States], tuple[np.ndarray, tuple[np.ndarray, ...], States]]
Linearized = tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]


@dataclass(frozen=True, eq=False)
class RecurrentProduct:
    """The product of states with a part of the recurrent kernel.

    Parameters
    ----------
    kernel : ndarray, shape (units, columns)
        Contiguous.
    bias : ndarray, shape (columns,), or None
        Added to the product; only used by the GRU with reset_after.
    """

    kernel: np.ndarray
    bias: np.ndarray | None = None

    def forward(self, state: Any) -> Any:
        """States (rows, units) times the kernel: (rows, columns)."""
        units, columns = self.kernel.shape
        geometry = dense_geometry(units, columns)
        if isinstance(state, Recorded):
            return state.product(self.kernel, self.bias, geometry)
        x = state.reshape(-1, 1, units)
        return ops.forward(x, self.kernel, self.bias, geometry).reshape(-1, columns)

    def state_gradient(self, dy: np.ndarray) -> np.ndarray:
        """The gradient of the states from the gradient of the product."""
        return dense_input_gradient(dy, self.kernel)


def dense_input_gradient(dy: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """(rows, features) from (rows, units) and a kernel (features, units)."""
    features, units = kernel.shape
    geometry = dense_geometry(features, units)
    return ops.input_gradient(dy.reshape(-1, 1, units), kernel, geometry).reshape(-1, features)


def dense_kernel_gradient(x: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """(features, units) from (rows, features) and (rows, units), ascending over the rows."""
    features, units = x.shape[-1], dy.shape[-1]
    geometry = dense_geometry(features, units)
    rows = x.reshape(-1, 1, features), dy.reshape(-1, 1, units)
    return ops.kernel_gradient(*rows, geometry).reshape(features, units)


@dataclass(frozen=True, eq=False)
class Cell(abc.ABC):
    """Base class of all cells.

    Parameters
    ----------
    units : int
        Size of a state.
    activation, recurrent_activation : activation
        Activations of the new values and of the gates.
    products : tuple of RecurrentProduct
        The products with the states.
    """

    units: int
    activation: activation_argument.AnyActivation
    recurrent_activation: activation_argument.AnyActivation
    products: tuple[RecurrentProduct, ...]

    @abc.abstractmethod
    def step(self, z: Any, states: Any) -> Any:
        """The states after a step: of arrays, or of values of a program."""

    @abc.abstractmethod
    def linearized_step(self, z: np.ndarray, states: States) -> tuple[States, States, PullStep]:
        """The states after a step, the input of each product, and the pullback."""

    def gate(self, z: Any, number: int, count: int = 1) -> Any:
        """The columns of z that belong to one gate, or to several side by side."""
        first, last = number * self.units, (number + count) * self.units
        if isinstance(z, Recorded):
            return z.columns(first, last)
        return np.ascontiguousarray(z[:, first:last])


class SimpleCell(Cell):
    """H = activation(z + h recurrent_kernel)."""

    def step(self, z: Any, states: Any) -> Any:
        """The state after a step."""
        (h,) = states
        return (_applied(self.activation, z + self.products[0].forward(h)),)

    def linearized_step(self, z: np.ndarray, states: States) -> tuple[States, States, PullStep]:
        """The state after a step, the input of the product, and the pullback."""
        (h,) = states
        after, pull = _linearized(self.activation, z + self.products[0].forward(h))

        def pull_step(dstates: States) -> tuple[np.ndarray, tuple[np.ndarray, ...], States]:
            dz = pull(dstates[0])
            return dz, (dz,), (self.products[0].state_gradient(dz),)

        return (after,), (h,), pull_step


class LSTMCell(Cell):
    """Gates i, f, c, o: c = f c + i activation(...), h = o activation(c)."""

    def step(self, z: Any, states: Any) -> Any:
        """The states h and c after a step."""
        h, c = states
        z = z + self.products[0].forward(h)
        i, f, o = (_applied(self.recurrent_activation, self.gate(z, n)) for n in (0, 1, 3))
        c = f * c + i * _applied(self.activation, self.gate(z, 2))
        return o * _applied(self.activation, c), c

    def linearized_step(self, z: np.ndarray, states: States) -> tuple[States, States, PullStep]:
        """The states h and c after a step, the input of the product, and the pullback."""
        h, before = states
        z = z + self.products[0].forward(h)
        (i, pull_i), (f, pull_f), (o, pull_o) = (
            _linearized(self.recurrent_activation, self.gate(z, n)) for n in (0, 1, 3)
        )
        new, pull_new = _linearized(self.activation, self.gate(z, 2))
        c = f * before + i * new
        out, pull_out = _linearized(self.activation, c)

        def pull_step(dstates: States) -> tuple[np.ndarray, tuple[np.ndarray, ...], States]:
            dh, dc = dstates
            dc = dc + pull_out(dh * o)
            gates = pull_i(dc * new), pull_f(dc * before), pull_new(dc * i), pull_o(dh * out)
            dz = np.concatenate(gates, axis=1)
            return dz, (dz,), (self.products[0].state_gradient(dz), dc * f)

        return (o * out, c), (h,), pull_step


class GRUCell(Cell):
    """Gates z, r, h, with the reset gate r before the product of the state: h = z h + (1 - z) h'.

    The products are that of h for the gates z and r, and that of r * h.
    """

    def step(self, z: Any, states: Any) -> Any:
        """The state after a step."""
        (h,) = states
        gates = self.gate(z, 0, 2) + self.products[0].forward(h)
        update, reset = (_applied(self.recurrent_activation, self.gate(gates, n)) for n in (0, 1))
        product = self.products[1].forward(reset * h)
        new = _applied(self.activation, self.gate(z, 2) + product)
        return (update * h + (1 - update) * new,)

    def linearized_step(self, z: np.ndarray, states: States) -> tuple[States, States, PullStep]:
        """The state after a step, the inputs of the products, and the pullback."""
        (h,) = states
        gates = z[:, : 2 * self.units] + self.products[0].forward(h)
        (update, pull_update), (reset, pull_reset) = (
            _linearized(self.recurrent_activation, self.gate(gates, n)) for n in (0, 1)
        )
        kept = reset * h
        product = self.products[1].forward(kept)
        new, pull_new = _linearized(self.activation, self.gate(z, 2) + product)

        def pull_step(dstates: States) -> tuple[np.ndarray, tuple[np.ndarray, ...], States]:
            (dh,) = dstates
            dnew = pull_new(dh * (1 - update))
            dkept = self.products[1].state_gradient(dnew)
            dgates = np.concatenate([pull_update(dh * (h - new)), pull_reset(dkept * h)], axis=1)
            before = dh * update + dkept * reset + self.products[0].state_gradient(dgates)
            return np.concatenate([dgates, dnew], axis=1), (dgates, dnew), (before,)

        return (update * h + (1 - update) * new,), (h, kept), pull_step


class GRUCellResetAfter(Cell):
    """Gates z, r, h, with the reset gate r after the product of the state."""

    def step(self, z: Any, states: Any) -> Any:
        """The state after a step."""
        (h,) = states
        product = self.products[0].forward(h)
        update, reset = (
            _applied(self.recurrent_activation, self.gate(z, n) + self.gate(product, n))
            for n in (0, 1)
        )
        new = _applied(self.activation, self.gate(z, 2) + reset * self.gate(product, 2))
        return (update * h + (1 - update) * new,)

    def linearized_step(self, z: np.ndarray, states: States) -> tuple[States, States, PullStep]:
        """The state after a step, the input of the product, and the pullback."""
        (h,) = states
        product = self.products[0].forward(h)
        (update, pull_update), (reset, pull_reset) = (
            _linearized(self.recurrent_activation, self.gate(z, n) + self.gate(product, n))
            for n in (0, 1)
        )
        candidate = self.gate(product, 2)
        new, pull_new = _linearized(self.activation, self.gate(z, 2) + reset * candidate)

        def pull_step(dstates: States) -> tuple[np.ndarray, tuple[np.ndarray, ...], States]:
            (dh,) = dstates
            dnew = pull_new(dh * (1 - update))
            dgates = [pull_update(dh * (h - new)), pull_reset(dnew * candidate)]
            dproduct = np.concatenate([*dgates, dnew * reset], axis=1)
            before = dh * update + self.products[0].state_gradient(dproduct)
            return np.concatenate([*dgates, dnew], axis=1), (dproduct,), (before,)

        return (update * h + (1 - update) * new,), (h,), pull_step


def parts_of_kernel(kernel: np.ndarray, *columns: int) -> Sequence[np.ndarray]:
    """The kernel split after these columns, each part contiguous."""
    return [np.ascontiguousarray(part) for part in np.split(kernel, columns, axis=1)]


def _applied(activation: activation_argument.AnyActivation, z: Any) -> Any:
    if isinstance(z, Recorded):
        assert isinstance(activation, ActivationFunction)  # `Recurrent.record_steps` sees to it
        return z.activated(activation.kernel)
    return activation_argument.activated(
        activation, lambda kernel, out: ops.activate(z, kernel, out)
    )


def _linearized(activation: activation_argument.AnyActivation, z: np.ndarray) -> Linearized:
    return activation_argument.linearized(
        activation, lambda kernel, out: ops.activate(z, kernel, out)
    )
