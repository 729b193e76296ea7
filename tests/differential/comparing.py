"""lcfast's side: load every container, compare outputs and gradients, write files back.

The tolerance of an array is derived from the model: it is computed again in float64, with every
input, weight and upstream gradient changed by one unit roundoff at random. The change of the array
is the effect of one rounding per number; the errors of a chain of n sums grow like sqrt(n), and an
activation of tf_keras is accurate to a few units in the last place.

If the rounding errors of a layer cancel less than that, Keras has larger errors, too: an array is
also accepted if its distance from Keras's float64 result is at most twice that of Keras's float32
result.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import lcfast

Arrays = dict[str, np.ndarray]
MOVES = 4
ROUNDINGS = 8
"""The roundings of activations and normalizations, in addition to those of sums."""


def numbered(arrays: Arrays, stem: str) -> list[np.ndarray]:
    """The arrays <stem>0, <stem>1 and so on."""
    count = sum(bool(re.fullmatch(rf"{stem}\d+", key)) for key in arrays)
    return [arrays[f"{stem}{i}"] for i in range(count)]


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def unless_lone(arrays: list[Any]) -> Any:
    return arrays if len(arrays) > 1 else arrays[0]


# ---------------------------------------------------------------- loading


def of_json(folder: Path, weights: str) -> Any:
    model = lcfast.model_from_json((folder / "model.json").read_text())
    model.load_weights(folder / weights)
    return model


def ways_to_load(folder: Path) -> dict[str, Callable[[], Any]]:
    """The model loaded from each container that Keras wrote."""
    return {
        "model.h5": lambda: lcfast.load_model(folder / "model.h5"),
        "model.keras": lambda: lcfast.load_model(folder / "model.keras"),
        "saved_model": lambda: lcfast.load_model(folder / "saved_model"),
        "checkpoint": lambda: of_json(folder, "trained"),
        "weights.h5": lambda: of_json(folder, "weights.h5"),
        "tree.weights.h5": lambda: of_json(folder, "tree.weights.h5"),
        "weights of saved_model": lambda: of_json(folder, "saved_model"),
        "weights of model.h5": lambda: of_json(folder, "model.h5"),
    }


# ---------------------------------------------------------------- answers and tolerances


def answers(model: Any, x: list[np.ndarray], dy: list[np.ndarray]) -> Arrays:
    """Outputs and gradients, under the keys of answers.npz."""
    outputs, pullback = model.vjp(unless_lone(x))
    dx, dweights = pullback(unless_lone(dy))
    found = {f"y{i}": y for i, y in enumerate(as_list(outputs))}
    found |= {f"dx{i}": d for i, d in enumerate(as_list(dx)) if d is not None}
    return found | {f"dw{i}": d for i, d in enumerate(dweights)}


def tolerances(folder: Path, expected: Arrays, dtype: str) -> Arrays:
    """The tolerance of each array, by key."""
    config = (folder / "model.json").read_text().replace('"float32"', '"float64"')
    twin = lcfast.model_from_json(config)
    weights, x, dy = (
        [a.astype(np.float64) if a.dtype.kind == "f" else a for a in numbered(expected, stem)]
        for stem in ("w", "x", "dy")
    )
    unit = 2.0**-24 if dtype == "float32" else 2.0**-53
    step = max(unit, 2.0**-40)  # changes much larger than float64 rounding
    rng = np.random.default_rng(0)

    def moved(arrays: list[np.ndarray]) -> list[np.ndarray]:
        return [
            a * (1 + step * rng.choice((-1.0, 1.0), a.shape)) if a.dtype.kind == "f" else a
            for a in arrays
        ]

    twin.set_weights(weights)
    still = answers(twin, x, dy)
    sensitivity = dict.fromkeys(still, 0.0)
    for _ in range(MOVES):
        twin.set_weights(moved(weights))
        for key, array in answers(twin, moved(x), moved(dy)).items():
            change = np.abs(array - still[key]).max(initial=0) * unit / step
            sensitivity[key] = max(sensitivity[key], float(change))
    longest = max(array[0].size for array in [*x, *dy])
    longest = max([longest, *(w.size // w.shape[-1] for w in weights if w.ndim > 1 and w.size)])
    roundings = ROUNDINGS + 2 * np.sqrt(longest)
    return {
        key: roundings * (change + 2 * unit * np.abs(still[key]).max(initial=0))
        for key, change in sensitivity.items()
    }


# ---------------------------------------------------------------- comparing


def compare(folder: Path) -> tuple[list[str], float]:
    """The differences between Keras and lcfast, and the largest ratio of error to tolerance.

    Writes written.h5 and written.keras, for Keras to load.
    """
    with np.load(folder / "answers.npz") as file:
        expected = {key: file[key] for key in file.files}
    dtype = json.loads((folder / "recipe.json").read_text())["dtype"]
    x, dy = numbered(expected, "x"), numbered(expected, "dy")
    failures, first, first_model = [], None, None
    for way, load in ways_to_load(folder).items():
        try:
            model = load()
            got = answers(model, x, dy)
        except Exception as error:
            failures.append(f"load {way}: {type(error).__name__}: {error}")
            continue
        failures += differing_weights(way, model.get_weights(), numbered(expected, "w"))
        if first is None:
            first, first_model = got, model
        failures += [
            f"bits {way}: {key} is not that of the first container"
            for key in got
            if not np.array_equal(got[key], first[key])
        ]
        if not same_in_parts(model, x, got):
            failures.append(f"bits {way}: predict depends on the batch")
    if first is None:
        return failures, 0.0
    try:
        found, worst = differing_answers(first, expected, tolerances(folder, expected, dtype))
        for name in ("written.h5", "written.keras"):
            first_model.save(folder / name)
    except Exception as error:
        return [*failures, f"work: {type(error).__name__}: {error}"], 0.0
    return failures + found, worst


def differing_weights(way: str, got: list[np.ndarray], expected: list[np.ndarray]) -> list[str]:
    if len(got) != len(expected):
        return [f"weights {way}: {len(got)} arrays instead of {len(expected)}"]
    pairs = zip(got, expected, strict=True)
    return [
        f"weights {way}: number {i} differs"
        for i, (a, b) in enumerate(pairs)
        if not np.array_equal(*unused_as_zeros(a, b))
    ]


def unused_as_zeros(got: np.ndarray, expected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both arrays, with zeros where implementation 2 stores values of no connection."""
    return got, np.where(got == 0, got, expected) if got.ndim in (
        4,
        6,
    ) and got.shape == expected.shape else expected


def differing_answers(got: Arrays, expected: Arrays, tolerance: Arrays) -> tuple[list[str], float]:
    failures, worst = [], 0.0
    wanted = {key for key in expected if re.fullmatch(r"(y|dx|dw)\d+", key)}
    for key in sorted(wanted | set(got)):
        if key not in got or key not in wanted:
            failures.append(f"{key.rstrip('0123456789')}: {key} is not on both sides")
            continue
        if got[key].shape != expected[key].shape or got[key].dtype != expected[key].dtype:
            failures.append(f"{key.rstrip('0123456789')}: {key} has another shape or dtype")
            continue
        error = np.abs(got[key].astype(float) - expected[key].astype(float)).max(initial=0)
        if error <= tolerance[key]:
            worst = max(worst, float(error / tolerance[key]) if error else 0.0)
        elif not is_as_near(got[key], expected, key):
            failures.append(
                f"{key.rstrip('0123456789')}: {key} differs by {error:.2e}, {tolerance[key]:.2e} "
                f"is allowed, the largest is {np.abs(expected[key]).max(initial=0):.2e}"
            )
    return failures, worst


def is_as_near(got: np.ndarray, expected: Arrays, key: str) -> bool:
    """Whether a result is about as close to Keras's float64 result as Keras's float32 result is."""
    if f"wide_{key}" not in expected:
        return False
    truth = expected[f"wide_{key}"]
    ours, theirs = (np.abs(a.astype(float) - truth).max(initial=0) for a in (got, expected[key]))
    return bool(ours <= 2 * theirs)


def same_in_parts(model: Any, x: list[np.ndarray], got: Arrays) -> bool:
    """Whether scoring one row at a time gives bit-identical results."""
    outputs = as_list(model.predict(unless_lone(x), batch_size=1))
    return all(np.array_equal(y, got[f"y{i}"]) for i, y in enumerate(outputs))
