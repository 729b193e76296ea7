"""The losses of a layer, the gradients of its regularizers, and the constraints of its weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lcfast.layers.core import call_state
from lcfast.layers.core.tracking import WeightHolder
from lcfast.layers.core.weights import SWAP_LOCK
from lcfast.vocabulary import regularizers


class LossHolder(WeightHolder):
    """The part of a layer that has losses, and gradients of those of its regularizers."""

    def __init__(
        self,
        name: str,
        dtype: str,
        trainable: bool,
        initial_weights: Sequence[Any] | None,
        activity_regularizer: Any,
    ) -> None:
        super().__init__(name, dtype, trainable, initial_weights)
        self.activity_regularizer = activity_regularizer
        self._added: list[float | Callable[[], Any]] = []
        self._added_for: list[tuple[Any, float]] = []

    @property
    def activity_regularizer(self) -> regularizers.RegularizerLike | None:
        """The regularizer of the output, or None."""
        return self._activity_regularizer

    @activity_regularizer.setter
    def activity_regularizer(self, regularizer: Any) -> None:
        self._activity_regularizer = regularizers.get(regularizer)

    @property
    def losses(self) -> list[float]:
        """The losses of the layer and its sublayers, as floats in the order of tf_keras.

        For each layer: those of its latest call on an array in this thread (what `call` added, then
        the activity regularizer), the regularizer of each weight, and what `add_loss` added.
        """
        return [loss for layer in self.flat_layers() for loss in layer.own_losses()]

    def own_losses(self) -> list[float]:
        """The losses of the layer without its sublayers."""
        noted = call_state.THREAD.losses.get(self)
        of_inputs = [loss for _, loss in self._added_for]
        return (list(noted.values) if noted else []) + self._unconditional() + of_inputs

    def _unconditional(self) -> list[float]:
        losses = []
        if any(slot.regularizer for slot in self._slots):
            for slot, value in zip(self._slots, self.unpack(self.own_record()), strict=True):
                if slot.regularizer is not None:
                    losses.append(float(slot.regularizer(value)))
        return losses + [_number(added() if callable(added) else added) for added in self._added]

    def add_loss(self, losses: Any, inputs: Any = None) -> None:
        """Add a loss, or several in a list.

        Parameters
        ----------
        losses : float, 0-d array, callable without arguments, or list of them
            A loss added within `call` belongs to that call and is replaced by the next one; others
            stay.  A callable is called whenever `losses` is read.
        inputs : array_like, optional
            The inputs that the loss depends on, for `get_losses_for`.

        Raises
        ------
        TypeError
            If a loss is anything else.

        References
        ----------
        https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/Layer

        Examples
        --------
        >>> import lcfast
        >>> layer = lcfast.Dense(2)
        >>> layer.add_loss([0.5, lambda: 0.25])
        >>> layer.losses
        [0.5, 0.25]
        """
        for loss in losses if isinstance(losses, list | tuple) else [losses]:
            if loss is None:  # as Keras does
                continue
            if self in call_state.THREAD.records:
                call_state.note_loss(self, _number(loss() if callable(loss) else loss))
            elif inputs is not None:
                self._added_for.append((inputs, _number(loss() if callable(loss) else loss)))
            else:
                self._added.append(loss if callable(loss) else _number(loss))

    def get_losses_for(self, inputs: Any) -> list[float]:
        """Return the losses that depend on these inputs; those that depend on none for None.

        Parameters
        ----------
        inputs : array or None
            The same object that the layer was called on, or that `add_loss` was given.

        Returns
        -------
        list of float

        Examples
        --------
        >>> import numpy as np, lcfast
        >>> layer = lcfast.Dense(1, "linear", False, "ones", activity_regularizer="l1")
        >>> x = np.ones((2, 3))
        >>> y = layer(x)
        >>> [round(loss, 6) for loss in layer.get_losses_for(x)], layer.get_losses_for(None)
        ([0.03], [])
        """
        found: list[float] = []
        for layer in self.flat_layers():
            if inputs is None:
                found += layer._unconditional()
                continue
            noted = call_state.THREAD.losses.get(layer)
            if noted is not None and noted.depend_on(inputs):
                found += noted.values
            found += [loss for given, loss in layer._added_for if given is inputs]
        return found

    def add_update(self, updates: Any, inputs: Any = None) -> None:
        """Do nothing: lcfast has no deferred operations.

        Examples
        --------
        >>> import lcfast
        >>> layer = lcfast.Dense(2)
        >>> layer.add_update([1, 2])
        >>> layer.updates
        []
        """

    @property
    def updates(self) -> list[Any]:
        """Always []: lcfast has no deferred operations."""
        return []

    def get_updates_for(self, inputs: Any) -> list[Any]:
        """Return [] for any inputs: lcfast has no deferred operations."""
        return []

    # ------------------------------------------------------------ a step of training

    def weight_penalties(self, record: Any) -> list[np.ndarray]:
        """The gradients of the weight regularizers, in the order of `get_weights()`."""
        penalties = []
        for (layer, i), value in zip(self.weight_refs(), self.stored(record), strict=True):
            regularizer = layer._slots[i].regularizer
            penalties.append(
                np.zeros_like(value)
                if regularizer is None
                else gradient_of(regularizer, value, layer._slots[i].name)
            )
        return penalties

    def activity_penalty(self, y: np.ndarray) -> np.ndarray | None:
        """The gradient of the activity loss with respect to the output, or None."""
        if self.activity_regularizer is None:
            return None
        slope = gradient_of(self.activity_regularizer, y, "the output")
        return slope / max(len(y), 1)

    def note_activity(self, y: Any) -> None:
        """Add the activity loss of the output `y` to the running call."""
        regularizer = self._activity_regularizer
        if regularizer is not None and call_state.THREAD.inputs is not None:
            rows = len(y) if np.ndim(y) else 1
            call_state.note_loss(self, float(regularizer(y)) / rows if rows else 0.0)

    def apply_constraints(self) -> None:
        """Project the weights that have a constraint, sublayers included, and replace them at once.

        Examples
        --------
        >>> import lcfast
        >>> layer = lcfast.Dense(1, kernel_constraint="non_neg", weights=[[[-1.0], [2.0]], [0.0]])
        >>> layer.build((None, 2))
        >>> layer.apply_constraints()
        >>> layer.get_weights()[0].tolist()
        [[-0.0], [2.0]]
        """
        projected = {}
        for layer in self.flat_layers():
            if any(slot.constraint for slot in layer._slots):
                values = [
                    value if slot.constraint is None else slot.constraint(value)
                    for slot, value in zip(
                        layer._slots, layer.unpack(layer.own_record()), strict=True
                    )
                ]
                projected[layer] = layer.own_checked_record(values)
        with SWAP_LOCK:
            for layer, record in projected.items():
                layer.swap_own_record(record)


def gradient_of(regularizer: Any, value: np.ndarray, what: str) -> np.ndarray:
    """The gradient of a penalty, in the dtype of the value.

    Raises
    ------
    TypeError
        If a user-defined regularizer has no method `gradient`.
    """
    gradient = getattr(regularizer, "gradient", None)
    if gradient is None:
        raise TypeError(
            f"The regularizer {regularizer!r} of {what} has no method `gradient`; define it: "
            "gradient(w) returns the derivative of the penalty with respect to each entry of w."
        )
    return np.asarray(gradient(value), value.dtype)


def _number(value: Any) -> float:
    """A loss as a float."""
    array = np.asarray(value)
    if array.ndim or array.dtype.kind not in "fiub":
        raise TypeError(
            "A loss must be a number, an array without axes, or a callable without arguments that "
            f"returns one. Received: {value!r}."
        )
    return float(array)
