"""ZeroPadding and Cropping in 1D and 2D: add zeros at the borders, or remove positions."""

from __future__ import annotations

import abc
from typing import Any, ClassVar

import numpy as np

from lcfast.errors import quoted
from lcfast.layers.core import arguments
from lcfast.layers.core.layer import Layer, Pullback
from lcfast.layers.core.symbolic import Shape
from lcfast.layers.core.weights import Record
from lcfast.local_conv.geometry import CHANNELS_FIRST, CHANNELS_LAST
from lcfast.program.builder import ProgramBuilder
from lcfast.program.steps import Value

Margins = tuple[tuple[int, int], ...]  # (before, after) of each spatial dimension


class Border(Layer, abc.ABC):
    """Base class of padding and cropping: margins before and after each dimension."""

    spatial_dimensions: ClassVar[int]
    margins: Margins
    data_format: str = CHANNELS_LAST

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape of the output, batch first, for an input of `input_shape`."""
        shape = list(arguments.checked_shape(input_shape, "input_shape"))
        rank = self.spatial_dimensions + 2
        if len(shape) != rank:
            raise ValueError(
                f"Layer {self.name} ({type(self).__name__}) needs an input of {rank} dimensions, "
                f"the batch first. Received: {tuple(shape)}."
            )
        for axis, (before, behind) in zip(self._axes(), self.margins, strict=True):
            size = shape[axis]
            shape[axis] = None if size is None else self._size(size, before + behind)
        return tuple(shape)

    def check_input_shape(self, shape: Any) -> None:
        """Raise ValueError if the rank is wrong, or nothing would be left."""
        self.compute_output_shape(shape)

    @abc.abstractmethod
    def _size(self, size: int, margin: int) -> int:
        """Positions of the output along a dimension of `size`."""

    def _axes(self) -> tuple[int, ...]:
        first = 2 if self.data_format == CHANNELS_FIRST else 1
        return tuple(range(first, first + self.spatial_dimensions))

    def _inside(self, rank: int) -> tuple[slice, ...]:
        """The slices of the inner array within the padded array."""
        inside = [slice(None)] * rank
        for axis, (before, behind) in zip(self._axes(), self.margins, strict=True):
            inside[axis] = slice(before, -behind or None)
        return tuple(inside)

    def _padded(self, array: np.ndarray) -> np.ndarray:
        """The array with zeros in its margins."""
        shape = list(array.shape)
        for axis, (before, behind) in zip(self._axes(), self.margins, strict=True):
            shape[axis] += before + behind
        padded = np.zeros(shape, array.dtype)
        padded[self._inside(array.ndim)] = array
        return padded

    def _cropped(self, array: np.ndarray) -> np.ndarray:
        """The array without its margins."""
        return np.ascontiguousarray(array[self._inside(array.ndim)])


class ZeroPadding(Border):
    """Zeros around the positions."""

    def forward(
        self, weights: Record, inputs: Any, training: bool = False, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Y = x, with zeros around it."""
        return self._padded(inputs)

    def record_steps(self, program: ProgramBuilder, weights: Record, x: Any) -> Value | None:
        """Record the steps of `forward`."""
        shape = [size or 0 for size in self.compute_output_shape((None, *x.shape))[1:]]
        inside = self._inside(len(shape) + 1)[1:]
        return program.placed(x, shape, inside, [slice(None)] * len(shape))

    def linearize(self, weights: Record, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """The output, and the function (dy) -> (dx, [])."""
        return self._padded(inputs), lambda dy: (self._cropped(dy), [])

    def _size(self, size: int, margin: int) -> int:
        return size + margin


class Cropping(Border):
    """The positions without those at the borders."""

    def forward(
        self, weights: Record, inputs: Any, training: bool = False, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Y = the inner part of x."""
        return self._cropped(inputs)

    def record_steps(self, program: ProgramBuilder, weights: Record, x: Any) -> Value | None:
        """Record the steps of `forward`."""
        shape = [size or 0 for size in self.compute_output_shape((None, *x.shape))[1:]]
        inside = self._inside(len(shape) + 1)[1:]
        return program.placed(x, shape, [slice(None)] * len(shape), inside)

    def linearize(self, weights: Record, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """The output, and the function (dy) -> (dx, [])."""
        return self._cropped(inputs), lambda dy: (self._padded(dy), [])

    def _size(self, size: int, margin: int) -> int:
        if margin >= size:
            raise ValueError(
                f"Layer {self.name} ({type(self).__name__}) crops {margin} of {size} positions and "
                f"leaves none. Received: cropping={self.margins}."
            )
        return size - margin


class ZeroPadding1D(ZeroPadding):
    """Zeros before and after a sequence.

    Parameters
    ----------
    padding : int or sequence of two ints
        Count on either side, or (before, after).
    **kwargs
        name, dtype, trainable, input_shape, batch_input_shape, batch_size.

    Raises
    ------
    ValueError
        If `padding` is invalid.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/ZeroPadding1D

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.ZeroPadding1D((1, 0))(np.ones((1, 2, 1))).ravel()
    array([0., 1., 1.], dtype=float32)
    """

    spatial_dimensions = 1

    def __init__(self, padding: Any = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.padding = _margin(padding, "padding")
        self.margins = (self.padding,)

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it."""
        return {**super().get_config(), "padding": self.padding}


class ZeroPadding2D(ZeroPadding):
    """Zeros around an image.

    Parameters
    ----------
    padding : int, or sequence of two ints or of two pairs of ints
        Count on every side; (rows, columns); or ((top, bottom), (left, right)).
    data_format : str, optional
        "channels_last" or "channels_first"; None takes `lcfast.image_data_format()`.
    **kwargs
        name, dtype, trainable, input_shape, batch_input_shape, batch_size.

    Raises
    ------
    ValueError
        If an argument is invalid.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/ZeroPadding2D

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.ZeroPadding2D(((1, 0), (2, 2)))(np.ones((1, 3, 4, 5))).shape
    (1, 4, 8, 5)
    """

    spatial_dimensions = 2

    def __init__(
        self, padding: Any = (1, 1), data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.data_format = arguments.checked_data_format(data_format)
        self.padding = self.margins = _two_margins(padding, "padding")

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it."""
        return {**super().get_config(), "padding": self.padding, "data_format": self.data_format}


class Cropping1D(Cropping):
    """A sequence without its first and last steps.

    Parameters
    ----------
    cropping : int or sequence of two ints
        Count on either side, or (before, after).
    **kwargs
        name, dtype, trainable, input_shape, batch_input_shape, batch_size.

    Raises
    ------
    ValueError
        If `cropping` is invalid, or nothing is left of the input.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/Cropping1D

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.Cropping1D((1, 0))(np.ones((1, 5, 2))).shape
    (1, 4, 2)
    """

    spatial_dimensions = 1

    def __init__(self, cropping: Any = (1, 1), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cropping = _margin(cropping, "cropping")
        self.margins = (self.cropping,)

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it."""
        return {**super().get_config(), "cropping": self.cropping}


class Cropping2D(Cropping):
    """An image without its outer rows and columns.

    Parameters
    ----------
    cropping : int, or sequence of two ints or of two pairs of ints
        As `padding` in `ZeroPadding2D`.
    data_format : str, optional
        "channels_last" or "channels_first"; None takes `lcfast.image_data_format()`.
    **kwargs
        name, dtype, trainable, input_shape, batch_input_shape, batch_size.

    Raises
    ------
    ValueError
        If an argument is invalid, or nothing is left of the input.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/Cropping2D

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.Cropping2D(((1, 0), (2, 1)))(np.ones((1, 5, 6, 2))).shape
    (1, 4, 3, 2)
    """

    spatial_dimensions = 2

    def __init__(
        self, cropping: Any = ((0, 0), (0, 0)), data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.data_format = arguments.checked_data_format(data_format)
        self.cropping = self.margins = _two_margins(cropping, "cropping")

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it."""
        return {**super().get_config(), "cropping": self.cropping, "data_format": self.data_format}


def _margin(value: Any, name: str) -> tuple[int, int]:
    """(before, after) from one integer for both, or from two."""
    pair = value if isinstance(value, list | tuple) else (value, value)
    sizes = [arguments.as_integer(size) for size in pair]
    checked = [size for size in sizes if size is not None and 0 <= size <= arguments.LARGEST_SIZE]
    if len(sizes) != 2 or len(checked) != 2:
        raise ValueError(
            f"The `{name}` argument must be an integer >= 0, or a tuple of two, for each "
            f"dimension. Received: {quoted(value)}."
        )
    return checked[0], checked[1]


def _two_margins(value: Any, name: str) -> Margins:
    """The margins of rows and of columns, each as in 1D."""
    pair = value if isinstance(value, list | tuple) else (value, value)
    if len(pair) != 2:
        raise ValueError(
            f"`{name}` should have two elements, for rows and for columns. "
            f"Received: {quoted(value)}."
        )
    return _margin(pair[0], name), _margin(pair[1], name)
