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
from lcfast.layers.depthwise import DepthwiseConv1D, DepthwiseConv2D
from lcfast.layers.elementwise import Activation, Dropout
from lcfast.layers.input import Input, InputLayer
from lcfast.layers.locally_connected import LocallyConnected1D, LocallyConnected2D
from lcfast.layers.merging import Add, Concatenate
from lcfast.layers.normalization import BatchNormalization
from lcfast.layers.pooling import AveragePooling1D, AveragePooling2D, MaxPooling1D, MaxPooling2D
from lcfast.layers.reshaping import Flatten, Reshape
from lcfast.layers.separable import SeparableConv1D, SeparableConv2D
from lcfast.layers.transposed import Conv1DTranspose, Conv2DTranspose
from lcfast.layers.weights import Weight

__all__ = [
    "ELU",
    "Activation",
    "Add",
    "AveragePooling1D",
    "AveragePooling2D",
    "BatchNormalization",
    "Concatenate",
    "Conv1D",
    "Conv1DTranspose",
    "Conv2D",
    "Conv2DTranspose",
    "Dense",
    "DepthwiseConv1D",
    "DepthwiseConv2D",
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
    "SeparableConv1D",
    "SeparableConv2D",
    "Softmax",
    "ThresholdedReLU",
    "Weight",
]
