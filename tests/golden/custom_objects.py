"""A model with layers and functions of its author's, and code in a Lambda, in two containers."""

import tf_keras
from support import HERE, normal, report, seeded, write_arrays
from tf_keras import layers


@tf_keras.utils.register_keras_serializable("golden")
class Scale(layers.Layer):
    """Multiplies each channel by a weight, and all of them by a number."""

    def __init__(self, by: float = 2.0, **kwargs) -> None:
        super().__init__(**kwargs)
        self.by = by

    def build(self, input_shape) -> None:
        self.w = self.add_weight("w", (input_shape[-1],), initializer="uniform")
        super().build(input_shape)

    def call(self, x):
        return x * self.w * self.by

    def get_config(self):
        return {**super().get_config(), "by": self.by}


def double(x):
    return 2 * x


def every_other(x):
    return x[:, ::2]


class Scorer(tf_keras.Model):
    """A class of its own around a graph of layers."""


def write_custom_objects() -> None:
    tf_keras.backend.clear_session()
    # A Lambda is saved as bytecode, which must not say where this function stands.
    every_other.__code__ = every_other.__code__.replace(co_filename="model.py", co_firstlineno=1)
    every_other.__module__ = "__main__"
    signal = tf_keras.Input((4, 3), name="signal")
    x = layers.Lambda(every_other, name="every_other")(signal)
    x = layers.TimeDistributed(Scale(3.0, name="scale"))(x)
    dense = layers.Dense(5, activation=double, input_shape=(2, 3))
    x = tf_keras.Sequential([dense, Scale()], name="inner")(x)
    x = layers.Flatten()(layers.Activation(double)(x))
    model = Scorer(signal, layers.Dense(2, name="score")(x))
    rng = seeded("custom_objects")
    model.set_weights([normal(rng, tuple(w.shape), "float32") for w in model.weights])
    for ending in ("h5", "keras"):
        model.save(HERE / f"custom_objects.{ending}")
        report(f"custom_objects.{ending}", f"{len(model.layers)} layers")
    rows = normal(rng, (3, 4, 3), "float32")
    write_arrays("custom_objects", {"x": rows, "y": model(rows).numpy()}, "1 model")
