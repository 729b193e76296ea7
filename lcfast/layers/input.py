"""InputLayer and Input: the inputs of a graph."""

from __future__ import annotations

from typing import Any

import numpy as np

from lcfast.layers.core import arguments
from lcfast.layers.core.layer import Layer, Pullback, numbered_name
from lcfast.layers.core.symbolic import Node, SymbolicTensor
from lcfast.layers.core.weights import Record


class InputLayer(Layer):
    """An input of a graph; returns its input.

    Parameters
    ----------
    input_shape : tuple of int or None, optional
        Shape of a row.
    batch_size : int, optional
        Rows in a batch, if fixed.
    batch_input_shape : tuple of int or None, optional
        Both of these together, batch first.
    dtype : str, optional
        "float32" (the default), "float64", "float16", "bool" or an integer type such as "int32":
        the dtype that inputs are converted to.
    sparse, ragged, optional : bool
        Must be False: lcfast takes dense arrays, and every input is required.
    name : str, optional
        Name; derived from the class if missing.

    Raises
    ------
    ValueError
        If there is no shape, or `sparse`, `ragged` or `optional` is True.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/InputLayer

    Examples
    --------
    >>> import lcfast
    >>> lcfast.InputLayer(input_shape=(10, 3)).batch_input_shape
    (None, 10, 3)
    """

    checked_dtype = staticmethod(arguments.checked_input_dtype)

    def __init__(
        self,
        input_shape: Any = None,
        batch_size: int | None = None,
        dtype: Any = None,
        sparse: bool = False,
        ragged: bool = False,
        optional: bool = False,
        name: str | None = None,
        batch_input_shape: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            name=name,
            dtype=dtype,
            input_shape=input_shape,
            batch_size=batch_size,
            batch_input_shape=batch_input_shape,
            **kwargs,
        )
        if sparse or ragged or optional:
            raise ValueError(
                f"Layer {self.name} has sparse, ragged or optional inputs; lcfast supports "
                "dense, required inputs only."
            )
        if self.batch_input_shape is None:
            raise ValueError(f"Layer {self.name} (InputLayer) needs a shape: give input_shape.")
        self.build(self.batch_input_shape)
        self._nodes.append(Node(self, (), self.batch_input_shape))

    @classmethod
    def automatic_name(cls) -> str:
        """Keras numbers inputs from 1: input_1, input_2."""
        return numbered_name("input", first=1)

    @property
    def tensor(self) -> SymbolicTensor:
        """The symbolic tensor of the input."""
        return self._nodes[0].outputs[0]

    def forward(
        self, weights: Record, inputs: Any, training: bool = False, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Y = x."""
        return inputs  # type: ignore[no-any-return]

    def linearize(self, weights: Record, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """The output, and the function (dy) -> (dx, [])."""
        is_real = self.numpy_dtype.kind == "f"
        return inputs, lambda dy: (dy if is_real else None, [])

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """Return an independent layer with the same name and a new tensor."""
        twin = super().__deepcopy__(memo)
        twin._nodes.append(Node(twin, (), self.tensor.shape))
        return twin

    @property
    def input_shape(self) -> Any:
        """The shape of the tensor in a list, as Keras gives it for an InputLayer."""
        return [self.tensor.shape]

    @property
    def output_shape(self) -> Any:
        """The shape of the tensor in a list, as Keras gives it for an InputLayer."""
        return [self.tensor.shape]

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it."""
        return {
            "batch_input_shape": self.batch_input_shape,
            "dtype": self.dtype,
            "sparse": False,
            "ragged": False,
            "optional": False,
            "name": self.name,
        }


def Input(  # noqa: N802 (Keras's name)
    shape: Any = None,
    batch_size: int | None = None,
    name: str | None = None,
    dtype: Any = None,
    batch_shape: Any = None,
) -> SymbolicTensor:
    """Return the symbolic tensor at which a graph begins.

    Parameters
    ----------
    shape : tuple of int or None
        Shape of a row, without the batch.
    batch_size : int, optional
        Rows in a batch, if fixed.
    name : str, optional
        Name of the InputLayer.
    dtype : str, optional
        As in `InputLayer`.
    batch_shape : tuple of int or None, optional
        Instead of `shape`: the batch, then the shape.

    Returns
    -------
    SymbolicTensor

    Raises
    ------
    ValueError
        If there is no shape.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/Input

    Examples
    --------
    >>> import lcfast
    >>> lcfast.LocallyConnected1D(64, 3)(lcfast.Input((10, 32))).shape
    (None, 8, 64)
    """
    layer = InputLayer(
        input_shape=shape,
        batch_size=batch_size,
        name=name,
        dtype=dtype,
        batch_input_shape=batch_shape,
    )
    return layer.tensor
