"""What every reader of a whole model gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

WeightOrder = Literal["get_weights", "trainable first", "layer by layer", "by name"]
"""How a layer that holds others, or a model inside of the model, lists the weights of all.

"get_weights" is Keras's: a layer has all trainable ones first, a model goes layer by layer. HDF5
files of Keras 1 and 2 have "trainable first" for both. Checkpoints go "layer by layer", as the
layer made its attributes; trees of groups too, but "by name" of the attributes.
"""


@dataclass(frozen=True)
class StoredModel:
    """What a model file holds, before any layer is made of it."""

    path: str
    #: {"class_name": "Sequential" | "Functional" | "Model", "config": {...} or a list}, as the
    #: file has it, in the dialect of its Keras
    config: dict[str, Any]
    #: Every weight by its full name in the file: "dense/dense/kernel:0", "layers/dense/vars/0".
    arrays: Mapping[str, np.ndarray]
    #: The full names of each layer's weights, in the order of `order`. Weights of no layer
    #: in the config are there too, under a name of the file's: whoever loads it must see them.
    layer_weights: dict[str, tuple[str, ...]]
    keras_version: str | None
    order: WeightOrder = "get_weights"
