"""The weights of a layer: its own, and those of the layers assigned to its attributes.

A layer has one record, a tuple of read-only arrays.  It is never changed, only replaced.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from lcfast.layers.core import arguments
from lcfast.layers.core.call_state import THREAD
from lcfast.layers.core.symbolic import SymbolicCalls
from lcfast.layers.core.weights import SWAP_LOCK, Record, Weight, WeightSlot, own
from lcfast.vocabulary import constraints, initializers, regularizers

# Arguments of Keras's add_weight that only TensorFlow uses.
_OF_TENSORFLOW = frozenset(
    {
        *("use_resource", "synchronization", "aggregation", "getter", "collections"),
        *("partitioner", "caching_device", "layout", "experimental_autocast"),
    }
)
# Attributes of a layer that are lists and dicts and never hold a sublayer.
_INTERNAL = frozenset(
    {"_nodes", "_slots", "_record", "_weights", "_initial_weights", "_added", "_added_for"}
)
WeightRef = tuple["WeightHolder", int]  # the layer that stores a weight, and its index there


class Composite:
    """The record of a layer with sublayers: the own record of each layer."""

    def __init__(self, of: Mapping[WeightHolder, Any]) -> None:
        self.of = of


class WeightHolder(SymbolicCalls):
    """The part of a layer that holds its weights and tracks the layers in its attributes.

    The record of a layer without sublayers is its own one, else a `Composite`.  A record holds the
    weights in the form in which the layer computes: `pack` makes it from the arrays that Keras
    stores, `unpack` is the inverse.  By default both forms are the same.
    """

    _holders: dict[str, None]  # the attributes that hold layers, or may

    def __init__(
        self, name: str, dtype: str, trainable: bool, initial_weights: Sequence[Any] | None
    ) -> None:
        super().__init__(name, dtype)
        self.built = False
        self._trainable = trainable
        self._initial_weights = None if initial_weights is None else list(initial_weights)
        self._awaits_weights = False
        self._slots: tuple[WeightSlot, ...] = ()
        self._record: Any = ()
        self._weights: dict[WeightSlot, Weight] = {}

    # ------------------------------------------------------------ sublayers

    def __setattr__(self, name: str, value: Any) -> None:
        """Assign an attribute and track the layers in it, also in lists and dicts.

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
        # Layers may be added to a list later.
        changeable = isinstance(value, list | dict) and name not in _INTERNAL
        held = name in vars(self)  # False: a property took the value
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
        """The layer, its sublayers and their sublayers, each once."""
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

    # ------------------------------------------------------------ own weights

    def pack(self, stored: Record) -> Any:
        """Return the record of these read-only arrays, which are as Keras stores them."""
        return stored

    def unpack(self, record: Any) -> Record:
        """Return the arrays of a record as Keras stores them."""
        stored: Record = record
        return stored

    def own_record(self) -> Any:
        """The record of the layer's own weights; within a call, the one that the call took."""
        records = THREAD.records
        return records.get(self, self._record) if records else self._record

    def swap_own_record(self, record: Any) -> None:
        """Replace the record of the layer's own weights, from the next call on."""
        self._record = record

    def finish_build(self, slots: Sequence[WeightSlot]) -> None:
        """Set the slots and their initial values; the last step of `build`."""
        # Keras lists and stores trainable weights before the others.
        self._slots = tuple(sorted(slots, key=lambda slot: not slot.trainable))
        self._weights = {}
        if self._initial_weights is None and not self._awaits_weights:
            self.initialize_weights()

    def await_weights(self) -> None:
        """Let `build` set the slots without values, which come from a file by `swap_record`."""
        self._awaits_weights = True

    def initialize_weights(self) -> None:
        """Set all weights to new initial values."""
        stored = tuple(slot.initial_value(self.numpy_dtype) for slot in self._slots)
        self.swap_own_record(self.pack(stored))

    def own_checked_record(self, weights: Sequence[Any], copy: bool = True) -> Any:
        """Return the record of own weights with these values, or raise what `set_weights` raises.

        Without `copy`, arrays of the right dtype and layout are not copied but made read-only.
        """
        values = list(weights)
        if len(values) != len(self._slots):
            hint = "" if self.built or self._slots else "; it is not built yet: call `build` first"
            raise ValueError(
                f"Layer {self.name} expects {len(self._slots)} weights, but {len(values)} were "
                f"given{hint}."
            )
        stored = [
            slot.checked_value(value, self.numpy_dtype, self.name, copy)
            for slot, value in zip(self._slots, values, strict=True)
        ]
        return self.pack(tuple(stored))

    def weight_of(self, slot: WeightSlot) -> Weight:
        """The Weight of one of the layer's own slots, always the same object."""
        if slot not in self._weights:
            self._weights[slot] = Weight(
                f"{self.name}/{slot.name}:0",
                slot.shape,
                slot.dtype or self.numpy_dtype,
                slot.trainable,
                functools.partial(self._stored_in, slot),
            )
        return self._weights[slot]

    def _stored_in(self, slot: WeightSlot) -> np.ndarray:
        return self.unpack(self.own_record())[self._slots.index(slot)]

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
            () by default.
        dtype : str or numpy.dtype, optional
            "float32" or "float64"; by default that of the layer.
        initializer : str, dict or callable, optional
            GlorotUniform by default.
        regularizer : str, dict or callable, optional
            Its penalty is one of `losses`.
        trainable : bool, optional
            Whether training would change it; True by default.
        constraint : str, dict or callable, optional
            Projects the weight in `apply_constraints`.
        **of_tensorflow
            Arguments that only TensorFlow uses, such as `synchronization`; ignored.

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
        """Add a weight; the older name of `add_weight`.

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
            record.insert(index, slot.initial_value(self.numpy_dtype))
        self._slots = tuple(slots)
        self.swap_own_record(tuple(record))

    # ------------------------------------------------------------ all weights together

    def complete_build(self) -> None:
        """Set the values given to the constructor and mark the layer as built, after `build`."""
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
            If their number or a shape is wrong; nothing is changed then.
        """
        self.swap_record(self.checked_record(weights))

    def record(self) -> Any:
        """The immutable record of all weights, those of the sublayers included."""
        if not self._holders or not self.sublayers():
            return self.own_record()
        with SWAP_LOCK:
            return Composite({layer: layer.own_record() for layer in self.flat_layers()})

    def swap_record(self, record: Any) -> None:
        """Replace the record from the next call on; running calls keep the one they took."""
        with SWAP_LOCK:
            for layer, own_record in self.records_of(record).items():
                layer.swap_own_record(own_record)

    def records_of(self, record: Any) -> Mapping[Any, Any]:
        """The own records of this layer and its sublayers, of a record."""
        return record.of if isinstance(record, Composite) else {self: record}

    def stored(self, record: Any) -> Sequence[np.ndarray]:
        """The read-only arrays of `get_weights()`, of a record."""
        if not isinstance(record, Composite):
            return self.unpack(record)
        arrays = {layer: layer.unpack(own) for layer, own in record.of.items()}
        return [arrays[layer][i] for layer, i in self.weight_refs()]

    def checked_record(self, weights: Sequence[Any], copy: bool = True) -> Any:
        """Return the record with these values, or raise what `set_weights` raises."""
        if not self.sublayers():
            return self.own_checked_record(weights, copy)
        values, weight_refs = list(weights), self.weight_refs()
        if len(values) != len(weight_refs):
            raise ValueError(
                f"Layer {self.name} expects {len(weight_refs)} weights, but {len(values)} were "
                "given."
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
        """The WeightRef of each of `get_weights()`, in Keras's order."""
        trained, others = self.split_weight_refs()
        return trained + others

    def split_weight_refs(self) -> tuple[list[WeightRef], list[WeightRef]]:
        """Trainable and other weights; in each list own ones before those of sublayers."""
        own: list[WeightRef] = [(self, i) for i in range(len(self._slots))]
        trained = [(self, i) for i, slot in enumerate(self._slots) if slot.trainable]
        others = [ref for ref in own if ref not in trained]
        parts = [part.split_weight_refs() for part in self.sublayers()]
        if not self.trainable:
            of_parts = [ref for part in parts for refs in part for ref in refs]
            return [], list(dict.fromkeys(own + of_parts))
        trained += [ref for part, _ in parts for ref in part]
        others += [ref for _, part in parts for ref in part]
        return list(dict.fromkeys(trained)), list(dict.fromkeys(others))

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
        """The weights that training would not change."""
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
        """Return the number of entries of all weights.

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
    """The layers in the value of an attribute: the value itself, or in lists, tuples and dicts."""
    if isinstance(value, WeightHolder):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from layers_in(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from layers_in(item)
