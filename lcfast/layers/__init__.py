"""Keras layers: each a configuration, a record of weights and two pure functions."""

from lcfast.layers.activation_layers import (
    ELU,
    LeakyReLU,
    PReLU,
    ReLU,
    Softmax,
    ThresholdedReLU,
)
from lcfast.layers.base import Layer
from lcfast.layers.convolution import Conv1D, Conv2D
from lcfast.layers.dense import Dense
from lcfast.layers.elementwise import Activation, Dropout
from lcfast.layers.input import Input, InputLayer
from lcfast.layers.locally_connected import LocallyConnected1D, LocallyConnected2D
from lcfast.layers.merging import Add, Concatenate
from lcfast.layers.normalization import BatchNormalization
from lcfast.layers.pooling import AveragePooling1D, AveragePooling2D, MaxPooling1D, MaxPooling2D
from lcfast.layers.recurrent_layers import GRU, LSTM, SimpleRNN
from lcfast.layers.reshaping import Flatten, Reshape
from lcfast.layers.weights import Weight
from lcfast.layers.wrappers import Bidirectional, TimeDistributed

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
    "PReLU",
    "ReLU",
    "Reshape",
    "SimpleRNN",
    "Softmax",
    "ThresholdedReLU",
    "TimeDistributed",
    "Weight",
]
