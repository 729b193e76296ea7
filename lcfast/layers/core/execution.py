"""How a layer is built and computes: by pure functions, or by the `call` of a subclass."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, ClassVar, NoReturn

import numpy as np

from lcfast.layers.core import call_state
from lcfast.layers.core.losses import LossHolder
from lcfast.layers.core.symbolic import Shape
from lcfast.layers.core.weights import BUILD_LOCK, Record
from lcfast.local_conv import ops
from lcfast.program.builder import ProgramBuilder
from lcfast.program.steps import Value

Pullback = Callable[[Any], tuple[Any, list[np.ndarray]]]


class Computing(LossHolder):
    """The part of a layer that is built for an input and computes on arrays and a record.

    Layers of lcfast define `forward` and `linearize`, pure functions of a record and inputs.  Users
    may define `call` instead, which reads the weights from attributes.
    """

    takes_list: bool = False
    takes_any_dtype: ClassVar[bool] = False  # inputs keep their dtype
    # Set for each subclass: whether it computes by its own `call`, whether its `linearize` belongs
    # to that `call`, whether its `record_steps` belongs to what it computes, and the arguments of
    # the `call`.
    _computes_by_call: ClassVar[bool] = False
    _linearize_fits: ClassVar[bool] = True
    _steps_fit: ClassVar[bool] = True
    _call_takes: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._computes_by_call = _depth(cls, "call") < _depth(cls, "forward")
        cls._linearize_fits = _depth(cls, "linearize") <= _depth(cls, "call")
        computed = min(_depth(cls, "call"), _depth(cls, "forward"), _depth(cls, "compute"))
        cls._steps_fit = _depth(cls, "record_steps") <= computed
        cls._call_takes = frozenset(inspect.signature(cls.call).parameters)
        if "build" in vars(cls):
            cls.build = _completed(cls.build)  # type: ignore[assignment, method-assign]

    # ------------------------------------------------------------ what a layer defines

    def build(self, input_shape: Any) -> None:
        """Make the weights for inputs of this shape; the batch, first, is None or a number.

        Parameters
        ----------
        input_shape : tuple of int or None
            Shape of the input, batch first; a list of shapes for layers that take several.

        Examples
        --------
        >>> import lcfast
        >>> layer = lcfast.Dense(2)
        >>> layer.build((None, 3))
        >>> layer.count_params()
        8
        """
        if type(self).build is Computing.build:
            self.complete_build()

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape of the output, batch first, for an input of `input_shape`.

        A layer that only defines `call` is called on zeros to find it.

        Raises
        ------
        ValueError
            If such a layer has an input of unknown size, or does not return a row for each row.

        Examples
        --------
        >>> import lcfast
        >>> lcfast.LocallyConnected1D(64, 3).compute_output_shape((None, 10, 32))
        (None, 8, 64)
        """
        return self._shape_by_call(input_shape) if self._computes_by_call else tuple(input_shape)

    def check_input_shape(self, shape: Any) -> None:
        """Raise ValueError where a built layer cannot take inputs of this shape."""

    def cached_forward(self, inputs: np.ndarray, out: np.ndarray | None) -> np.ndarray | None:
        """The output by the cached fast path, or None: the caller then takes the checked path."""
        return None

    def forward(
        self, weights: Record, inputs: Any, training: bool = False, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the output; `out` may be used for it or not."""
        raise TypeError(
            f"Layer {self.name} ({type(self).__name__}) does not define `forward`, or `call`."
        )

    def linearize(self, weights: Record, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """Return the output and the function (dy) -> (dx, dweights)."""
        self._lacks_linearize()

    def record_steps(self, program: ProgramBuilder, weights: Record, x: Any) -> Value | None:
        """Record the steps that compute `forward`, to the bit; None where there are none.

        `x` is a value of the program, or a list of them.
        """
        return None

    def steps_of(self, program: ProgramBuilder, weights: Any, x: Any) -> Value | None:
        """`record_steps`, or None where something else computes the output."""
        if not self._steps_fit or self.dtype != program.dtype.name:
            return None
        if isinstance(weights, tuple):
            return self.record_steps(program, weights, x)
        records = self.records_of(weights)
        with call_state.computing(records):
            return self.record_steps(program, records[self], x)

    def _lacks_linearize(self) -> NoReturn:
        raise TypeError(
            f"Layer {self.name} ({type(self).__name__}) does not define `linearize`: define "
            "linearize(weights, inputs), which returns the output and the function "
            "(dy) -> (dx, dweights), to have gradients."
        )

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        """Return None; a mask raises TypeError, because no layer here supports one."""
        if mask is not None:
            raise TypeError(
                f"Layer {self.name} does not support masking, but was passed a mask: {mask!r}."
            )

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Compute on arrays; `__call__` calls it, a subclass may define it.

        While it runs, the layer's weights are those that `__call__` took at its start.

        Parameters
        ----------
        inputs : array_like, shape (batch, ...)
            The input.
        training : bool, optional
            Passed on to layers that behave differently in training.
        mask : None
            Masks are not supported, except by a subclass whose `call` takes one.

        Returns
        -------
        ndarray

        Examples
        --------
        >>> import numpy as np, lcfast
        >>> class Double(lcfast.Layer):
        ...     def call(self, inputs):
        ...         return 2 * inputs
        >>> Double()(np.ones((1, 2)))
        array([[2., 2.]], dtype=float32)
        """
        self.compute_mask(inputs, mask)
        arrays = self._arrays(inputs)
        own = self.records_of(self.record())[self]
        return apart(self.forward(own, arrays, training=bool(training)), arrays)

    # ------------------------------------------------------------ inputs

    def _take_list_if(self, given: bool) -> None:
        # Whether a `call` takes a list is known from the first call.
        if self._computes_by_call and given and not self.takes_list and not self.built:
            self.takes_list = True

    def _arrays(self, inputs: Any) -> Any:
        """The inputs as checked arrays of the layer's dtype; builds the layer at its first call."""
        dtype = None if self.takes_any_dtype else self.numpy_dtype
        if self._computes_by_call and isinstance(inputs, list | tuple):
            self._take_list_if(
                len(inputs) > 0 and all(isinstance(item, np.ndarray) for item in inputs)
            )
        if self.takes_list:
            if not isinstance(inputs, list | tuple):
                raise ValueError(f"Layer {self.name} takes a list of inputs, not one array.")
            arrays: Any = [ops.as_array(item, dtype, f"input {i}") for i, item in enumerate(inputs)]
            shapes: Any = [array.shape for array in arrays]
        else:
            arrays = ops.as_array(inputs, dtype, f"The input of layer {self.name}")
            if arrays.ndim == 0:
                raise ValueError(f"The input of layer {self.name} is a number; expected a batch.")
            shapes = arrays.shape
        if not self.built:
            with_any_batch = (None, *shapes[1:]) if not self.takes_list else shapes
            self._ensure_built(with_any_batch)
        self.check_input_shape(shapes)
        return arrays

    def _ensure_built(self, input_shape: Any) -> None:
        if self.built:
            return
        with BUILD_LOCK:
            if not self.built:
                self.build(input_shape)

    # ------------------------------------------------------------ computing

    def await_weights(self) -> None:
        """Let `build` set the slots without values, unless a `call` must be run to find shapes."""
        if not self._computes_by_call:
            super().await_weights()

    def compute(
        self,
        weights: Any,
        inputs: Any,
        training: bool | None = None,
        out: np.ndarray | None = None,
        **call_arguments: Any,
    ) -> Any:
        """The output, by the `call` of a subclass or by `forward`, with the weights of a record."""
        training = call_state.THREAD.training if training is None else training
        if self._computes_by_call:
            y = self._compute_by_call(weights, inputs, training, call_arguments)
        elif call_arguments:
            raise TypeError(
                f"Layer {self.name} ({type(self).__name__}) was called with arguments that it does "
                f"not take: {', '.join(call_arguments)}."
            )
        elif isinstance(weights, tuple):
            y = self.forward(weights, inputs, training=bool(training), out=out)
        else:
            records = self.records_of(weights)
            with call_state.computing(records, training):
                y = self.forward(records[self], inputs, training=bool(training), out=out)
        if self._activity_regularizer is not None:
            self.note_activity(y)
        return y

    def _compute_by_call(
        self, weights: Any, inputs: Any, training: bool | None, call_arguments: dict[str, Any]
    ) -> Any:
        if "training" in self._call_takes and training is not None:
            call_arguments["training"] = training
        with call_state.computing(self.records_of(weights), training):
            return self._checked_output(self.call(inputs, **call_arguments))

    def _checked_output(self, y: Any, dtype: str | None = None) -> Any:
        """What `call` returned, as an array of the layer's dtype."""
        if y is None or isinstance(y, list | tuple | dict):
            what = "None" if y is None else f"a {type(y).__name__}"
            raise ValueError(
                f"The `call` of layer {self.name} ({type(self).__name__}) returned {what}; it must "
                "return one array."
            )
        array = np.asarray(y)
        # numpy promotes a float32 array and a float64 scalar to float64, TensorFlow does not.
        return array.astype(dtype or self.dtype, copy=False) if array.dtype.kind == "f" else array

    def compute_linearized(self, weights: Any, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """The output and the pullback, by `linearize`, with the weights of a record."""
        if not self._linearize_fits:
            # The inherited one belongs to another output.
            self._lacks_linearize()
        if isinstance(weights, tuple) and not self._computes_by_call:
            y, pullback = self.linearize(weights, inputs)
        else:
            records = self.records_of(weights)
            with call_state.computing(records):
                y, pull = self.linearize(records[self], inputs)

            def pullback(dy: np.ndarray) -> tuple[Any, list[np.ndarray]]:
                with call_state.computing(records):
                    return pull(dy)

        if self._activity_regularizer is not None:
            self.note_activity(y)
        return y, pullback

    def regularization_gradients(self, x: Any = None) -> list[np.ndarray]:
        """Return the gradients of the regularizers, to add to those of the loss.

        Parameters
        ----------
        x : array_like, optional
            The input of the step; needed for the gradient of the activity regularizer.

        Returns
        -------
        list of ndarray
            In the order and shapes of `get_weights()`; 0 where there is no regularizer.

        Raises
        ------
        TypeError
            If a user-defined regularizer has no method `gradient`.

        Examples
        --------
        >>> import lcfast
        >>> layer = lcfast.Dense(1, kernel_regularizer="l2", weights=[[[1.0], [2.0]], [0.0]])
        >>> layer.build((None, 2))
        >>> layer.regularization_gradients()
        [array([[0.02],
               [0.04]], dtype=float32), array([0.], dtype=float32)]
        """
        record = self.record()
        penalties = self.weight_penalties(record)
        inner = [part for part in self.flat_layers()[1:] if part.activity_regularizer is not None]
        if x is not None and inner:
            raise TypeError(
                f"Layer {self.name} holds layer {inner[0].name}, whose activity_regularizer has "
                "gradients in a model only; put it there."
            )
        if x is None or self.activity_regularizer is None:
            return penalties
        with call_state.without_losses():
            y, pullback = self.compute_linearized(record, self._arrays(x))
            _, of_activity = pullback(self.activity_penalty(y))
        return [a + b for a, b in zip(penalties, of_activity, strict=True)]

    def shape_of_output(self, shape: Any) -> Any:
        """`compute_output_shape`, or a call on zeros where a subclass overrides `call` alone."""
        if _depth(type(self), "call") < _depth(type(self), "compute_output_shape"):
            return self._shape_by_call(shape)
        return self.compute_output_shape(shape)

    def _shape_by_call(self, shape: Any) -> Shape:
        """The shape of the output, found by a call on zeros."""
        hint = f"define `compute_output_shape` in {type(self).__name__}."
        shapes = [tuple(one) for one in (shape if self.takes_list else [shape])]
        if any(size is None for one in shapes for size in one[1:]):
            raise ValueError(
                f"The shape of the output of layer {self.name} cannot be seen by a call, because "
                f"its input has the shape {shape}; {hint}"
            )
        self._ensure_built(shape)
        # Two rows, because a size of 1 could be any axis.
        rows = [2 if one[0] is None else one[0] for one in shapes]
        zeros = [np.zeros((n, *one[1:]), self.dtype) for n, one in zip(rows, shapes, strict=True)]
        with call_state.without_losses():
            record = self.record()
            y = self._compute_by_call(record, zeros if self.takes_list else zeros[0], None, {})
        if y.ndim == 0 or y.shape[0] != rows[0]:
            raise ValueError(
                f"Layer {self.name} gave an output of shape {y.shape} for {rows[0]} rows, not a "
                f"row for each; {hint}"
            )
        return (shapes[0][0], *y.shape[1:])


def _depth(kind: type, name: str) -> int:
    """Index in the MRO of the class that defines a method; 0 is the class itself."""
    return next(i for i, owner in enumerate(kind.__mro__) if name in vars(owner))


def _completed(build: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    """`build`, followed by `complete_build` whether or not it calls super().build()."""

    @functools.wraps(build)
    def build_and_complete(self: Any, input_shape: Any) -> None:
        build(self, input_shape)
        if getattr(type(self).build, "__wrapped__", None) is build:
            self.complete_build()

    return build_and_complete


def apart(array: Any, others: Any) -> Any:
    """An array, or a list of them, with copies of those that may share memory with the others.

    The arrays of a list do not share memory with each other either.
    """
    if isinstance(array, list):
        return [apart(one, [*others, *array[:i]]) for i, one in enumerate(array)]
    if isinstance(others, list):
        shared = any(ops.may_overlap(array, other) for other in others)
    else:
        shared = ops.may_overlap(array, others)
    return array.copy() if shared else array
