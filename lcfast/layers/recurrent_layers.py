"""SimpleRNN, LSTM and GRU: Keras's arguments and the cell of each layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lcfast.layers.core import arguments
from lcfast.layers.core.weights import Record
from lcfast.layers.recurrent import Recurrent
from lcfast.layers.recurrent_cells import (
    Cell,
    GRUCell,
    GRUCellResetAfter,
    LSTMCell,
    RecurrentProduct,
    SimpleCell,
    parts_of_kernel,
)
from lcfast.local_conv import ops
from lcfast.vocabulary.initializers import InitializerLike

_BEFORE = ("kernel_initializer", "recurrent_initializer", "bias_initializer")
_AFTER = (
    *("kernel_regularizer", "recurrent_regularizer", "bias_regularizer", "activity_regularizer"),
    *("kernel_constraint", "recurrent_constraint", "bias_constraint"),
    *("dropout", "recurrent_dropout"),
)


class SimpleRNN(Recurrent):
    """h = activation(x kernel + h recurrent_kernel + bias), step by step.

    Parameters
    ----------
    units : int
        Size of the state and of the last axis of the output.
    activation : str, dict, callable or Layer
        Activation of the new values; None is linear.
    use_bias : bool
        Whether to add a bias.
    kernel_initializer, recurrent_initializer, bias_initializer
        Initial values of the weights.
    kernel_regularizer, recurrent_regularizer, bias_regularizer, activity_regularizer, \
kernel_constraint, recurrent_constraint, bias_constraint
        As in `Dense`; recurrent_* apply to the recurrent kernel.
    dropout, recurrent_dropout : float
        Stored in the config; only training uses them.
    return_sequences : bool
        Whether to return the state after every step, (batch, steps, units), or only the last.
    return_state, stateful : bool
        Must be False: a layer has one output, and it depends on the input alone.
    go_backwards : bool
        Whether to run from the last step to the first; the output is in that order too.
    unroll : bool
        Stored in the config; the result is the same.
    time_major : bool
        Whether input and output are (steps, batch, ...); only for calls on arrays.
    **kwargs
        implementation (1 or 2, same result); name, dtype, trainable, input_shape,
        batch_input_shape, batch_size, weights, dynamic; input_dim and input_length.

    Raises
    ------
    ValueError
        If an argument is invalid.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/SimpleRNN

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.SimpleRNN(3)(np.ones((2, 5, 4))).shape
    (2, 3)
    """

    gates = 1
    states = 1
    cell_name = "simple_rnn_cell"
    arguments_in_order = ("units", "activation", "use_bias", *_BEFORE, *_AFTER)

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            units,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            recurrent_regularizer=recurrent_regularizer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            kernel_constraint=kernel_constraint,
            recurrent_constraint=recurrent_constraint,
            bias_constraint=bias_constraint,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            unroll=unroll,
            recurrent_activation=None,
            **kwargs,
        )

    def cell(self, weights: Record) -> Cell:
        """The cell with these weights."""
        products = (RecurrentProduct(weights[1]),)
        return SimpleCell(self.units, self.activation, self.recurrent_activation, products)


class LSTM(Recurrent):
    """Long short-term memory; gates i, f, c, o, concatenated in the weights.

    Parameters
    ----------
    units : int
        Size of the state and of the last axis of the output.
    activation : str, dict, callable or Layer
        Activation of the new values; None is linear.
    recurrent_activation : str, dict, callable or Layer
        Activation of the gates; "hard_sigmoid" in files of Keras before 2.3.
    use_bias : bool
        Whether to add a bias.
    kernel_initializer, recurrent_initializer, bias_initializer
        Initial values of the weights.
    unit_forget_bias : bool
        Whether the bias of the forget gate is initialised to ones.
    kernel_regularizer, recurrent_regularizer, bias_regularizer, activity_regularizer, \
kernel_constraint, recurrent_constraint, bias_constraint
        As in `Dense`; recurrent_* apply to the recurrent kernel.
    dropout, recurrent_dropout : float
        Stored in the config; only training uses them.
    return_sequences : bool
        Whether to return the state after every step, (batch, steps, units), or only the last.
    return_state, stateful : bool
        Must be False: a layer has one output, and it depends on the input alone.
    go_backwards : bool
        Whether to run from the last step to the first; the output is in that order too.
    unroll : bool
        Stored in the config; the result is the same.
    time_major : bool
        Whether input and output are (steps, batch, ...); only for calls on arrays.
    **kwargs
        implementation (1 or 2, same result); name, dtype, trainable, input_shape,
        batch_input_shape, batch_size, weights, dynamic; input_dim and input_length.

    Raises
    ------
    ValueError
        If an argument is invalid.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/LSTM

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.LSTM(3, return_sequences=True)(np.ones((2, 5, 4))).shape
    (2, 5, 3)
    """

    gates = 4
    states = 2
    cell_name = "lstm_cell"
    arguments_in_order = (
        *("units", "activation", "recurrent_activation", "use_bias", *_BEFORE),
        *("unit_forget_bias", *_AFTER, "implementation"),
    )

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        time_major: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            units,
            activation=activation,
            recurrent_activation=recurrent_activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            recurrent_regularizer=recurrent_regularizer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            kernel_constraint=kernel_constraint,
            recurrent_constraint=recurrent_constraint,
            bias_constraint=bias_constraint,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            unroll=unroll,
            time_major=time_major,
            **kwargs,
        )
        self.unit_forget_bias = arguments.checked_flag(unit_forget_bias, "unit_forget_bias")

    def first_bias(self) -> Any:
        """The initializer of the bias: ones for the forget gate with `unit_forget_bias`."""
        others = super().first_bias()
        return _ForgetBias(others) if self.unit_forget_bias and others is not None else others

    def cell(self, weights: Record) -> Cell:
        """The cell with these weights."""
        products = (RecurrentProduct(weights[1]),)
        return LSTMCell(self.units, self.activation, self.recurrent_activation, products)


class GRU(Recurrent):
    """Gated recurrent unit; gates z, r, h, concatenated in the weights.

    Parameters
    ----------
    units : int
        Size of the state and of the last axis of the output.
    activation : str, dict, callable or Layer
        Activation of the new values; None is linear.
    recurrent_activation : str, dict, callable or Layer
        Activation of the gates; "hard_sigmoid" in files of Keras before 2.3.
    use_bias : bool
        Whether to add a bias.
    kernel_initializer, recurrent_initializer, bias_initializer
        Initial values of the weights.
    kernel_regularizer, recurrent_regularizer, bias_regularizer, activity_regularizer, \
kernel_constraint, recurrent_constraint, bias_constraint
        As in `Dense`; recurrent_* apply to the recurrent kernel.
    dropout, recurrent_dropout : float
        Stored in the config; only training uses them.
    return_sequences : bool
        Whether to return the state after every step, (batch, steps, units), or only the last.
    return_state, stateful : bool
        Must be False: a layer has one output, and it depends on the input alone.
    go_backwards : bool
        Whether to run from the last step to the first; the output is in that order too.
    unroll : bool
        Stored in the config; the result is the same.
    time_major : bool
        Whether input and output are (steps, batch, ...); only for calls on arrays.
    reset_after : bool
        Whether the reset gate is applied after the product with the state, which then has its own
        bias, or before it, as in files of Keras before 2.3.
    **kwargs
        implementation (1 or 2, same result); name, dtype, trainable, input_shape,
        batch_input_shape, batch_size, weights, dynamic; input_dim and input_length.

    Raises
    ------
    ValueError
        If an argument is invalid.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/GRU

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.GRU(3)(np.ones((2, 5, 4))).shape
    (2, 3)
    """

    gates = 3
    states = 1
    cell_name = "gru_cell"
    arguments_in_order = (
        *("units", "activation", "recurrent_activation", "use_bias", *_BEFORE, *_AFTER),
        *("implementation", "reset_after"),
    )

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        time_major: bool = False,
        reset_after: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            units,
            activation=activation,
            recurrent_activation=recurrent_activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            recurrent_regularizer=recurrent_regularizer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            kernel_constraint=kernel_constraint,
            recurrent_constraint=recurrent_constraint,
            bias_constraint=bias_constraint,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            unroll=unroll,
            time_major=time_major,
            **kwargs,
        )
        self.reset_after = arguments.checked_flag(reset_after, "reset_after")

    def bias_shape(self) -> tuple[int, ...]:
        """Shape of the bias: one for the inputs and one for the states with `reset_after`."""
        columns = self.gates * self.units
        return (2, columns) if self.reset_after else (columns,)

    def input_bias(self, weights: Record) -> np.ndarray | None:
        """The bias of the product with the inputs, or None."""
        return weights[2][0] if self.use_bias and self.reset_after else super().input_bias(weights)

    def bias_gradient(self, dz: np.ndarray, of_products: list[Any]) -> np.ndarray:
        """The gradient of the bias: the sum over all steps and rows, in ascending order."""
        of_inputs = super().bias_gradient(dz, of_products)
        if not self.reset_after:
            return of_inputs
        of_states = np.concatenate([of_step for (of_step,) in of_products])
        return np.stack([of_inputs, ops.sum_rows(of_states)])

    def cell(self, weights: Record) -> Cell:
        """The cell with these weights."""
        activations = self.activation, self.recurrent_activation
        if self.reset_after:
            bias = weights[2][1] if self.use_bias else None
            after = (RecurrentProduct(weights[1], bias),)
            return GRUCellResetAfter(self.units, *activations, after)
        parts = parts_of_kernel(weights[1], 2 * self.units)
        return GRUCell(self.units, *activations, tuple(RecurrentProduct(part) for part in parts))


@dataclass(frozen=True)
class _ForgetBias:
    """The initial bias of an LSTM: ones for the forget gate, `bias_initializer` elsewhere."""

    others: InitializerLike

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> np.ndarray:
        units = shape[0] // 4
        rest = self.others((units,), dtype), self.others((2 * units,), dtype)
        return np.concatenate([rest[0], np.ones(units, dtype), rest[1]])
