"""The layers to draw, how often, and the arguments of each; imports no Keras."""

from random import Random
from typing import Any

Arguments = dict[str, Any]

ACTIVATIONS = (
    *("linear", "relu", "tanh", "sigmoid", "hard_sigmoid", "softmax", "softplus", "softsign"),
    *("elu", "selu", "swish", "gelu", "mish", "exponential", "leaky_relu"),
)
ROUNDED_IN_KERAS = frozenset({"gelu", "leaky_relu"})
"""Whose constants tf_keras rounds to float32 in a float64 model, as docs/keras.md says."""

_ANY = (
    {"Dense": 4, "Activation": 2, "BatchNormalization": 3, "LayerNormalization": 1, "Dropout": 1}
    | {"ReLU": 1, "LeakyReLU": 1, "ELU": 1, "PReLU": 1, "ThresholdedReLU": 1, "Softmax": 1}
    | {"Reshape": 2, "GaussianNoise": 1, "ActivityRegularization": 1, "Rescaling": 1}
)
_SEQUENCE = (
    {"LocallyConnected1D": 14, "Conv1D": 5, "SeparableConv1D": 2, "DepthwiseConv1D": 2}
    | {"Conv1DTranspose": 2, "MaxPooling1D": 2, "AveragePooling1D": 2, "GlobalMaxPooling1D": 1}
    | {"GlobalAveragePooling1D": 1, "SimpleRNN": 2, "LSTM": 3, "GRU": 3, "Bidirectional": 3}
    | {"TimeDistributed": 2, "ZeroPadding1D": 1, "Cropping1D": 1, "UpSampling1D": 1, "Flatten": 3}
    | {"Permute": 1, "SpatialDropout1D": 1}
)
_IMAGE = (
    {"LocallyConnected2D": 16, "Conv2D": 5, "SeparableConv2D": 2, "DepthwiseConv2D": 3}
    | {"Conv2DTranspose": 2, "MaxPooling2D": 3, "AveragePooling2D": 3, "GlobalMaxPooling2D": 1}
    | {"GlobalAveragePooling2D": 1, "ZeroPadding2D": 1, "Cropping2D": 1, "UpSampling2D": 2}
    | {"Flatten": 4, "Permute": 1, "SpatialDropout2D": 1, "TimeDistributed": 2}
)
KINDS: dict[int, dict[str, int]] = {
    1: {**_ANY, "RepeatVector": 2},
    2: {**_ANY, **_SEQUENCE},
    3: {**_ANY, **_IMAGE},
    4: {"Flatten": 2, "Activation": 1, "Dense": 1},
}
"""The layers for a row of a given number of dimensions, and how often each is drawn."""


class Draw:
    """Draws the arguments of one layer; each method has the name of a class, in lowercase."""

    def __init__(self, rng: Random, dtype: str, shape: tuple[int, ...]) -> None:
        self.rng, self.dtype, self.shape = rng, dtype, shape

    def maybe(self, chance: float, **arguments: Any) -> Arguments:
        return arguments if self.rng.random() < chance else {}

    def choice(self, *values: Any) -> Any:
        return self.rng.choice(values)

    def sizes(self, dimensions: int, most: int) -> Any:
        """An int, or one int for each dimension."""
        if dimensions == 1 or self.rng.random() < 0.5:
            return self.rng.randint(1, most)
        return [self.rng.randint(1, most) for _ in range(dimensions)]

    def name_of_activation(self) -> str:
        rounded = ROUNDED_IN_KERAS if self.dtype == "float64" else ()
        return self.rng.choice([name for name in ACTIVATIONS if name not in rounded])

    def first(self, chance: float = 0.25) -> Arguments:
        return self.maybe(chance, data_format="channels_first")

    def weights(self, *kinds: str) -> Arguments:
        """Initializers, regularizers and constraints of a layer's weights."""
        found: Arguments = {}
        for kind in kinds:
            found |= self.maybe(0.1, **{f"{kind}_initializer": self.choice("ones", "he_normal")})
            found |= self.maybe(0.1, **{f"{kind}_regularizer": self.choice("l1", "l2", "l1_l2")})
            names = ("non_neg", "max_norm", "unit_norm")
            found |= self.maybe(0.1, **{f"{kind}_constraint": self.choice(*names)})
        return found

    def nothing(self, kind: str) -> Arguments:
        return {"rate": 0.3} if "Dropout" in kind else {}

    # ------------------------------------------------------------ linear layers

    def linear(self, *kinds: str) -> Arguments:
        found = self.maybe(0.6, activation=self.name_of_activation())
        found |= self.maybe(0.2, use_bias=False)
        found |= self.maybe(0.05, activity_regularizer="l2")
        return found | self.weights(*kinds, "bias")

    def locally_connected(self, dimensions: int) -> Arguments:
        implementation = self.choice(1, 1, 2, 3)
        return {
            "filters": self.choice(1, 2, 3, 4, 5, 7, 17),
            "kernel_size": self.sizes(dimensions, 4),
            **self.maybe(0.4, strides=self.sizes(dimensions, 3)),
            **({"implementation": implementation} if implementation > 1 else {}),
            **(self.maybe(0.5, padding="same") if implementation > 1 else {}),
            **self.first(),
            **self.linear("kernel"),
        }

    def locallyconnected1d(self) -> Arguments:
        return self.locally_connected(1)

    def locallyconnected2d(self) -> Arguments:
        return self.locally_connected(2)

    def dense(self) -> Arguments:
        return {"units": self.choice(1, 2, 3, 5, 8, 33), **self.linear("kernel")}

    def window(self, dimensions: int, causal: bool = False) -> Arguments:
        """The arguments that shape a convolution's receptive fields."""
        paddings = ("valid", "same", "causal") if causal else ("valid", "same")
        found: Arguments = {"kernel_size": self.sizes(dimensions, 4)}
        found |= self.maybe(0.6, padding=self.choice(*paddings))
        if self.rng.random() < 0.4:
            return found | {"strides": self.sizes(dimensions, 3)}
        return found | self.maybe(0.25, dilation_rate=self.rng.randint(2, 3))

    def convolution(self, dimensions: int) -> Arguments:
        groups = self.choice(1, 1, 1, 2, 3)
        groups = groups if self.shape[-1] % groups == 0 else 1
        return {
            "filters": groups * self.rng.randint(1, 4),
            **({"groups": groups} if groups > 1 else {}),
            **self.window(dimensions, causal=dimensions == 1),
            **self.linear("kernel"),
        }

    def conv1d(self) -> Arguments:
        return self.convolution(1)

    def conv2d(self) -> Arguments:
        return self.convolution(2)

    def transposed(self, dimensions: int) -> Arguments:
        strides = self.rng.randint(1, 3)
        return {
            "filters": self.rng.randint(1, 4),
            "kernel_size": self.sizes(dimensions, 4),
            "strides": strides,
            **self.maybe(0.5, padding="same"),
            **(self.maybe(0.2, output_padding=self.rng.randint(0, strides - 1))),
            **self.linear("kernel"),
        }

    def conv1dtranspose(self) -> Arguments:
        return self.transposed(1)

    def conv2dtranspose(self) -> Arguments:
        return self.transposed(2)

    def depthwise(self, dimensions: int) -> Arguments:
        found = {"kernel_size": self.rng.randint(1, 4), **self.maybe(0.5, padding="same")}
        found |= self.maybe(0.4, strides=self.rng.randint(1, 2))
        found |= self.maybe(0.5, depth_multiplier=self.rng.randint(1, 3))
        return found | self.linear("depthwise")

    def depthwiseconv1d(self) -> Arguments:
        return self.depthwise(1)

    def depthwiseconv2d(self) -> Arguments:
        return self.depthwise(2)

    def separableconv1d(self) -> Arguments:
        return {"filters": self.rng.randint(1, 4), **self.depthwise(1)} | self.weights("pointwise")

    def separableconv2d(self) -> Arguments:
        return {"filters": self.rng.randint(1, 4), **self.depthwise(2)} | self.weights("pointwise")

    # ------------------------------------------------------------ recurrent layers, wrappers

    def recurrent(self, kind: str) -> Arguments:
        found: Arguments = {"units": self.rng.randint(1, 6)}
        found |= self.maybe(0.4, activation=self.name_of_activation())
        found |= self.maybe(0.5, return_sequences=True) | self.maybe(0.3, go_backwards=True)
        found |= self.maybe(0.2, use_bias=False) | self.maybe(0.1, unroll=True)
        found |= self.maybe(0.1, dropout=0.2) | self.maybe(0.1, recurrent_dropout=0.2)
        if kind != "SimpleRNN":
            found |= self.maybe(0.3, recurrent_activation=self.choice("hard_sigmoid", "tanh"))
            found |= self.maybe(0.3, implementation=1)
        found |= self.maybe(0.5, reset_after=False) if kind == "GRU" else {}
        return found | self.weights("recurrent")

    def simplernn(self) -> Arguments:
        return self.recurrent("SimpleRNN")

    def lstm(self) -> Arguments:
        return self.recurrent("LSTM")

    def gru(self) -> Arguments:
        return self.recurrent("GRU")

    def bidirectional(self) -> Arguments:
        kind = self.choice("SimpleRNN", "LSTM", "GRU")
        inner = {"layer": kind, "arguments": self.recurrent(kind)}
        found: Arguments = {"layer": inner}
        found |= self.maybe(0.5, merge_mode=self.choice("concat", "sum", "mul", "ave"))
        if self.rng.random() < 0.2:
            other = dict(inner["arguments"])
            other["go_backwards"] = not other.get("go_backwards", False)
            found["backward_layer"] = {"layer": kind, "arguments": other}
        return found

    def timedistributed(self) -> Arguments:
        step = Draw(self.rng, self.dtype, self.shape[1:])
        kinds = ("Dense", "Activation", "BatchNormalization")
        if len(self.shape) == 3:
            kinds += ("Conv1D", "LocallyConnected1D", "LSTM", "Flatten", "MaxPooling1D")
        kind = self.choice(*kinds)
        draw = getattr(step, kind.lower(), None)
        return {"layer": {"layer": kind, "arguments": draw() if draw else {}}}

    # ------------------------------------------------------------ pooling, shapes

    def pooling(self, dimensions: int) -> Arguments:
        found = {"pool_size": self.sizes(dimensions, 3), **self.maybe(0.5, padding="same")}
        return found | self.maybe(0.5, strides=self.sizes(dimensions, 3))

    def maxpooling1d(self) -> Arguments:
        return self.pooling(1)

    def averagepooling1d(self) -> Arguments:
        return self.pooling(1)

    def maxpooling2d(self) -> Arguments:
        return self.pooling(2)

    def averagepooling2d(self) -> Arguments:
        return self.pooling(2)

    def global_pooling(self) -> Arguments:
        return self.first() | self.maybe(0.4, keepdims=True)

    def globalmaxpooling1d(self) -> Arguments:
        return self.global_pooling()

    def globalaveragepooling1d(self) -> Arguments:
        return self.global_pooling()

    def globalmaxpooling2d(self) -> Arguments:
        return self.global_pooling()

    def globalaveragepooling2d(self) -> Arguments:
        return self.global_pooling()

    def around(self) -> Any:
        low, high = self.rng.randint(0, 2), self.rng.randint(0, 2)
        return self.choice(low, [low, high])

    def zeropadding1d(self) -> Arguments:
        return {"padding": self.around()}

    def cropping1d(self) -> Arguments:
        return {"cropping": self.around()}

    def zeropadding2d(self) -> Arguments:
        return {"padding": self.choice(1, [1, 2], [[0, 1], [2, 0]]), **self.first()}

    def cropping2d(self) -> Arguments:
        return {"cropping": self.choice(1, [1, 0], [[0, 1], [1, 0]]), **self.first()}

    def upsampling1d(self) -> Arguments:
        return {"size": self.rng.randint(1, 3)}

    def upsampling2d(self) -> Arguments:
        found = {"size": self.sizes(2, 3)} | self.first()
        if self.dtype == "float32":  # TensorFlow always interpolates in float32
            found |= self.maybe(0.5, interpolation="bilinear")
        return found

    def flatten(self) -> Arguments:
        return self.first(0.15)

    def permute(self) -> Arguments:
        return {"dims": self.rng.sample(range(1, len(self.shape) + 1), len(self.shape))}

    def repeatvector(self) -> Arguments:
        return {"n": self.rng.randint(1, 6)}

    def reshape(self) -> Arguments:
        left = 1
        for size in self.shape:
            left *= size
        target = []
        while len(target) < self.rng.randint(0, 2):
            target.append(self.rng.choice([n for n in range(1, left + 1) if left % n == 0]))
            left //= target[-1]
        return {"target_shape": [*target, self.choice(left, -1)]}

    # ------------------------------------------------------------ activations, normalization

    def activation(self) -> Arguments:
        return {"activation": self.name_of_activation()}

    def relu(self) -> Arguments:
        found = self.maybe(0.4, max_value=1.5) | self.maybe(0.4, negative_slope=0.25)
        return found | self.maybe(0.3, threshold=0.125)

    def leakyrelu(self) -> Arguments:
        return self.maybe(0.7, alpha=0.125)

    def elu(self) -> Arguments:
        return self.maybe(0.7, alpha=0.5)

    def prelu(self) -> Arguments:
        found = self.maybe(0.4, shared_axes=[self.rng.randint(1, len(self.shape))])
        return found | self.weights("alpha")

    def thresholdedrelu(self) -> Arguments:
        return self.maybe(0.7, theta=0.25)

    def softmax(self) -> Arguments:
        return self.maybe(0.4, axis=self.rng.randint(1, len(self.shape)))

    def batchnormalization(self) -> Arguments:
        found = self.maybe(0.2, axis=self.rng.randint(1, len(self.shape)))
        found |= self.maybe(0.2, scale=False) | self.maybe(0.2, center=False)
        return found | self.maybe(0.2, epsilon=0.01) | self.weights("gamma", "beta")

    def layernormalization(self) -> Arguments:
        axes = self.rng.sample(range(1, len(self.shape) + 1), self.rng.randint(1, len(self.shape)))
        found = self.maybe(0.4, axis=sorted(axes)) | self.maybe(0.2, scale=False)
        return found | self.maybe(0.2, center=False) | self.weights("gamma", "beta")

    def gaussiannoise(self) -> Arguments:
        return {"stddev": 0.5}

    def activityregularization(self) -> Arguments:
        return {"l1": 0.01}

    def rescaling(self) -> Arguments:
        return {"scale": 0.5, **self.maybe(0.5, offset=-0.25)}
