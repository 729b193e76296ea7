"""Layers that wrap layers: TimeDistributed and Bidirectional."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from lcfast.errors import quoted
from lcfast.layers.core import arguments
from lcfast.layers.core.layer import Layer, Pullback
from lcfast.layers.core.symbolic import Shape
from lcfast.layers.core.weights import Record
from lcfast.layers.recurrent import Recurrent
from lcfast.program.builder import ProgramBuilder
from lcfast.program.steps import Value


class Wrapper(Layer):
    """A layer that computes with other layers."""

    _wrapped: ClassVar[tuple[str, ...]] = ("layer",)  # names of the arguments that are layers

    def await_weights(self) -> None:
        """Let `build` only record shapes, also in the inner layers; a file provides the values."""
        for layer in self.sublayers():
            layer.await_weights()

    def initialize_weights(self) -> None:
        """Initialise all weights of the inner layers."""
        for layer in self.sublayers():
            layer.initialize_weights()

    def in_own_order(self, gradients: list[tuple[Layer, list[np.ndarray]]]) -> list[np.ndarray]:
        """The gradients of the inner layers, in the order of `get_weights()`."""
        of_ref = {
            ref: gradient
            for layer, of_layer in gradients
            for ref, gradient in zip(layer.weight_refs(), of_layer, strict=True)
        }
        return [of_ref[ref] for ref in self.weight_refs()]

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Make a layer from a config of `get_config` or of a model file.

        Raises
        ------
        TypeError
            If the config has an unknown key.
        ValueError
            If a value is invalid.
        """
        made = {
            name: _layer_of(config[name])
            for name in cls._wrapped
            if isinstance(config.get(name), dict)
        }
        arguments_of = {**config, **made}
        if not arguments_of.get("num_constants"):  # some files store an empty value
            arguments_of.pop("num_constants", None)
        return cls(**arguments_of)


class TimeDistributed(Wrapper):
    """Apply a layer, or a model, to every time step.

    Parameters
    ----------
    layer : Layer
        Layer with one input and one output.
    **kwargs
        name, dtype, trainable, input_shape, batch_input_shape, batch_size, weights.

    Raises
    ------
    ValueError
        If `layer` is not a layer, or takes several inputs.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/TimeDistributed

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> local = lcfast.LocallyConnected1D(4, 3)
    >>> lcfast.TimeDistributed(local)(np.ones((2, 5, 10, 3))).shape
    (2, 5, 8, 4)
    """

    def __init__(self, layer: Layer, **kwargs: Any) -> None:
        if not isinstance(layer, Layer):
            raise ValueError(f"TimeDistributed needs an lcfast layer. Received: {layer!r}.")
        kwargs.setdefault("dtype", layer.dtype)
        super().__init__(**kwargs)
        if layer.takes_list:
            raise ValueError(
                f"TimeDistributed cannot hold {layer.name}, which takes several inputs."
            )
        self.layer = layer

    def build(self, input_shape: Any) -> None:
        """Build the inner layer for one step of an input of this shape."""
        shape = arguments.checked_shape(input_shape, "input_shape")
        if len(shape) < 3:
            raise ValueError(
                f"Layer {self.name} (TimeDistributed) needs an input of 3 or more dimensions, "
                f"(batch, steps, ...). Received: {shape}."
            )
        step = (None, *shape[2:])
        self.layer._ensure_built(step)
        self.layer.check_input_shape(step)
        if not isinstance(self.layer.shape_of_output(step), tuple):
            raise ValueError(
                f"TimeDistributed cannot hold {self.layer.name}, which has several outputs."
            )

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape of the output, batch first, for an input of `input_shape`."""
        shape = tuple(input_shape)
        return (*shape[:2], *self.layer.shape_of_output((None, *shape[2:]))[1:])

    def check_input_shape(self, shape: Any) -> None:
        """Raise ValueError unless the inner layer accepts each step."""
        if len(shape) < 3:
            raise ValueError(
                f"Layer {self.name} (TimeDistributed) needs an input of 3 or more dimensions, "
                f"(batch, steps, ...). Received: {tuple(shape)}."
            )
        self.layer.check_input_shape((None, *shape[2:]))

    def forward(
        self, weights: Record, inputs: Any, training: bool = False, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Y[n,t] = layer(x[n,t])."""
        y = self.layer.compute(self.layer.record(), _all_steps(inputs), training)
        return self._by_steps(y, inputs)

    def record_steps(self, program: ProgramBuilder, weights: Record, x: Any) -> Value | None:
        """Record the steps of `forward`."""
        if self.layer.dtype != self.dtype:
            return None
        steps = program.reshaped(x, x.shape[1:], x.rows_each * x.shape[0])
        y = self.layer.steps_of(program, self.layer.record(), steps)
        return None if y is None else program.reshaped(y, (x.shape[0], *y.shape), x.rows_each)

    def linearize(self, weights: Record, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """The output, and the function (dy) -> (dx, the gradients of the layer's weights)."""
        y, pull = self.layer.compute_linearized(self.layer.record(), _all_steps(inputs))

        def pullback(dy: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
            dx, dweights = pull(_all_steps(dy).astype(y.dtype, copy=False))
            if dx is not None:  # None for integer inputs
                dx = self._by_steps(dx, inputs)
            return dx, self.in_own_order([(self.layer, dweights)])

        return self._by_steps(y, inputs), pullback

    def _by_steps(self, y: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        """An array of all steps as (rows, steps, ...), in the dtype of this layer."""
        return y.reshape(*inputs.shape[:2], *y.shape[1:]).astype(self.numpy_dtype, copy=False)

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it."""
        return {**super().get_config(), "layer": _serialized(self.layer, self.layer.name)}


class Bidirectional(Wrapper):
    """Run a recurrent layer forward and a second one backward through time.

    Parameters
    ----------
    layer : SimpleRNN, LSTM or GRU
        Both layers are created from its config; its weights are not used.
    merge_mode : str
        How the outputs are combined: "concat" along the last axis, "sum", "mul" or "ave".
    weights : list of ndarray, optional
        Values to set when the layer is built, those of the forward layer first.
    backward_layer : SimpleRNN, LSTM or GRU, optional
        The backward layer; its `go_backwards` must be the opposite of that of `layer`.
    **kwargs
        name, dtype, trainable, input_shape, batch_input_shape, batch_size.

    Raises
    ------
    ValueError
        If a layer is not recurrent, the two are incompatible, or `merge_mode` is None (a layer has
        one output).

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/Bidirectional

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.Bidirectional(lcfast.LSTM(3))(np.ones((2, 5, 4))).shape
    (2, 6)
    """

    _wrapped = ("layer", "backward_layer")

    def __init__(
        self,
        layer: Layer,
        merge_mode: str | None = "concat",
        weights: Any = None,
        backward_layer: Layer | None = None,
        **kwargs: Any,
    ) -> None:
        _check_recurrent(layer, "layer")
        kwargs.setdefault("trainable", layer.trainable)
        kwargs.setdefault("dtype", layer.dtype)
        super().__init__(weights=weights, **kwargs)
        if merge_mode not in ("concat", "sum", "mul", "ave"):
            raise ValueError(
                f"The `merge_mode` of layer {self.name} must be 'concat', 'sum', 'mul' or 'ave'; a "
                f"layer has one output. Received: {merge_mode!r}."
            )
        self.merge_mode = merge_mode
        self._layer_name = layer.name
        self._backward_name = None if backward_layer is None else backward_layer.name
        config = layer.get_config()
        back = {**config, "go_backwards": not config["go_backwards"]}
        kind = type(layer)
        if backward_layer is not None:
            _check_recurrent(backward_layer, "backward_layer")
            back, kind = backward_layer.get_config(), type(backward_layer)
        self.forward_layer = type(layer).from_config(
            {**config, "name": f"forward_{config['name']}"}
        )
        self.backward_layer = kind.from_config({**back, "name": f"backward_{back['name']}"})
        self._check_pair()

    def _check_pair(self) -> None:
        forward, backward = self.forward_layer, self.backward_layer
        if forward.go_backwards == backward.go_backwards:
            raise ValueError(
                f"The two layers of {self.name} must run in different directions, but both have "
                f"go_backwards={forward.go_backwards}."
            )
        for name in ("return_sequences", "time_major", "units"):
            if getattr(forward, name) == getattr(backward, name):
                continue
            if name != "units" or self.merge_mode != "concat":
                raise ValueError(
                    f"The two layers of {self.name} must have the same `{name}`; they have "
                    f"{getattr(forward, name)} and {getattr(backward, name)}."
                )

    def build(self, input_shape: Any) -> None:
        """Build both layers for an input of this shape."""
        self.forward_layer._ensure_built(input_shape)
        self.backward_layer._ensure_built(input_shape)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape of the output, batch first, for an input of `input_shape`."""
        shape: Shape = self.forward_layer.compute_output_shape(input_shape)
        if self.merge_mode != "concat":
            return shape
        return (*shape[:-1], self.forward_layer.units + self.backward_layer.units)

    def check_input_shape(self, shape: Any) -> None:
        """Raise ValueError unless both layers accept the shape."""
        self.forward_layer.check_input_shape(shape)

    def _connect(self, inputs: Any) -> Any:
        self.forward_layer.check_batch_first()
        return super()._connect(inputs)

    def forward(
        self, weights: Record, inputs: Any, training: bool = False, out: np.ndarray | None = None
    ) -> np.ndarray:
        """The combined outputs; that of the backward layer is in time order."""
        forward, backward = (
            layer.compute(layer.record(), inputs, training) for layer in self._pair()
        )
        return self._joined(forward, self._turned(backward))

    def record_steps(self, program: ProgramBuilder, weights: Record, x: Any) -> Value | None:
        """Record the steps of `forward`."""
        forward, backward = (layer.steps_of(program, layer.record(), x) for layer in self._pair())
        if forward is None or backward is None:
            return None
        if self.forward_layer.return_sequences:  # in time order
            steps, units = backward.shape
            everything = slice(None)
            rows = [
                program.placed(
                    backward, (1, units), [everything, everything], [slice(t, t + 1), everything]
                )
                for t in reversed(range(steps))
            ]
            backward = program.concatenated(rows, 0)
        if self.merge_mode == "concat":
            return program.concatenated([forward, backward], len(forward.shape) - 1)
        operation = "multiply" if self.merge_mode == "mul" else "add"
        joined = program.combined(operation, [forward, backward])
        return program.divided(joined, 2) if self.merge_mode == "ave" else joined

    def linearize(self, weights: Record, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """The output, and the function (dy) -> (dx, the gradients of both layers' weights)."""
        (forward, pull_forward), (backward, pull_backward) = (
            layer.compute_linearized(layer.record(), inputs) for layer in self._pair()
        )
        backward = self._turned(backward)

        def pullback(dy: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
            of_forward, of_backward = self._parts(dy, forward, backward)
            dx, dweights = pull_forward(np.ascontiguousarray(of_forward))
            more, of_back = pull_backward(np.ascontiguousarray(self._turned(of_backward)))
            gradients = [(self.forward_layer, dweights), (self.backward_layer, of_back)]
            return dx + more, self.in_own_order(gradients)

        return self._joined(forward, backward), pullback

    def _pair(self) -> tuple[Recurrent, Recurrent]:
        return self.forward_layer, self.backward_layer

    def _turned(self, y: np.ndarray) -> np.ndarray:
        """The output of the backward layer in time order, or its gradient from time order."""
        if not self.forward_layer.return_sequences:
            return y
        return y[::-1] if self.forward_layer.time_major else y[:, ::-1]

    def _joined(self, forward: np.ndarray, backward: np.ndarray) -> np.ndarray:
        if self.merge_mode == "concat":
            return np.concatenate([forward, backward], axis=-1)
        joined: np.ndarray
        joined = forward * backward if self.merge_mode == "mul" else forward + backward
        return joined / 2 if self.merge_mode == "ave" else joined

    def _parts(
        self, dy: np.ndarray, forward: np.ndarray, backward: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The gradients of the two outputs from the gradient of the combined one."""
        if self.merge_mode == "concat":
            units = self.forward_layer.units
            return dy[..., :units], dy[..., units:]
        if self.merge_mode == "mul":
            return dy * backward, dy * forward
        part = dy if self.merge_mode == "sum" else dy / 2
        return part, part

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it."""
        config = {
            **super().get_config(),
            "layer": _serialized(self.forward_layer, self._layer_name),
            "merge_mode": self.merge_mode,
        }
        if self._backward_name is not None:
            config["backward_layer"] = _serialized(self.backward_layer, self._backward_name)
        return config


def _check_recurrent(layer: Any, name: str) -> None:
    if not isinstance(layer, Recurrent):
        raise ValueError(
            f"The `{name}` of Bidirectional must be a SimpleRNN, an LSTM or a GRU. "
            f"Received: {layer!r}."
        )


def _all_steps(x: np.ndarray) -> np.ndarray:
    """Reshape (rows, steps, ...) to (rows * steps, ...)."""
    return x.reshape(x.shape[0] * x.shape[1], *x.shape[2:])


def _serialized(layer: Layer, name: str) -> dict[str, Any]:
    return {
        "module": "keras.layers",
        "class_name": type(layer).__name__,
        "config": {**layer.get_config(), "name": name},
        "registered_name": None,
    }


def _layer_of(entry: dict[str, Any]) -> Layer:
    """The layer of a config entry; only lcfast's own layers are allowed."""
    kind, config = entry.get("class_name"), entry.get("config")
    classes = {cls.__name__: cls for cls in _subclasses(Layer) if _is_lcfast_s(cls)}
    if not isinstance(kind, str) or kind not in classes or not isinstance(config, dict):
        raise ValueError(
            f"lcfast has no layer {quoted(kind)}; load the whole model with "
            "custom_objects, or pass a layer object."
        )
    layer: Layer = classes[kind].from_config(config)
    return layer


def _subclasses(kind: type[Layer]) -> list[type[Layer]]:
    return [part for one in kind.__subclasses__() for part in (one, *_subclasses(one))]


def _is_lcfast_s(kind: type[Layer]) -> bool:
    return kind.__module__.startswith("lcfast.layers.")
