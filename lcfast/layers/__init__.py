"""All layers. `__all__` is the one list of their public names, which `lcfast` exports too."""

from lcfast.layers.activation_layers import (
    ELU,
    LeakyReLU,
    PReLU,
    ReLU,
    Softmax,
    ThresholdedReLU,
)
from lcfast.layers.convolution import Conv1D, Conv2D
from lcfast.layers.core.layer import Layer
from lcfast.layers.core.weights import Weight as Weight
from lcfast.layers.dense import Dense
from lcfast.layers.depthwise import DepthwiseConv1D, DepthwiseConv2D
from lcfast.layers.dot import Dot
from lcfast.layers.elementwise import Activation, ActivityRegularization, Masking
from lcfast.layers.embedding import Embedding
from lcfast.layers.global_pooling import (
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
)
from lcfast.layers.input import Input, InputLayer
from lcfast.layers.layer_normalization import LayerNormalization
from lcfast.layers.locally_connected import LocallyConnected1D, LocallyConnected2D
from lcfast.layers.merging import (
    Add,
    Average,
    Concatenate,
    Maximum,
    Minimum,
    Multiply,
    Subtract,
)
from lcfast.layers.noise import (
    AlphaDropout,
    Dropout,
    GaussianDropout,
    GaussianNoise,
    SpatialDropout1D,
    SpatialDropout2D,
)
from lcfast.layers.normalization import BatchNormalization
from lcfast.layers.padding import Cropping1D, Cropping2D, ZeroPadding1D, ZeroPadding2D
from lcfast.layers.pooling import AveragePooling1D, AveragePooling2D, MaxPooling1D, MaxPooling2D
from lcfast.layers.preprocessing import Normalization, Rescaling
from lcfast.layers.recurrent_layers import GRU, LSTM, SimpleRNN
from lcfast.layers.reshaping import Flatten, Permute, RepeatVector, Reshape
from lcfast.layers.separable import SeparableConv1D, SeparableConv2D
from lcfast.layers.transposed import Conv1DTranspose, Conv2DTranspose
from lcfast.layers.upsampling import UpSampling1D, UpSampling2D
from lcfast.layers.wrappers import Bidirectional, TimeDistributed

__all__ = [
    "ELU",
    "GRU",
    "LSTM",
    "Activation",
    "ActivityRegularization",
    "Add",
    "AlphaDropout",
    "Average",
    "AveragePooling1D",
    "AveragePooling2D",
    "BatchNormalization",
    "Bidirectional",
    "Concatenate",
    "Conv1D",
    "Conv1DTranspose",
    "Conv2D",
    "Conv2DTranspose",
    "Cropping1D",
    "Cropping2D",
    "Dense",
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "Dot",
    "Dropout",
    "Embedding",
    "Flatten",
    "GaussianDropout",
    "GaussianNoise",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "Input",
    "InputLayer",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "LocallyConnected1D",
    "LocallyConnected2D",
    "Masking",
    "MaxPooling1D",
    "MaxPooling2D",
    "Maximum",
    "Minimum",
    "Multiply",
    "Normalization",
    "PReLU",
    "Permute",
    "ReLU",
    "RepeatVector",
    "Rescaling",
    "Reshape",
    "SeparableConv1D",
    "SeparableConv2D",
    "SimpleRNN",
    "Softmax",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "Subtract",
    "ThresholdedReLU",
    "TimeDistributed",
    "UpSampling1D",
    "UpSampling2D",
    "ZeroPadding1D",
    "ZeroPadding2D",
]
