"""How a layer computes: by its pure functions, or by the `call` that a subclass defines."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import numpy as np

from lcfast.layers.core import call_state
from lcfast.layers.core.losses import LossHolder
from lcfast.layers.core.symbolic import Shape
from lcfast.layers.core.weights import Record
from lcfast.local_conv import ops

Pullback = Callable[[Any], tuple[Any, list[np.ndarray]]]


class Computing(LossHolder):
    """The part of a layer that computes on arrays and a record.

    Layers of lcfast define `forward` and `linearize`, pure functions of a record and inputs; the
    layers of users may define `call` instead, which reads the weights from its attributes.
    """

    takes_list: bool = False
    # Of each class: whether it computes by its own `call`, and whether `linearize` fits to that.
    _computes_by_call: ClassVar[bool] = False
    _linearize_fits: ClassVar[bool] = True
    _call_takes: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._computes_by_call = _depth(cls, "call") < _depth(cls, "forward")
        cls._linearize_fits = _depth(cls, "linearize") <= _depth(cls, "call")
        cls._call_takes = frozenset(inspect.signature(cls.call).parameters)
        if "build" in vars(cls):
            cls.build = _completed(cls.build)  # type: ignore[assignment, method-assign]

    # ------------------------------------------------------------ what a layer defines

    def forward(
        self, weights: Record, inputs: Any, training: bool = False, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the output; `out` may be used for it, or left alone."""
        raise TypeError(
            f"Layer {self.name} ({type(self).__name__}) does not define `forward`, or `call`."
        )

    def linearize(self, weights: Record, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """Return the output and the function (dy) -> (dx, dweights)."""
        self._lacks_linearize()

    def _lacks_linearize(self) -> NoReturn:
        raise TypeError(
            f"Layer {self.name} ({type(self).__name__}) does not define `linearize`: define "
            "linearize(weights, inputs), which returns the output and the function "
            "(dy) -> (dx, dweights), to have gradients."
        )

    if TYPE_CHECKING:  # what Layer defines, and this part of it relies on

        def build(self, input_shape: Any) -> None: ...  # noqa: D102
        def compute_output_shape(self, input_shape: Any) -> Shape: ...  # noqa: D102
        def compute_mask(self, inputs: Any, mask: Any = None) -> None: ...  # noqa: D102
        def _arrays(self, inputs: Any) -> Any: ...
        def _ensure_built(self, input_shape: Any) -> None: ...

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Compute on arrays: what `__call__` wraps, and what a subclass defines.

        While it runs, the layer's weights are those that `__call__` took when it began.

        Parameters
        ----------
        inputs : array_like, shape (batch, ...)
            The input.
        training : bool, optional
            Passed to the layers that know the difference.
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

    # ------------------------------------------------------------ computing

    def await_weights(self) -> None:
        """Let `build` only note the shapes, unless the shape of the output is seen by a call."""
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
        """The output, of arrays and a record: by `call` where a subclass has it, or `forward`."""
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
        # numpy makes float64 of a float32 array and a float64 number, TensorFlow does not.
        return array.astype(dtype or self.dtype, copy=False) if array.dtype.kind == "f" else array

    def compute_linearized(self, weights: Any, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """The output and the pullback, of arrays and a record: `linearize` with its weights."""
        if not self._linearize_fits:
            # The inherited one would give the gradients of another output.
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
        """Return the gradients of the regularizers, to be added to those of the loss.

        Parameters
        ----------
        x : array_like, optional
            The input of the step; where it is given, the activity regularizer counts too.

        Returns
        -------
        list of ndarray
            In the order and shapes of `get_weights()`; 0 where there is no regularizer.

        Raises
        ------
        TypeError
            If a regularizer of the user's has no method `gradient`.

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
        """`compute_output_shape`, unless a subclass has a `call` that it does not know."""
        if _depth(type(self), "call") < _depth(type(self), "compute_output_shape"):
            return self._shape_by_call(shape)
        return self.compute_output_shape(shape)

    def _shape_by_call(self, shape: Any) -> Shape:
        """The shape of the output, seen by a call on zeros."""
        hint = f"define `compute_output_shape` in {type(self).__name__}."
        shapes = [tuple(one) for one in (shape if self.takes_list else [shape])]
        if any(size is None for one in shapes for size in one[1:]):
            raise ValueError(
                f"The shape of the output of layer {self.name} cannot be seen by a call, because "
                f"its input has the shape {shape}; {hint}"
            )
        self._ensure_built(shape)
        rows = [2 if one[0] is None else one[0] for one in shapes]  # 2: 1 may mean anything
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
    """How many classes lie below the one that defines a method: 0 is the class itself."""
    return next(i for i, owner in enumerate(kind.__mro__) if name in vars(owner))


def _completed(build: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    """A `build` after which the layer is built, with or without a call of super().build()."""

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
