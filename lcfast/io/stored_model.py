"""What every reader of a whole model returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lcfast.io.stored_weights import LayerWeights, WeightOrder


@dataclass(frozen=True)
class StoredModel:
    """The content of a model file, before any layer is created."""

    path: str
    #: {"class_name": "Sequential" | "Functional" | "Model", "config": {...} or a list}, in the
    #: dialect of the Keras that wrote it.
    config: dict[str, Any]
    #: Every weight by its full name in the file: "dense/dense/kernel:0", "layers/dense/vars/0".
    arrays: Mapping[str, np.ndarray]
    #: The full names of each layer's weights, in the order `order`. Weights of no layer in the
    #: config are included under a name from the file, so that loading can report them.
    layer_weights: LayerWeights
    keras_version: str | None
    order: WeightOrder = "get_weights"
