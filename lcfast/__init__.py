"""lcfast: tf.keras's LocallyConnected1D and LocallyConnected2D on a CPU, without TensorFlow.

>>> import numpy as np, lcfast
>>> layer = lcfast.LocallyConnected1D(64, 3, input_shape=(10, 32))
>>> layer(np.ones((2, 10, 32))).shape
(2, 8, 64)
"""

from lcfast.errors import ModelFileError
from lcfast.io import read_weights
from lcfast.layers import (
    ELU,
    GRU,
    LSTM,
    Activation,
    Add,
    AveragePooling1D,
    AveragePooling2D,
    BatchNormalization,
    Bidirectional,
    Concatenate,
    Conv1D,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Input,
    InputLayer,
    Layer,
    LeakyReLU,
    LocallyConnected1D,
    LocallyConnected2D,
    MaxPooling1D,
    MaxPooling2D,
    PReLU,
    ReLU,
    Reshape,
    SimpleRNN,
    Softmax,
    ThresholdedReLU,
    TimeDistributed,
)
from lcfast.layers.arguments import image_data_format, set_image_data_format
from lcfast.local_conv.threads import get_num_threads, set_num_threads
from lcfast.models import Model, Sequential, load_model, model_from_json
from lcfast.versions import show_versions
from lcfast.vocabulary import activations, constraints, initializers, regularizers

__version__ = "0.1.0"

__all__ = [
    "ELU",
    "GRU",
    "LSTM",
    "Activation",
    "Add",
    "AveragePooling1D",
    "AveragePooling2D",
    "BatchNormalization",
    "Bidirectional",
    "Concatenate",
    "Conv1D",
    "Conv2D",
    "Dense",
    "Dropout",
    "Flatten",
    "Input",
    "InputLayer",
    "Layer",
    "LeakyReLU",
    "LocallyConnected1D",
    "LocallyConnected2D",
    "MaxPooling1D",
    "MaxPooling2D",
    "Model",
    "ModelFileError",
    "PReLU",
    "ReLU",
    "Reshape",
    "Sequential",
    "SimpleRNN",
    "Softmax",
    "ThresholdedReLU",
    "TimeDistributed",
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
