"""Load with tf_keras what lcfast wrote, and compute: run by tests/models/test_saving.py.

    python read_back.py FOLDER

FOLDER/<name>/ holds model.h5, model.keras, model.json, weights.h5, tree.weights.h5 and inputs.npz
(0, 1, ...). Written beside them: <way>.npz with the outputs (0, 1, ...) for each of the four ways
to load it, and keras.json, what tf_keras says of the model itself.
"""

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras


def loaded(folder: Path) -> dict[str, tf_keras.Model]:
    def of_json(weights: str) -> tf_keras.Model:
        model = tf_keras.models.model_from_json((folder / "model.json").read_text())
        model.load_weights(folder / weights)
        return model

    return {
        "h5": tf_keras.models.load_model(folder / "model.h5"),
        "keras": tf_keras.models.load_model(folder / "model.keras"),
        "weights": of_json("weights.h5"),
        "tree": of_json("tree.weights.h5"),
    }


def read_back(folder: Path) -> None:
    with np.load(folder / "inputs.npz") as file:
        inputs = [tf.constant(file[key]) for key in file.files]
    models = loaded(folder)
    for way, model in models.items():
        outputs = tf.nest.flatten(model(inputs[0] if len(inputs) == 1 else inputs))
        np.savez(folder / f"{way}.npz", **{str(i): y.numpy() for i, y in enumerate(outputs)})
    (folder / "keras.json").write_text(models["keras"].to_json())


if __name__ == "__main__":
    tf.get_logger().setLevel("ERROR")
    for written in sorted(Path(sys.argv[1]).iterdir()):
        read_back(written)
