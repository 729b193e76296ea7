"""The whole models of `python -m benchmarks.models`, their description, and what is made of times.

No test depends on measured times.
"""

import json
import math

import numpy as np
import pytest

from benchmarks import model_tables
from benchmarks.answers import WrongAnswerError
from benchmarks.machine import Machine
from benchmarks.model_cases import (
    CASES,
    describe,
    described,
    input_rows,
    layer_by_layer,
    operations,
    steps_of,
)
from benchmarks.model_engines import Lcfast, case_of
from benchmarks.model_peers import Bench, difference
from benchmarks.results import Results

LARGE = "deepface"  # 147 million weights: benchmarks/deepface.py checks its scores
OUTPUTS = {
    "mhcflurry": (1,), "calogan": (12, 12, 1), "adapt": (1,), "pfnet": (1,), "docs": (10,),
    "p1b3": (1,), "gpnet": (1,),
}  # fmt: skip


@pytest.fixture(scope="module", params=OUTPUTS)
def named_model(request):
    return request.param, CASES[request.param].build()


def test_every_model_is_tested_except_a_large_one_and_published_ones():
    assert {case.name for case in CASES.values() if not case.needs} == {*OUTPUTS, LARGE}


def test_scores_are_finite_and_those_of_the_layers_one_by_one(named_model):
    name, model = named_model
    x = input_rows(model, 3)
    y = model.predict(x)
    assert y.shape == (3, *OUTPUTS[name])
    assert np.isfinite(y).all()
    assert 1e-3 < np.abs(y).max() < 100
    assert np.array_equal(y, layer_by_layer(model, x))


def test_a_description_has_every_layer_after_its_inputs_and_every_weight(named_model, tmp_path):
    _, model = named_model
    describe(model, tmp_path)
    steps, weights = described(tmp_path)
    known = set()
    for step in steps:
        assert (step.kind == "InputLayer") == (not step.inputs)
        assert known.issuperset(step.inputs)
        known.add(step.name)
    assert steps[0].input_shape == model.input_shape[1:]
    for layer in model.layers:
        found = weights.get(layer.name, [])
        assert len(found) == len(layer.get_weights())
        assert all(map(np.array_equal, found, layer.get_weights()))


def test_the_steps_of_a_sequential_model_follow_each_other():
    import lcfast

    layers = [
        lcfast.LocallyConnected1D(2, 3, input_shape=(7, 2), strides=2, name="local"),
        lcfast.Flatten(name="flat"),
    ]
    steps = steps_of(json.loads(lcfast.Sequential(layers).to_json()))
    assert [step.kind for step in steps] == ["InputLayer", "LocallyConnected1D", "Flatten"]
    assert [step.inputs for step in steps[1:]] == [(steps[0].name,), ("local",)]
    assert case_of(steps[1]).output_size == (3,)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mhcflurry", 2 * (13 * 63 * 8 + 11 * 24 * 8 + 88 * 16 + 16)),
        ("pfnet", 2 * (28 * 28 * 54 * 24 + 144 * 216 * 8 + 144 * 600 * 8 + 144 * 16)),
        ("gpnet", 2 * (44313 * 2 + 44311 * 3 + 44308 * 4 + 44304 * 5 + 44304)),
    ],
)
def test_operations_of_a_row(name, expected, tmp_path):
    describe(CASES[name].build(), tmp_path)
    assert operations(*described(tmp_path)) == expected


def test_the_worker_checks_scores_before_it_times(tmp_path):
    model = CASES["mhcflurry"].build()
    describe(model, tmp_path)
    x = input_rows(model, 2)
    np.save(tmp_path / "x_2.npy", x)
    request = {"folder": str(tmp_path), "rows": 2, "seconds": 1e-4, "ways": None}
    bench = Bench(Lcfast())
    np.save(tmp_path / "y_2.npy", model.predict(x))
    right = list(bench.answers(request))
    np.save(tmp_path / "y_2.npy", model.predict(x) + 0.01)
    wrong = list(bench.answers(request))
    assert [answer["way"] for answer in right] == ["predict", "one thread"]
    assert all(answer["difference"] == 0 and answer["best"] > 0 for answer in right)
    assert all("failed" in answer and "best" not in answer for answer in wrong)


@pytest.mark.parametrize("score", [1.01, math.nan, math.inf])
def test_a_wrong_score_is_refused(score):
    expected = np.array([[1.0], [2.0]], np.float32)
    assert difference(expected.reshape(2, 1, 1), expected) == 0
    with pytest.raises(WrongAnswerError):
        difference(np.array([[score], [2.0]], np.float32), expected)


def test_ratios_take_the_fastest_way_of_the_fastest_peer():
    results = Results(Machine(2, peak_256=1e9))
    results.memory[model_tables.operations_key("docs")] = 1e6

    def add(peer, **ways):
        timings = {
            way.replace("_", " "): {"best": best, "median": 2 * best, "repeats": 3}
            for way, best in ways.items()
        }
        results.add("docs", 32, False, peer, timings)

    add("lcfast", predict=0.1, one_thread=0.15)
    assert model_tables.ratio_of(results, "docs", 32, "best") == 0
    assert "No peer was timed" in model_tables.report(results)
    add("onnxruntime", rows_first=0.4, rows_last=0.3)
    add("openvino", rows_first=0.25)
    results.add("docs", 32, False, "tf_keras", {"": {"failed": "is not installed"}})
    assert model_tables.fastest_peer(results, "docs", 32) == ("openvino", 0.25)
    assert model_tables.ratio_of(results, "docs", 32, "median") == pytest.approx(2.5)
    assert model_tables.gain(results, "docs", 32, "lcfast") == "1.50"
    table = model_tables.largest_table(results, [("docs", 32)])
    assert "| docs | 32 | 0.3 | 32% | 1.50 | - | - |" in table
    assert "is not installed" in model_tables.report(results)
    assert model_tables.failures(results) == ["tf_keras, start, docs at 32: is not installed"]
