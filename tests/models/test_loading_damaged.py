"""Configs that make no sense: refused, whatever is wrong with them, or a model that works."""

import copy
import json
import random
import tracemalloc

import pytest

import lcfast
from tests.support import goldens
from tests.support.cases import assert_same_bits
from tests.support.model_configs import (
    FUNCTIONAL,
    LARGEST,
    accepts_only_a_model_or_a_refusal,
    calls,
    config_of,
    copied,
    damage,
    entry,
    layer_named,
    refusal,
    refused_json,
    sequential,
    with_config,
)

# ---------------------------------------------------------------- odd graphs


def odd(change):
    config = config_of(FUNCTIONAL)
    change(config)
    return config


def set_nodes(name, nodes):
    def change(config):
        layer_named(config, name)["inbound_nodes"] = nodes

    return change


def set_key(key, value):
    def change(config):
        config["config"][key] = value

    return change


def rename(name, new):
    def change(config):
        layer_named(config, name)["config"]["name"] = new

    return change


ODD_GRAPHS = {
    "cycle-of-one": set_nodes("dense", calls(("dense", 0))),
    "cycle-of-two": set_nodes("locally_connected1d", calls(("dense", 0))),
    "dangling-input": set_nodes("dense", calls(("nowhere", 0))),
    "call-that-is-not-there": set_nodes("dense", calls(("flatten", 1))),
    "negative-call": set_nodes("dense", calls(("flatten", -1))),
    "second-tensor": set_nodes("dense", [[["flatten", 0, 1, {}]]]),
    "too-many-inputs": set_nodes("dense", calls(("flatten", 0), ("signal", 0))),
    "the-same-input-twice": set_nodes("dense", calls(("flatten", 0), ("flatten", 0))),
    "no-inputs": set_nodes("dense", [[]]),
    "never-called": set_nodes("dense", []),
    "input-that-is-called": set_nodes("signal", calls(("numbers", 0))),
    "nodes-as-text": set_nodes("dense", "flatten"),
    "nodes-as-number": set_nodes("dense", 3),
    "nodes-as-object": set_nodes("dense", {"args": ["flatten"]}),
    "node-as-text": set_nodes("dense", ["flatten"]),
    "node-too-short": set_nodes("dense", [[["flatten", 0]]]),
    "node-with-a-list-for-a-name": set_nodes("dense", [[[["flatten"], 0, 0, {}]]]),
    "node-with-arguments": set_nodes("dense", [[["flatten", 0, 0, {"training": True}]]]),
    "two-of-one-name": rename("dense", "flatten"),
    "name-as-number": rename("dense", 3),
    "name-as-list": rename("dense", ["dense"]),
    "no-outputs": set_key("output_layers", []),
    "outputs-as-object": set_key("output_layers", {"table": 0}),
    "output-that-is-not-there": set_key("output_layers", [["nowhere", 0, 0]]),
    "call-of-an-output-that-is-not-there": set_key("output_layers", [["table", 7, 0]]),
    "no-inputs-of-the-model": set_key("input_layers", None),
    "input-missing": set_key("input_layers", [["signal", 0, 0]]),
    "input-twice": set_key("input_layers", [["signal", 0, 0], ["signal", 0, 0]]),
    "input-that-is-none": set_key("input_layers", [["signal", 0, 0], ["dense", 0, 0]]),
    "layers-as-object": set_key("layers", {}),
    "layer-as-text": set_key("layers", ["dense"]),
    "model-name-as-number": set_key("name", 3),
}


@pytest.mark.parametrize("case", ODD_GRAPHS)
def test_a_graph_that_makes_no_sense_is_refused(case, tmp_path):
    config = odd(ODD_GRAPHS[case])
    message = refused_json(config)
    assert message.startswith("The JSON ")
    path = with_config(config, copied(FUNCTIONAL, tmp_path))
    assert refusal(lcfast.load_model, path).startswith(str(path))


@pytest.mark.parametrize(
    ("case", "named"),
    [
        ("cycle-of-two", "locally_connected1d"),
        ("dangling-input", "nowhere"),
        ("too-many-inputs", "dense"),
        ("output-that-is-not-there", "nowhere"),
        ("call-of-an-output-that-is-not-there", "table"),
        ("two-of-one-name", "flatten"),
        ("input-missing", "numbers"),
        ("node-with-arguments", "training"),
    ],
)
def test_a_graph_that_makes_no_sense_is_refused_with_the_place(case, named):
    assert named in refused_json(odd(ODD_GRAPHS[case]))


def test_layers_may_be_listed_in_any_order():
    case = goldens.model_case(FUNCTIONAL)
    config = config_of(FUNCTIONAL)
    config["config"]["layers"].reverse()
    model = lcfast.model_from_json(json.dumps(config))
    loaded = lcfast.load_model(case.path)
    values = {weight.name: weight.value for weight in loaded.weights}
    model.set_weights([values[weight.name] for weight in model.weights])
    for got, expected in zip(model.predict(case.x), loaded.predict(case.x), strict=True):
        assert_same_bits(got, expected)


def test_inputs_and_outputs_may_be_one_alone_or_a_list_of_one():
    config = config_of("functional_branches")
    for key in ("input_layers", "output_layers"):
        given = config["config"][key]
        alone = given if isinstance(given[0], str) else given[0]
        for value in (alone, [alone]):
            config["config"][key] = value
            assert lcfast.model_from_json(json.dumps(config)).output_shape == (None, 3)


def test_a_deep_model_does_not_meet_the_limit_of_recursion():
    layers = [entry("InputLayer", name="x", batch_input_shape=[None, 2])]
    for i in range(1200):
        layers.append(entry("ReLU", name=f"relu{i}"))
        layers[-1]["inbound_nodes"] = calls((f"relu{i - 1}" if i else "x", 0))
    config = {"layers": layers, "input_layers": [["x", 0, 0]]}
    config["output_layers"] = [["relu1199", 0, 0]]
    model = lcfast.model_from_json(json.dumps({"class_name": "Functional", "config": config}))
    assert len(model.layers) == 1201


# ---------------------------------------------------------------- sizes and values


HUGE = [2**31 - 1, 2**31, 2**40, 2**63, 10**30]


@pytest.mark.parametrize("size", HUGE, ids=["2**31-1", "2**31", "2**40", "2**63", "10**30"])
@pytest.mark.parametrize(
    ("layer", "key"),
    [
        ("dense", "units"),
        ("locally_connected1d", "filters"),
        ("locally_connected1d", "kernel_size"),
        ("locally_connected1d", "strides"),
        ("locally_connected1d_input", "batch_input_shape"),
    ],
)
def test_a_huge_size_is_refused_before_anything_is_allocated(layer, key, size, tmp_path):
    config = config_of("sequential_1d")
    found = layer_named(config, layer)["config"]
    for place in (found, config["config"]["layers"][1]["config"]):
        if key == "batch_input_shape":
            place[key] = [None, size, 4]
    if key != "batch_input_shape":
        found[key] = [size] if isinstance(found[key], list) else size
    path = with_config(config, copied("sequential_1d", tmp_path))
    refusal(lcfast.load_model, goldens.DIRECTORY / "unsupported.h5")  # imports are no allocations
    tracemalloc.start()
    try:
        refusal(lcfast.load_model, path)
        assert tracemalloc.get_traced_memory()[1] < 4e6
    finally:
        tracemalloc.stop()


def test_a_json_whose_weights_no_memory_holds_is_refused():
    largest = 2**31 - 1
    layer = entry("Dense", name="dense", units=largest, batch_input_shape=[None, largest])
    assert "dense" in refused_json(sequential(layer))


@pytest.mark.parametrize(
    "value", ["text", "", None, [], {}, [[]], {"a": {"b": [1]}}, -1, 0.5, True, 1e308, "x" * 9999]
)
@pytest.mark.parametrize("number", range(4))
def test_a_value_of_another_type_is_refused_or_loaded_but_never_raises_another_error(number, value):
    config = config_of("regularized")
    layer = config["config"]["layers"][number]
    for key in list(layer["config"]):
        changed = copy.deepcopy(config)
        changed["config"]["layers"][number]["config"][key] = value
        accepts_only_a_model_or_a_refusal(lcfast.model_from_json, json.dumps(changed))


# ---------------------------------------------------------------- random damage


@pytest.mark.thorough
@pytest.mark.parametrize(
    "name",
    [
        *(FUNCTIONAL, "sequential_2d", "regularized", "functional_branches"),
        *("inner_several", "recurrent_windows"),
    ],
)
def test_a_damaged_config_is_refused_or_makes_a_model_that_works(name, tmp_path):
    original, path = json.dumps(config_of(name)), copied(name, tmp_path)
    loaded = 0
    for seed in range(100):
        text = json.dumps(damage(json.loads(original), random.Random(f"{name} {seed}")))
        with_config(text, path)
        loaded += accepts_only_a_model_or_a_refusal(lcfast.load_model, path)
        if str(LARGEST) not in text:  # a JSON alone gets its weights made, whatever their size
            accepts_only_a_model_or_a_refusal(lcfast.model_from_json, text)
    assert 0 < loaded < 90
