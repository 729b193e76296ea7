"""Base class of SimpleRNN, LSTM and GRU: weights, the loop over time and its gradient."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from lcfast.layers import activation_argument
from lcfast.layers.core import arguments
from lcfast.layers.core.layer import Layer, Pullback
from lcfast.layers.core.symbolic import Shape
from lcfast.layers.core.weights import Record, WeightSlot
from lcfast.layers.dense import dense_geometry
from lcfast.layers.recurrent_cells import Cell, dense_input_gradient, dense_kernel_gradient
from lcfast.layers.recurrent_steps import MOST_STEPS, Recorded, zeros
from lcfast.local_conv import ops
from lcfast.program.builder import ProgramBuilder
from lcfast.program.steps import Value
from lcfast.vocabulary import constraints, initializers, regularizers
from lcfast.vocabulary.activations import ActivationFunction

_SERIALIZERS: dict[str, Callable[[Any], Any]] = {
    "activation": activation_argument.serialize,
    "initializer": initializers.serialize,
    "regularizer": regularizers.serialize,
    "constraint": constraints.serialize,
}


class Recurrent(Layer, abc.ABC):
    """A recurrent layer, with the arguments that all three share.

    A subclass defines the number of gates, the states and the cell.
    """

    gates: ClassVar[int]
    states: ClassVar[int] = 1
    cell_name: ClassVar[str]  # prefix of the names of Keras's weights
    arguments_in_order: ClassVar[tuple[str, ...]]  # of the cell, in the order of Keras's config

    def __init__(
        self,
        units: Any,
        *,
        activation: Any,
        recurrent_activation: Any,
        use_bias: Any,
        kernel_initializer: Any,
        recurrent_initializer: Any,
        bias_initializer: Any,
        kernel_regularizer: Any,
        recurrent_regularizer: Any,
        bias_regularizer: Any,
        kernel_constraint: Any,
        recurrent_constraint: Any,
        bias_constraint: Any,
        dropout: Any,
        recurrent_dropout: Any,
        return_sequences: Any,
        return_state: Any,
        go_backwards: Any,
        stateful: Any,
        unroll: Any,
        time_major: Any = False,
        zero_output_for_mask: Any = False,
        implementation: Any = 2,
        **layer_arguments: Any,
    ) -> None:
        layer_arguments.pop("enable_caching_device", None)  # used by TensorFlow only
        if "input_dim" in layer_arguments and "input_shape" not in layer_arguments:
            steps = layer_arguments.pop("input_length", None)
            layer_arguments["input_shape"] = (steps, layer_arguments.pop("input_dim"))
        super().__init__(**layer_arguments)
        self.units = arguments.positive_int(units, "units")
        self.activation = activation_argument.resolve(activation, self)
        self.recurrent_activation = activation_argument.resolve(recurrent_activation, self)
        self.use_bias = arguments.checked_flag(use_bias, "use_bias")
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.recurrent_initializer = initializers.get(recurrent_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.recurrent_regularizer = regularizers.get(recurrent_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.recurrent_constraint = constraints.get(recurrent_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.dropout = min(1.0, max(0.0, arguments.number(dropout, "dropout")))
        self.recurrent_dropout = min(
            1.0, max(0.0, arguments.number(recurrent_dropout, "recurrent_dropout"))
        )
        self.return_sequences = arguments.checked_flag(return_sequences, "return_sequences")
        self.go_backwards = arguments.checked_flag(go_backwards, "go_backwards")
        self.unroll = arguments.checked_flag(unroll, "unroll")
        self.time_major = arguments.checked_flag(time_major, "time_major")
        self.zero_output_for_mask = arguments.checked_flag(
            zero_output_for_mask, "zero_output_for_mask"
        )
        self.implementation = _checked_implementation(implementation, self.recurrent_dropout)
        if arguments.checked_flag(return_state, "return_state"):
            raise ValueError(
                f"Layer {self.name} has return_state=True; lcfast's layers have one output. "
                "Omit return_state, or take the last step of return_sequences=True."
            )
        if arguments.checked_flag(stateful, "stateful"):
            raise ValueError(
                f"Layer {self.name} has stateful=True; in lcfast an output depends on its "
                "input only. Give whole sequences."
            )
        self.features: int | None = None

    # ------------------------------------------------------------ shapes and weights

    def build(self, input_shape: Any) -> None:
        """Create the weights kernel, recurrent_kernel and bias, gates concatenated."""
        shape = arguments.checked_shape(input_shape, "input_shape")
        if len(shape) != 3 or not shape[2]:
            raise ValueError(
                f"Layer {self.name} ({type(self).__name__}) needs an input of 3 dimensions (batch, "
                f"steps, features) whose last one is defined and positive. Received: {shape}."
            )
        self.features = shape[2]
        columns = self.gates * self.units
        slots = [
            WeightSlot(
                f"{self.cell_name}/kernel", (self.features, columns), self.kernel_initializer, True,
                self.kernel_regularizer, self.kernel_constraint,
            ),
            WeightSlot(
                f"{self.cell_name}/recurrent_kernel", (self.units, columns),
                self.recurrent_initializer, True,
                self.recurrent_regularizer, self.recurrent_constraint,
            ),
        ]  # fmt: skip
        if self.use_bias:
            slots.append(
                WeightSlot(
                    f"{self.cell_name}/bias", self.bias_shape(), self.first_bias(), True,
                    self.bias_regularizer, self.bias_constraint,
                )
            )  # fmt: skip
        self.finish_build(slots)

    def bias_shape(self) -> tuple[int, ...]:
        """Shape of the bias as Keras stores it."""
        return (self.gates * self.units,)

    def first_bias(self) -> Any:
        """The initializer of the bias."""
        return self.bias_initializer

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape of the output, batch first, for an input of `input_shape`."""
        shape = tuple(input_shape)
        if self.return_sequences:
            return (*shape[:2], self.units)
        return (shape[1] if self.time_major else shape[0], self.units)

    def check_input_shape(self, shape: Any) -> None:
        """Raise ValueError unless it is (batch, steps, features) with the features of `build`."""
        steps = shape[0 if self.time_major else 1] if len(shape) == 3 else None
        if len(shape) != 3 or shape[2] != self.features or steps == 0:
            raise ValueError(
                f"Layer {self.name} was built for inputs of shape (batch, steps, {self.features}), "
                f"with one step or more. Received: {tuple(shape)}."
            )

    def check_batch_first(self) -> None:
        """Raise ValueError for time_major=True: in a model the batch comes first."""
        if self.time_major:
            raise ValueError(
                f"Layer {self.name} has time_major=True; in a model the batch comes first."
            )

    def _connect(self, inputs: Any) -> Any:
        self.check_batch_first()
        return super()._connect(inputs)

    # ------------------------------------------------------------ computing

    @abc.abstractmethod
    def cell(self, weights: Record) -> Cell:
        """The cell with these weights."""

    def input_bias(self, weights: Record) -> np.ndarray | None:
        """The bias of the product with the inputs, or None."""
        return weights[2] if self.use_bias else None

    def forward(
        self, weights: Record, inputs: Any, training: bool = False, out: np.ndarray | None = None
    ) -> np.ndarray:
        """The last state h, or that of every step."""
        if training and (self.dropout or self.recurrent_dropout):
            raise ValueError(
                f"Layer {self.name} was called with training=True; lcfast only does inference, "
                "without dropout."
            )
        cell, products = self.cell(weights), self._input_products(weights, self._steps(inputs))
        states = self._first_states(products)
        outputs = []
        for z in products:
            states = cell.step(z, states)
            if self.return_sequences:
                outputs.append(states[0])
        return self._as_batch(np.stack(outputs)) if self.return_sequences else states[0]

    def record_steps(self, program: ProgramBuilder, weights: Record, x: Any) -> Value | None:
        """Record the steps of `forward`, one time step after the other."""
        both = self.activation, self.recurrent_activation
        known = all(isinstance(activation, ActivationFunction) for activation in both)
        steps, features = x.shape
        if self.time_major or steps > MOST_STEPS or not known:
            return None
        columns = weights[0].shape[1]
        geometry = dense_geometry(features, columns)
        rows = program.reshaped(x, geometry.input_shape, x.rows_each * steps)
        products = program.product(rows, weights[0], self.input_bias(weights), geometry)
        products = program.reshaped(products, (steps, columns), x.rows_each)
        cell, states = self.cell(weights), (zeros(program, products, self.units),) * self.states
        everything = slice(None)
        outputs: list[Value] = []
        for t in reversed(range(steps)) if self.go_backwards else range(steps):
            here = [slice(t, t + 1), everything]
            z = program.placed(products, (1, columns), [everything, everything], here)
            states = cell.step(Recorded(program, program.reshaped(z, (columns,))), states)
            outputs.append(states[0].value)
        if not self.return_sequences:
            return outputs[-1]
        return program.concatenated([program.reshaped(h, (1, self.units)) for h in outputs], 0)

    def linearize(self, weights: Record, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """The output, and the function (dy) -> (dx, [dkernel, drecurrent_kernel, dbias])."""
        steps, cell = self._steps(inputs), self.cell(weights)
        products = self._input_products(weights, steps)
        states = self._first_states(products)
        outputs, factors, pulls = [], [], []
        for z in products:
            states, factor, pull = cell.linearized_step(z, states)
            outputs.append(states[0])
            factors.append(factor)
            pulls.append(pull)
        y = self._as_batch(np.stack(outputs)) if self.return_sequences else outputs[-1]

        def pullback(dy: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
            dz = np.empty_like(products)
            of_products: list[Any] = [None] * len(pulls)
            dstates = self._first_states(products)
            dys = self._in_time(dy) if self.return_sequences else None
            for t in reversed(range(len(pulls))):
                if dys is not None:
                    dstates = (dstates[0] + dys[t], *dstates[1:])
                elif t == len(pulls) - 1:
                    dstates = (dy, *dstates[1:])
                dz[t], of_products[t], dstates = pulls[t](dstates)
            dx = dense_input_gradient(dz, weights[0]).reshape(steps.shape)
            dx = self._as_batch(dx[::-1] if self.go_backwards else dx)
            recurrent = [
                dense_kernel_gradient(np.stack(state), np.stack(gradient))
                for state, gradient in zip(
                    zip(*factors, strict=True), zip(*of_products, strict=True), strict=True
                )
            ]
            gradients = [dense_kernel_gradient(steps, dz), np.concatenate(recurrent, axis=1)]
            if self.use_bias:
                gradients.append(self.bias_gradient(dz, of_products))
            return dx, gradients

        return y, pullback

    def bias_gradient(self, dz: np.ndarray, of_products: list[Any]) -> np.ndarray:
        """The gradient of the bias: the sum over all steps and rows, in ascending order."""
        return ops.sum_rows(dz.reshape(-1, dz.shape[-1]))

    def _input_products(self, weights: Record, steps: np.ndarray) -> np.ndarray:
        """The product of the inputs of all steps with the kernel: (steps, rows, gates * units)."""
        features, columns = weights[0].shape
        rows = steps.reshape(-1, 1, features)
        geometry = dense_geometry(features, columns)
        z = ops.forward(rows, weights[0], self.input_bias(weights), geometry)
        return z.reshape(*steps.shape[:2], columns)

    def _first_states(self, products: np.ndarray) -> tuple[np.ndarray, ...]:
        zeros = np.zeros((products.shape[1], self.units), products.dtype)
        return (zeros,) * self.states

    def _in_time(self, array: np.ndarray) -> np.ndarray:
        """An input or output, transposed to time first."""
        return array if self.time_major else array.swapaxes(0, 1)

    def _as_batch(self, steps: np.ndarray) -> np.ndarray:
        """A time-first array in the caller's layout."""
        return np.ascontiguousarray(steps if self.time_major else steps.swapaxes(0, 1))

    def _steps(self, inputs: np.ndarray) -> np.ndarray:
        """The inputs in processing order, (steps, rows, features)."""
        steps = self._in_time(inputs)
        if len(steps) == 0:  # in a model with sequences of any length
            raise ValueError(
                f"Layer {self.name} was given sequences of length 0; the minimum is 1."
            )
        return np.ascontiguousarray(steps[::-1] if self.go_backwards else steps)

    # ------------------------------------------------------------ configuration

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it."""
        config = {
            **super().get_config(),
            "return_sequences": self.return_sequences,
            "return_state": False,
            "go_backwards": self.go_backwards,
            "stateful": False,
            "unroll": self.unroll,
            "time_major": self.time_major,
        }
        if self.zero_output_for_mask:
            config["zero_output_for_mask"] = True
        for name in self.arguments_in_order:
            _, _, kind = name.rpartition("_")
            value = getattr(self, name)
            config[name] = _SERIALIZERS[kind](value) if kind in _SERIALIZERS else value
        return config


def _checked_implementation(implementation: Any, recurrent_dropout: float) -> int:
    """1 or 2, with the same result; 0 is an old name of 1 in Keras."""
    number = arguments.as_integer(implementation)
    if number not in (0, 1, 2):
        raise ValueError(f"The `implementation` must be 1 or 2. Received: {implementation!r}.")
    return 1 if recurrent_dropout else number or 1
