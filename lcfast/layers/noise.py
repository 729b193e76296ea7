"""Dropout and noise layers: active in training only; inference returns the input."""

from __future__ import annotations

import abc
from typing import Any

import numpy as np

from lcfast.layers.core import arguments
from lcfast.layers.core.layer import Layer, Pullback
from lcfast.layers.core.weights import Record
from lcfast.program.builder import ProgramBuilder
from lcfast.program.steps import Value


class Noise(Layer, abc.ABC):
    """Base class of layers that change nothing except in training."""

    rank: int | None = None  # of the input, if the layer needs a fixed rank

    def check_input_shape(self, shape: Any) -> None:
        """Raise ValueError if the rank is wrong."""
        if self.rank is not None and len(shape) != self.rank:
            raise ValueError(
                f"Layer {self.name} ({type(self).__name__}) needs an input of {self.rank} "
                f"dimensions, the batch first. Received: {tuple(shape)}."
            )

    def forward(
        self, weights: Record, inputs: Any, training: bool = False, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Y = x."""
        if training and self._acts():
            raise ValueError(
                f"Layer {self.name} was called with training=True; lcfast only does inference, "
                "without dropout or noise."
            )
        return inputs  # type: ignore[no-any-return]

    def record_steps(self, program: ProgramBuilder, weights: Record, x: Any) -> Value | None:
        """Record the steps of `forward`."""
        return x  # type: ignore[no-any-return]

    def linearize(self, weights: Record, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """The output, and the function (dy) -> (dx, [])."""

        def pullback(dy: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
            return dy, []

        return inputs, pullback

    @abc.abstractmethod
    def _acts(self) -> bool:
        """Whether the layer changes its input in training."""


class Dropout(Noise):
    """The identity: dropout is active in training only.

    Parameters
    ----------
    rate : float
        Fraction of the inputs that training drops, from 0 to 1.
    noise_shape, seed
        Stored in the config; only training uses them.
    **kwargs
        name, dtype, trainable, input_shape, batch_input_shape, batch_size.

    Raises
    ------
    ValueError
        If `rate` is not a number from 0 to 1, or the layer is called with training=True.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/Dropout

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.Dropout(0.5)(np.ones((1, 2)))
    array([[1., 1.]], dtype=float32)
    """

    def __init__(
        self, rate: float, noise_shape: Any = None, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.rate = _rate(rate)
        self.noise_shape = _noise_shape(noise_shape)
        self.seed = _seed(seed)

    def _acts(self) -> bool:
        return self.rate > 0

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it."""
        return {
            **super().get_config(),
            "rate": self.rate,
            "noise_shape": self.noise_shape,
            "seed": self.seed,
        }


class SpatialDropout1D(Dropout):
    """The identity: training would drop whole channels of a sequence.

    Parameters
    ----------
    rate : float
        Fraction of the inputs that training drops, from 0 to 1.
    **kwargs
        noise_shape, seed; name, dtype, trainable, input_shape, batch_input_shape, batch_size.

    Raises
    ------
    ValueError
        If `rate` is not a number from 0 to 1, or the layer is called with training=True.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/SpatialDropout1D

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.SpatialDropout1D(0.5)(np.ones((1, 1, 2)))
    array([[[1., 1.]]], dtype=float32)
    """

    rank = 3

    def __init__(self, rate: float, **kwargs: Any) -> None:
        super().__init__(rate, **kwargs)


class SpatialDropout2D(Dropout):
    """The identity: training would drop whole channels of an image.

    Parameters
    ----------
    rate : float
        Fraction of the inputs that training drops, from 0 to 1.
    data_format : str, optional
        Not part of the config, as in Keras; only training uses it.
    **kwargs
        noise_shape, seed; name, dtype, trainable, input_shape, batch_input_shape, batch_size.

    Raises
    ------
    ValueError
        If an argument is invalid, or the layer is called with training=True.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/SpatialDropout2D

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.SpatialDropout2D(0.5)(np.ones((1, 1, 1, 2)))
    array([[[[1., 1.]]]], dtype=float32)
    """

    rank = 4

    def __init__(self, rate: float, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(rate, **kwargs)
        self.data_format = arguments.checked_data_format(data_format)


class GaussianNoise(Noise):
    """The identity: training would add Gaussian noise.

    Parameters
    ----------
    stddev : float
        Standard deviation of the noise.
    seed : int, optional
        Stored in the config; only training uses it.
    **kwargs
        name, dtype, trainable, input_shape, batch_input_shape, batch_size.

    Raises
    ------
    ValueError
        If `stddev` is not a number >= 0, or the layer is called with training=True.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/GaussianNoise

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.GaussianNoise(0.1)(np.ones((1, 2)))
    array([[1., 1.]], dtype=float32)
    """

    def __init__(self, stddev: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stddev = arguments.number(stddev, "stddev", least=0)
        self.seed = _seed(seed)

    def _acts(self) -> bool:
        return self.stddev > 0

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it."""
        return {**super().get_config(), "stddev": self.stddev, "seed": self.seed}


class GaussianDropout(Noise):
    """The identity: training would multiply by Gaussian noise with mean 1.

    Parameters
    ----------
    rate : float
        From 0 to 1; the standard deviation is sqrt(rate / (1 - rate)).
    seed : int, optional
        Stored in the config; only training uses it.
    **kwargs
        name, dtype, trainable, input_shape, batch_input_shape, batch_size.

    Raises
    ------
    ValueError
        If `rate` is not a number from 0 to 1, or the layer is called with training=True.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/GaussianDropout

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.GaussianDropout(0.5)(np.ones((1, 2)))
    array([[1., 1.]], dtype=float32)
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = _rate(rate)
        self.seed = _seed(seed)

    def _acts(self) -> bool:
        return 0 < self.rate < 1

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it."""
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


class AlphaDropout(Noise):
    """The identity: training would set some elements to the negative limit of selu.

    Parameters
    ----------
    rate : float
        Fraction of the inputs that training drops, from 0 to 1.
    noise_shape, seed
        `noise_shape` is not part of the config, as in Keras; only training uses them.
    **kwargs
        name, dtype, trainable, input_shape, batch_input_shape, batch_size.

    Raises
    ------
    ValueError
        If `rate` is not a number from 0 to 1, or the layer is called with training=True.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/AlphaDropout

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.AlphaDropout(0.5)(np.ones((1, 2)))
    array([[1., 1.]], dtype=float32)
    """

    def __init__(
        self, rate: float, noise_shape: Any = None, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.rate = _rate(rate)
        self.noise_shape = _noise_shape(noise_shape)
        self.seed = _seed(seed)

    def _acts(self) -> bool:
        return 0 < self.rate < 1

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it."""
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


def _rate(rate: Any) -> float:
    checked = arguments.number(rate, "rate", least=0)
    if checked > 1:
        raise ValueError(f"The `rate` argument must be from 0 to 1. Received: {rate!r}.")
    return checked


def _noise_shape(shape: Any) -> tuple[int | None, ...] | None:
    return None if shape is None else arguments.checked_shape(shape, "noise_shape")


def _seed(seed: Any) -> int | None:
    return None if seed is None else arguments.integer(seed, "seed")
