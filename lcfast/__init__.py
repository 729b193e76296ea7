"""lcfast: tf.keras's LocallyConnected1D and LocallyConnected2D on a CPU, without TensorFlow.

>>> import numpy as np, lcfast
>>> layer = lcfast.LocallyConnected1D(64, 3, input_shape=(10, 32))
>>> layer(np.ones((2, 10, 32))).shape
(2, 8, 64)
"""

from lcfast import layers
from lcfast.errors import ModelFileError
from lcfast.io import read_weights
from lcfast.layers import *  # noqa: F403 (the names of layers.__all__)
from lcfast.layers.core.arguments import image_data_format, set_image_data_format
from lcfast.local_conv.threads import get_num_threads, set_num_threads
from lcfast.models import Model, Sequential, load_model, model_from_json
from lcfast.versions import show_versions
from lcfast.vocabulary import activations, constraints, initializers, regularizers

__version__ = "0.1.0"

__all__ = [
    "Model",
    "ModelFileError",
    "Sequential",
    "activations",
    "constraints",
    "get_num_threads",
    "image_data_format",
    "initializers",
    "load_model",
    "model_from_json",
    "read_weights",
    "regularizers",
    "set_image_data_format",
    "set_num_threads",
    "show_versions",
]
__all__ += layers.__all__
