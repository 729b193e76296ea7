"""Score guides of CRISPR-Cas13a with ADAPT's two models, without TensorFlow.

ADAPT (https://github.com/broadinstitute/adapt, MIT licence) ships two SavedModels of a class of its
own. Their config cannot be read, so both are built by hand here, and read_weights gives the weights
by the names they had in TensorFlow.

    pip download --no-deps adapt-diagnostics==1.6.0
    unzip -q adapt_diagnostics-1.6.0-py3-none-any.whl -d adapt_wheel
    python examples/adapt.py adapt_wheel

It prints, for a guide that fits its target and for ones with more and more mismatches, how sure the
first model is that the pair is active at all, and the activity that the second one predicts.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import lcfast
from lcfast import AveragePooling1D, BatchNormalization, Conv1D, Dense, LocallyConnected1D

CLASSIFY, REGRESS = "adapt/models/classify/cas13a/v1_0", "adapt/models/regress/cas13a/v1_0"
LOWEST_ACTIVITY = -4  # below it ADAPT cuts off, behind the second model
CONTEXT = 10  # bases of the target on each side of the guide

Weights = Mapping[str, np.ndarray]


def classifier(weights: Weights) -> lcfast.Model:
    """Return the model that says whether a guide is active on a target."""
    pairs = lcfast.Input((48, 8))
    x = Conv1D(238, 1, activation="relu", name="group_w1_conv")(pairs)
    x = BatchNormalization(name="group_w1_batchnorm")(x)
    x = AveragePooling1D(2, strides=1)(x)
    x = both_widths(x, 4, "group_w1")
    x = Dense(46, activation="relu", name="fc_1")(lcfast.Flatten()(x))
    return filled(lcfast.Model(pairs, Dense(1, activation="sigmoid", name="fc_final")(x)), weights)


def regressor(weights: Weights) -> lcfast.Model:
    """Return the model that says how active a guide is, where it is at all."""
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
    """Apply locally connected layers of width 1 and of width 2 side by side."""
    names = {width: f"{group}_lc_w{width}" for width in (1, 2)}
    local = [
        LocallyConnected1D(filters, width, activation="relu", name=name)(x)
        for width, name in names.items()
    ]
    return lcfast.Concatenate(axis=1)(local)


def filled(model: lcfast.Model, weights: Weights) -> lcfast.Model:
    """Set every weight of a model from the one of the same name."""
    for layer in model.layers:
        layer.set_weights([weights[weight.name.removesuffix(":0")] for weight in layer.weights])
    return model


def one_hot(targets: np.ndarray, guides: np.ndarray) -> np.ndarray:
    """Return pairs as the models take them, from bases 0 to 3: target, then guide, in channels.

    The guide lies in the middle of the target; beside it its channels are 0.
    """
    pairs = np.zeros((len(targets), 48, 8), np.float32)
    pairs[..., :4] = np.eye(4)[targets]
    pairs[:, CONTEXT:-CONTEXT, 4:] = np.eye(4)[guides]
    return pairs


def main(folder: str) -> None:
    """Score one guide, then the same with ever more mismatches."""
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
        sys.exit(f"usage: {sys.argv[0]} FOLDER, where the wheel of adapt-diagnostics is unpacked")
    main(sys.argv[1])
