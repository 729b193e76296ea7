"""Embedding: a vector for each integer index."""

from __future__ import annotations

from typing import Any

import numpy as np

from lcfast.layers.core import arguments
from lcfast.layers.core.layer import Layer, Pullback
from lcfast.layers.core.symbolic import Shape
from lcfast.layers.core.weights import Record, WeightSlot
from lcfast.vocabulary import constraints, initializers, regularizers


class Embedding(Layer):
    """The row of a table for each index of the input.

    Parameters
    ----------
    input_dim : int
        Rows of the table; indices are smaller.
    output_dim : int
        Length of a row.
    embeddings_initializer, embeddings_regularizer, activity_regularizer, embeddings_constraint
        As in Keras.
    mask_zero : bool
        Whether Keras would pass a mask to later layers that excludes index 0.  lcfast does not
        support masks: it refuses to create a model in which a later layer would use the mask.
    input_length : int or sequence of int or None, optional
        Shape of a row of indices, if fixed.
    sparse : bool
        Must be False: lcfast returns dense arrays.
    **kwargs
        name, dtype, trainable, input_shape, batch_input_shape, batch_size, weights.

    Raises
    ------
    ValueError
        If an argument is invalid, or an index is outside the table.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/Embedding

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> layer = lcfast.Embedding(3, 2, weights=[[[0, 1], [2, 3], [4, 5]]])
    >>> layer(np.array([[2, 0]]))
    array([[[4., 5.],
            [0., 1.]]], dtype=float32)
    """

    takes_any_dtype = True

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        activity_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        input_length: Any = None,
        sparse: bool = False,
        **kwargs: Any,
    ) -> None:
        self.input_length = _checked_length(input_length)
        lengths = self.input_length
        row = lengths if isinstance(lengths, tuple) else (lengths or None,)
        kwargs.setdefault("input_shape", row)
        match kwargs.get("batch_input_shape"):
            case [batch, [*sizes]]:  # how Keras writes an input_length of several sizes
                kwargs["batch_input_shape"] = (batch, *sizes)
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.input_dim = arguments.positive_int(input_dim, "input_dim")
        self.output_dim = arguments.positive_int(output_dim, "output_dim")
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer)
        self.embeddings_constraint = constraints.get(embeddings_constraint)
        self.mask_zero = arguments.checked_flag(mask_zero, "mask_zero")
        if arguments.checked_flag(sparse, "sparse"):
            raise ValueError(
                f"Layer {self.name} (Embedding) has sparse=True; only dense outputs are supported."
            )

    def build(self, input_shape: Any) -> None:
        """Make the weights: embeddings (input_dim, output_dim)."""
        shape = (self.input_dim, self.output_dim)
        slot = WeightSlot(
            "embeddings", shape, self.embeddings_initializer, True,
            self.embeddings_regularizer, self.embeddings_constraint,
        )  # fmt: skip
        self.finish_build([slot])

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape of the output, batch first, for indices of `input_shape`."""
        shape = arguments.checked_shape(input_shape, "input_shape")
        if self.input_length is None:
            return (*shape, self.output_dim)
        lengths = self.input_length
        lengths = lengths if isinstance(lengths, tuple) else (lengths,)
        fits = len(lengths) == len(shape) - 1 and all(
            length == size or None in (length, size)
            for length, size in zip(lengths, shape[1:], strict=True)
        )
        if not fits:
            raise ValueError(
                f'"input_length" is {self.input_length}, but received input has shape {shape}'
            )
        row = [
            size if length is None else length
            for length, size in zip(lengths, shape[1:], strict=True)
        ]
        return (shape[0], *row, self.output_dim)

    def forward(
        self, weights: Record, inputs: Any, training: bool = False, out: np.ndarray | None = None
    ) -> np.ndarray:
        """y[n,i] = embeddings[x[n,i]]."""
        return weights[0][self._indices(inputs)]  # type: ignore[no-any-return]

    def linearize(self, weights: Record, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """The output, and the function (dy) -> (None, [dembeddings])."""
        indices = self._indices(inputs)

        def pullback(dy: np.ndarray) -> tuple[None, list[np.ndarray]]:
            gradient = np.zeros_like(weights[0])
            np.add.at(gradient, indices, dy)  # in the order of the indices
            return None, [gradient]

        return weights[0][indices], pullback

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it."""
        return {
            **super().get_config(),
            "input_dim": self.input_dim,
            "output_dim": self.output_dim,
            "embeddings_initializer": initializers.serialize(self.embeddings_initializer),
            "embeddings_regularizer": regularizers.serialize(self.embeddings_regularizer),
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
            "embeddings_constraint": constraints.serialize(self.embeddings_constraint),
            "mask_zero": self.mask_zero,
            "input_length": self.input_length,
        }

    def _indices(self, inputs: np.ndarray) -> np.ndarray:
        """The indices as integers, rounded towards 0 as in Keras, checked against the table."""
        exact = inputs.astype(np.float64) if inputs.dtype.kind == "f" else inputs
        inside = (exact > -1) & (exact < self.input_dim)  # False for NaN too
        if not inside.all():
            index = tuple(int(i) for i in np.argwhere(~inside)[0])
            raise ValueError(
                f"Layer {self.name} (Embedding) was given indices{list(index)} = {inputs[index]}, "
                f"which is not in [0, {self.input_dim})."
            )
        return inputs.astype(np.intp)


def _checked_length(length: Any) -> int | tuple[int | None, ...] | None:
    if length is None or isinstance(length, list | tuple):
        return None if length is None else arguments.checked_shape(length, "input_length")
    if arguments.as_integer(length) == 0:
        return 0  # Keras treats it as None
    return arguments.positive_int(length, "input_length")
