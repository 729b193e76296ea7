"""What a layer that users write is made of: weights it adds itself, and layers that it holds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from lcfast.layers.core import arguments
from lcfast.layers.core.weights import SWAP_LOCK, Weight, WeightHolder, WeightSlot, own
from lcfast.vocabulary import constraints, initializers, regularizers

# Arguments of Keras's add_weight that matter to TensorFlow alone.
_OF_TENSORFLOW = frozenset(
    {
        *("use_resource", "synchronization", "aggregation", "getter", "collections"),
        *("partitioner", "caching_device", "layout", "experimental_autocast"),
    }
)
# What a layer keeps in lists and dicts of its own, where no sublayer can be.
_INTERNAL = frozenset(
    {"_nodes", "_slots", "_record", "_weights", "_initial_weights", "_added", "_added_for"}
)
WeightRef = tuple["Tracker", int]  # the layer that stores a weight, and which of its own it is


class Composite:
    """The record of a layer that holds others: the own record of each of them."""

    def __init__(self, of: Mapping[Tracker, Any]) -> None:
        self.of = of


class Tracker(WeightHolder):
    """A holder of weights that also has those of the layers assigned to its attributes.

    Its record is its own one where it holds no layers, else a `Composite`.
    """

    _holders: dict[str, None]  # the attributes that hold layers, or may

    def __setattr__(self, name: str, value: Any) -> None:
        """Assign an attribute, and track the layers in it, in lists and dicts too.

        Raises
        ------
        AttributeError
            If the name is that of a property that cannot be set.
        """
        try:
            object.__setattr__(self, name, value)
        except AttributeError:
            raise AttributeError(
                f'Can\'t set the attribute "{name}", likely because it conflicts with an existing '
                "read-only @property of the object. Please choose a different name."
            ) from None
        holders = vars(self).setdefault("_holders", {})
        # A list may get its layers later.
        changeable = isinstance(value, list | dict) and name not in _INTERNAL
        held = name in vars(self)  # not by a property
        if held and (changeable or any(layers_in(value))):
            holders[name] = None
        else:
            holders.pop(name, None)

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        vars(self)["_holders"].pop(name, None)

    def sublayers(self) -> list[Any]:
        """The layers assigned to attributes, each once, in the order of the attributes."""
        values = vars(self)
        holders = values["_holders"]
        if not holders:
            return []
        return list(dict.fromkeys(part for name in holders for part in layers_in(values[name])))

    def flat_layers(self) -> list[Any]:
        """The layer, those that it holds, and what they hold, each once."""
        flat: dict[Any, None] = {self: None}
        for part in self.sublayers():
            flat.update(dict.fromkeys(part.flat_layers()))
        return list(flat)

    @property
    def trainable(self) -> bool:
        """Whether `trainable_weights` lists the weights; setting it sets it in all sublayers."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        checked = arguments.checked_flag(value, "trainable")
        for layer in self.flat_layers():
            layer._trainable = checked

    def add_weight(
        self,
        name: str | None = None,
        shape: Sequence[int] | None = None,
        dtype: Any = None,
        initializer: Any = None,
        regularizer: Any = None,
        trainable: bool | None = None,
        constraint: Any = None,
        **of_tensorflow: Any,
    ) -> Weight:
        """Add a weight to the layer, from `build` or `__init__` of a subclass.

        Parameters
        ----------
        name : str, optional
            The weight is called `{layer}/{name}:0`.
        shape : tuple of int, optional
            () where it is missing.
        dtype : str or numpy.dtype, optional
            "float32" or "float64"; the layer's where it is missing.
        initializer : str, dict or callable, optional
            GlorotUniform where it is missing.
        regularizer : str, dict or callable, optional
            Its penalty is one of `losses`.
        trainable : bool, optional
            Whether training would change it: True where it is missing.
        constraint : str, dict or callable, optional
            What `apply_constraints` projects it with.
        **of_tensorflow
            Arguments that matter to TensorFlow alone, such as `synchronization`.

        Returns
        -------
        Weight
            An array to numpy: `x @ self.w`.

        Raises
        ------
        TypeError
            If there is an argument that Keras does not have.
        ValueError
            If an argument is not one that the layer takes.

        References
        ----------
        https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/Layer

        Examples
        --------
        >>> import numpy as np, lcfast
        >>> class Scale(lcfast.Layer):
        ...     def build(self, input_shape):
        ...         self.factor = self.add_weight("factor", (input_shape[-1],), initializer="ones")
        ...     def call(self, inputs):
        ...         return inputs * self.factor
        >>> layer = Scale(name="scale")
        >>> layer(np.ones((1, 3)))
        array([[1., 1., 1.]], dtype=float32)
        >>> layer.weights
        [<lcfast.Weight scale/factor:0 (3,) float32>]
        """
        for argument in of_tensorflow:
            if argument not in _OF_TENSORFLOW:
                raise TypeError(f"Unknown keyword argument of add_weight: {argument!r}.")
        if name is not None and not isinstance(name, str):
            raise ValueError(f"The `name` of a weight must be a string. Received: {name!r}.")
        sizes = arguments.checked_shape(() if shape is None else shape, "shape")
        known = tuple(size for size in sizes if size is not None)
        if len(known) != len(sizes):
            raise ValueError(
                f"The weight {name!r} of layer {self.name} needs a shape without None. "
                f"Received: {sizes}."
            )
        slot = WeightSlot(
            name or "Variable",
            known,
            initializers.get(initializer),
            arguments.checked_flag(True if trainable is None else trainable, "trainable"),
            regularizers.get(regularizer),
            constraints.get(constraint),
            None if dtype is None else arguments.checked_dtype(dtype),
        )
        self._add_slot(slot)
        return self.weight_of(slot)

    def add_variable(self, *args: Any, **kwargs: Any) -> Weight:
        """Add a weight; the name that `add_weight` had before.

        Examples
        --------
        >>> import lcfast
        >>> lcfast.Layer(name="own").add_variable("scale", (2,)).name
        'own/scale:0'
        """
        return self.add_weight(*args, **kwargs)

    def _add_slot(self, slot: WeightSlot) -> None:
        slots, record = list(self._slots), list(self.own_record())
        index = sum(other.trainable for other in slots) if slot.trainable else len(slots)
        slots.insert(index, slot)
        if not self._awaits_weights:
            record.insert(index, slot.initial_value(np.dtype(self.dtype)))
        self._slots = tuple(slots)
        self.swap_own_record(tuple(record))

    # ------------------------------------------------------------ all weights together

    def complete_build(self) -> None:
        """Take the values that the constructor was given, and be built: the last of a build."""
        if self._initial_weights is not None:
            self.set_weights(self._initial_weights)
            self._initial_weights = None
        self.built = True

    def get_weights(self) -> list[np.ndarray]:
        """Return copies of the weights, in Keras's order and shapes; [] before the layer is built.

        Returns
        -------
        list of ndarray
        """
        return [own(value) for value in self.stored(self.record())]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set the weights, all at once, from arrays in the order and shapes of `get_weights()`.

        Parameters
        ----------
        weights : sequence of array_like
            Copied, and cast to the layer's dtype.

        Raises
        ------
        ValueError
            If their number or a shape is wrong; then nothing is changed.
        """
        self.swap_record(self.checked_record(weights))

    def record(self) -> Any:
        """The weights as one immutable whole, those of the sublayers too."""
        if not self._holders or not self.sublayers():
            return self.own_record()
        with SWAP_LOCK:
            return Composite({layer: layer.own_record() for layer in self.flat_layers()})

    def swap_record(self, record: Any) -> None:
        """Compute with `record` from the next call on; calls under way keep the one they took."""
        if not isinstance(record, Composite):
            self.swap_own_record(record)
            return
        with SWAP_LOCK:
            for layer, own in record.of.items():
                layer.swap_own_record(own)

    def records_of(self, record: Any) -> Mapping[Any, Any]:
        """The own record of this layer and of all that it holds."""
        return record.of if isinstance(record, Composite) else {self: record}

    def stored(self, record: Any) -> Sequence[np.ndarray]:
        """The arrays of `get_weights()`, of a record; read-only."""
        if not isinstance(record, Composite):
            return self.unpack(record)
        arrays = {layer: layer.unpack(own) for layer, own in record.of.items()}
        return [arrays[layer][i] for layer, i in self.weight_refs()]

    def checked_record(self, weights: Sequence[Any], copy: bool = True) -> Any:
        """Return the record that `weights` make, or raise what `set_weights` raises."""
        if not self.sublayers():
            return self.own_checked_record(weights, copy)
        values, weight_refs = list(weights), self.weight_refs()
        if len(values) != len(weight_refs):
            raise ValueError(
                f"Layer {self.name} expects {len(weight_refs)} weights, but {len(values)} were given."
            )
        of_layer = dict(zip(weight_refs, values, strict=True))
        return Composite(
            {
                layer: layer.own_checked_record(
                    [of_layer[layer, i] for i in range(len(layer._slots))], copy
                )
                for layer in self.flat_layers()
            }
        )

    def weight_refs(self) -> list[WeightRef]:
        """Where each of `get_weights()` is stored, in Keras's order."""
        trained, others = self.split_weight_refs()
        return trained + others

    def split_weight_refs(self) -> tuple[list[WeightRef], list[WeightRef]]:
        """The trainable ones, own before those of sublayers, and likewise the others."""
        own: list[WeightRef] = [(self, i) for i in range(len(self._slots))]
        trained = [(self, i) for i, slot in enumerate(self._slots) if slot.trainable]
        others = [ref for ref in own if ref not in trained]
        parts = [part.split_weight_refs() for part in self.sublayers()]
        if not self.trainable:
            of_parts = [ref for part in parts for refs in part for ref in refs]
            return [], _each_once(own + of_parts)
        trained = _each_once(trained + [ref for part, _ in parts for ref in part])
        others = _each_once(others + [ref for _, part in parts for ref in part])
        return trained, others

    @property
    def weights(self) -> list[Weight]:
        """All weights: the trainable ones first, as Keras lists and stores them."""
        return self.trainable_weights + self.non_trainable_weights

    @property
    def trainable_weights(self) -> list[Weight]:
        """The weights that training would change; [] where `trainable` is False."""
        return [layer.weight_of(layer._slots[i]) for layer, i in self.split_weight_refs()[0]]

    @property
    def non_trainable_weights(self) -> list[Weight]:
        """The weights that training would leave alone."""
        return [layer.weight_of(layer._slots[i]) for layer, i in self.split_weight_refs()[1]]

    @property
    def variables(self) -> list[Weight]:
        """All weights; another name of `weights`."""
        return self.weights

    @property
    def trainable_variables(self) -> list[Weight]:
        """Another name of `trainable_weights`."""
        return self.trainable_weights

    @property
    def non_trainable_variables(self) -> list[Weight]:
        """Another name of `non_trainable_weights`."""
        return self.non_trainable_weights

    def weight_shapes(self) -> list[tuple[int, ...]]:
        """Shapes of `get_weights()`."""
        return [layer._slots[i].shape for layer, i in self.weight_refs()]

    def count_params(self) -> int:
        """Return how many numbers the weights hold.

        Raises
        ------
        ValueError
            If the layer is not built yet.
        """
        if not self.built:
            raise ValueError(
                f"You tried to call `count_params` on {self.name}, but the layer isn't built. "
                "You can build it manually via: `layer.build(batch_input_shape)`."
            )
        return sum(math.prod(shape) for shape in self.weight_shapes())


def layers_in(value: Any) -> Iterator[Any]:
    """The layers in the value of an attribute: itself, or in lists, tuples and dicts."""
    if isinstance(value, Tracker):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from layers_in(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from layers_in(item)


def _each_once(weight_refs: list[WeightRef]) -> list[WeightRef]:
    return list(dict.fromkeys(weight_refs))
