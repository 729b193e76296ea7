"""A model in TimeDistributed whose weights have one shape: only their order tells them apart."""

import numpy as np
import tf_keras
from support import HERE, normal, report, seeded, write_arrays
from tf_keras import layers


def write_wrapped() -> None:
    tf_keras.backend.clear_session()
    rng = seeded("wrapped")
    normalizations = [layers.BatchNormalization(input_shape=(3,)), layers.BatchNormalization()]
    inside = tf_keras.Sequential(normalizations, name="inside")
    model = tf_keras.Sequential([layers.TimeDistributed(inside, input_shape=(2, 3))])
    model.set_weights([np.exp(normal(rng, tuple(w.shape), "float32")) for w in model.weights])
    for ending in ("h5", "keras", "weights.h5"):
        save = model.save_weights if ending == "weights.h5" else model.save
        save(HERE / f"wrapped.{ending}")
        report(f"wrapped.{ending}", f"{len(model.weights)} weights")
    model.save_weights(HERE / "wrapped_checkpoint", save_format="tf")
    (HERE / "checkpoint").unlink()  # names the newest checkpoint, which no reader needs
    report("wrapped_checkpoint.index", f"{len(model.weights)} weights")
    x = normal(rng, (3, 2, 3), "float32")
    write_arrays("wrapped", {"x": x, "y": model(x, training=False).numpy()}, "1 model")
