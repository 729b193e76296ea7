"""Score guides of CRISPR-Cas13a with ADAPT's two models, without TensorFlow.

ADAPT (https://github.com/broadinstitute/adapt, MIT licence) ships two SavedModels of a custom
class. Their config does not describe the model, so this script builds both in Python. read_weights
returns the weights by their TensorFlow names.

    pip download --no-deps adapt-diagnostics==1.6.0
    unzip -q adapt_diagnostics-1.6.0-py3-none-any.whl -d adapt_wheel
    python examples/adapt.py adapt_wheel

It takes one guide and its target, and adds more and more mismatches. For each pair it prints the
probability of being active (first model) and the predicted activity (second model).
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import lcfast
from lcfast import AveragePooling1D, BatchNormalization, Conv1D, Dense, LocallyConnected1D

CLASSIFY, REGRESS = "adapt/models/classify/cas13a/v1_0", "adapt/models/regress/cas13a/v1_0"
LOWEST_ACTIVITY = -4  # ADAPT clips the output of the second model below this
CONTEXT = 10  # bases of the target on each side of the guide

Weights = Mapping[str, np.ndarray]


def classifier(weights: Weights) -> lcfast.Model:
    """Return the model that predicts whether a guide is active on a target."""
    pairs = lcfast.Input((48, 8))
    x = Conv1D(238, 1, activation="relu", name="group_w1_conv")(pairs)
    x = BatchNormalization(name="group_w1_batchnorm")(x)
    x = AveragePooling1D(2, strides=1)(x)
    x = both_widths(x, 4, "group_w1")
    x = Dense(46, activation="relu", name="fc_1")(lcfast.Flatten()(x))
    return filled(lcfast.Model(pairs, Dense(1, activation="sigmoid", name="fc_final")(x)), weights)


def regressor(weights: Weights) -> lcfast.Model:
    """Return the model that predicts the activity of an active guide."""
    pairs = lcfast.Input((48, 8))
    groups = []
    for width in (1, 2):
        x = Conv1D(25, width, activation="relu", name=f"group_w{width}_conv")(pairs)
        x = AveragePooling1D(2, strides=1)(x)
        groups.append(both_widths(x, 3, f"group_w{width}"))
    x = lcfast.Flatten()(lcfast.Concatenate(axis=1)(groups))
    x = Dense(53, activation="relu", name="fc_1")(x)
    return filled(lcfast.Model(pairs, Dense(1, name="fc_final")(x)), weights)


def both_widths(x: Any, filters: int, group: str) -> Any:
    """Apply locally connected layers of width 1 and 2 in parallel."""
    names = {width: f"{group}_lc_w{width}" for width in (1, 2)}
    local = [
        LocallyConnected1D(filters, width, activation="relu", name=name)(x)
        for width, name in names.items()
    ]
    return lcfast.Concatenate(axis=1)(local)


def filled(model: lcfast.Model, weights: Weights) -> lcfast.Model:
    """Set every weight of a model from the array of the same name."""
    for layer in model.layers:
        layer.set_weights([weights[weight.name.removesuffix(":0")] for weight in layer.weights])
    return model


def one_hot(targets: np.ndarray, guides: np.ndarray) -> np.ndarray:
    """Return the input of the models, (pairs, 48, 8), from bases 0 to 3.

    Channels 0 to 3 are the target, 4 to 7 the guide, which covers the middle of the target.
    """
    pairs = np.zeros((len(targets), 48, 8), np.float32)
    pairs[..., :4] = np.eye(4)[targets]
    pairs[:, CONTEXT:-CONTEXT, 4:] = np.eye(4)[guides]
    return pairs


def main(folder: str) -> None:
    """Score one guide, then the same guide with more and more mismatches."""
    classify = classifier(lcfast.read_weights(Path(folder) / CLASSIFY))
    regress = regressor(lcfast.read_weights(Path(folder) / REGRESS))
    targets = np.tile(np.random.default_rng(7).integers(0, 4, 48), (9, 1))
    guides = targets[:, CONTEXT:-CONTEXT].copy()
    for mismatches in range(len(guides)):
        guides[mismatches, 4 : 4 + 2 * mismatches : 2] ^= 1
    pairs = one_hot(targets, guides)
    active = classify.predict(pairs)[:, 0]
    activity = np.maximum(regress.predict(pairs)[:, 0], LOWEST_ACTIVITY)
    print("mismatches  probability of being active  activity")
    for mismatches, (probability, level) in enumerate(zip(active, activity, strict=True)):
        print(f"{mismatches:10d}  {probability:27.4f}  {level:8.3f}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} FOLDER (the unpacked wheel of adapt-diagnostics)")
    main(sys.argv[1])
