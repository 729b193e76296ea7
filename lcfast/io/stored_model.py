"""What every reader of a whole model gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class StoredModel:
    """What a model file holds, before any layer is made of it."""

    path: str
    #: {"class_name": "Sequential" | "Functional" | "Model", "config": {...} or a list}
    config: dict[str, Any]
    #: Every weight by its full name, layer and weight, such as "dense/dense/kernel:0".
    arrays: Mapping[str, np.ndarray]
    #: The full names of each layer's weights, in the order of get_weights().
    layer_weights: dict[str, tuple[str, ...]]
    keras_version: str | None
