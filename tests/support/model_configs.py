"""Change and damage the configs of model files."""

import copy
import json
import shutil

import h5py
import numpy as np
import pytest

import lcfast
from lcfast import ModelFileError
from tests.support import goldens

FUNCTIONAL = "functional_two_inputs_two_outputs"


def config_of(name):
    with h5py.File(goldens.model_path(name)) as file:
        return json.loads(file.attrs["model_config"])


def copied(name, folder):
    return shutil.copy(goldens.model_path(name), folder / "model.h5")


def with_config(config, path):
    """Replace the config of a file, and keep its weights."""
    with h5py.File(path, "r+") as file:
        del file.attrs["model_config"]
        file.attrs["model_config"] = config if isinstance(config, str) else json.dumps(config)
    return path


def sequential(*layers):
    return {"class_name": "Sequential", "config": {"name": "made", "layers": list(layers)}}


def entry(class_name, **config):
    return {"class_name": class_name, "config": config}


def layer_named(config, name):
    return next(e for e in config["config"]["layers"] if e["config"]["name"] == name)


def refusal(load, *arguments):
    """The message of the ModelFileError that loading raises."""
    with pytest.raises(ModelFileError) as caught:
        load(*arguments)
    assert type(caught.value) is ModelFileError
    return str(caught.value)


def refused_json(config):
    return refusal(lcfast.model_from_json, json.dumps(config))


def calls(*sources):
    """One call of a layer on (name, call) pairs, in the form of a config."""
    return [[[name, call, 0, {}] for name, call in sources]]


def accepts_only_a_model_or_a_refusal(load, given):
    """Load a model; if it loads, it must also score."""
    try:
        model = load(given)
    except ModelFileError:
        return False
    shapes = model.input_shape if isinstance(model.input_shape, list) else [model.input_shape]
    if sum(np.prod([size or 2 for size in shape[1:]]) for shape in shapes) < 10_000:
        x = [np.ones((2, *(size or 2 for size in shape[1:]))) for shape in shapes]
        y = model.predict(x if len(x) > 1 else x[0])
        assert len(y) == len(model.outputs) if isinstance(y, list) else len(y) == 2
    return True


LARGEST = 2**31 - 1
JUNK = [
    *(None, True, False, 0, 1, 2, -1, 7, LARGEST, 2**40, -(2**40), 0.5, -0.5, 1e308, 1e-9),
    *("", "x", "same", "relu", "channels_first", "float64", "Lambda", "Dense", "x" * 5000),
    *([], {}, [None], [[]], [1, 2, 3], [-1], ["x"], {"x": 1}, {"class_name": "Zeros"}),
    *({"class_name": "Identity"}, {"class_name": "Constant", "config": {"value": [1, 2]}}),
    {"class_name": "Lambda", "config": {"function": "x"}},
    {"class_name": "Dense", "config": {}},
    [["x", 0, 0, {}]],
    [[["dense", 0, 0, {}]]],
]


def places(node):
    """Every (container, key) pair in a JSON value."""
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in items:
        yield node, key
        if isinstance(value, dict | list):
            yield from places(value)


def damage(config, rng):
    """Replace, delete, duplicate or swap one to three random parts of a config."""
    for _ in range(rng.randint(1, 3)):
        found = list(places(config))
        if not found:
            break
        container, key = rng.choice(found)
        what = rng.choice(["replace", "delete", "duplicate", "exchange"])
        if what == "replace":
            container[key] = copy.deepcopy(rng.choice(JUNK))
        elif what == "delete":
            del container[key]
        elif what == "duplicate" and isinstance(container, list):
            container.insert(rng.randint(0, len(container)), copy.deepcopy(container[key]))
        elif what == "duplicate":
            container[rng.choice(["name", "config", "class_name", key + "2"])] = container[key]
        else:
            other, place = rng.choice(found)
            container[key] = copy.deepcopy(other[place])
    return config
