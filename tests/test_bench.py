"""What `lcfast bench` times, checks and advises; no test depends on measured times."""

import dataclasses
import itertools
import math
import re
from pathlib import Path

import numpy as np
import pytest

import lcfast
from lcfast.bench import advice, agreement, subjects, timing
from lcfast.bench.workloads import WORKLOADS, Workload, workload_of

ROOT = Path(__file__).parent.parent
GOLDEN = ROOT / "tests" / "golden"
DIGITS = str(ROOT / "examples" / "digits.h5")


def model_with_same_padding(dtype="float32"):
    layer = lcfast.LocallyConnected2D(
        3, 3, padding="same", implementation=2, activation="softmax", input_shape=(5, 4, 2),
        name="padded", dtype=dtype,
    )  # fmt: skip
    return lcfast.Sequential([layer, lcfast.Flatten()])


def engines_of(model):
    return subjects.on_each_engine(subjects.local_layers(model)[0])


def timed(layer, batch, direct, sparse, engines=("direct", "sparse")):
    """Timings of a layer with given seconds on each engine."""
    sizes = {"direct": 10, "sparse": 20}
    return [
        timing.Timing(layer, batch, engine, (), seconds, seconds, 5, sizes[engine])
        for engine, seconds in zip(engines, (direct, sparse), strict=True)
    ]


def local_1d(filters=4, **arguments):
    layer = lcfast.LocallyConnected1D(filters, 3, name="layer", **arguments)
    layer.build((None, 10, 2))
    return layer


# ---------------------------------------------------------------- workloads


@pytest.mark.parametrize(
    ("text", "workload"),
    [
        ("32x32x3:64:3x3:1x1", Workload((32, 32, 3), 64, (3, 3), (1, 1))),
        ("55x54x16:16:7x6:2x1", Workload((55, 54, 16), 16, (7, 6), (2, 1))),
        ("64000x1:4:32:32", Workload((64000, 1), 4, (32,), (32,))),
        ("10x32:64:3", Workload((10, 32), 64, (3,), (1,))),
        ("adapt", Workload((47, 238), 4, (2,), (1,))),
    ],
)
def test_a_workload_is_a_name_or_a_literal(text, workload):
    assert workload_of(text) == workload


@pytest.mark.parametrize(
    "text",
    [
        *("", "a", "3", "10x32:64", "10x32:64:3:1:1", "10x32:0:3", "10x32:-4:3", "10x32:6.4:3"),
        *("10:4:3", "10x32:4:3x3", "32x32x3:4:3x3:1", "9x9x9x1:4:3x3x3", "10x32:4x4:3", "10x:4:3"),
    ],
)
def test_what_is_no_workload_is_refused_in_a_sentence(text):
    with pytest.raises(ValueError, match=re.escape(repr(text))):
        workload_of(text)


@pytest.mark.parametrize("name", WORKLOADS)
def test_the_shapes_of_every_named_workload_go_together(name):
    shape, filters, kernel_size, strides = WORKLOADS[name]
    kind = lcfast.LocallyConnected1D if len(shape) == 2 else lcfast.LocallyConnected2D
    layer = kind(filters, kernel_size, strides)
    assert math.prod(layer.compute_output_shape((None, *shape))[1:]) > 0


def test_a_workload_becomes_a_model_of_one_layer_whatever_the_default_data_format():
    before = lcfast.image_data_format()
    lcfast.set_image_data_format("channels_first")
    try:
        model = subjects.model_of("12x9x3:5:4x2:2x1")
    finally:
        lcfast.set_image_data_format(before)
    assert model.output_shape == (None, 5, 8, 5)
    assert np.ptp(model.get_weights()[0]) > 0


def test_a_workload_whose_weights_do_not_fit_is_refused_before_they_are_drawn():
    with pytest.raises(MemoryError, match="9000000x1000:9000:30"):
        subjects.model_of("9000000x1000:9000:30")


def test_a_workload_whose_kernel_does_not_fit_into_the_input_is_refused():
    with pytest.raises(ValueError, match="11"):
        subjects.model_of("10x2:4:11")


def test_the_name_of_a_workload_means_it_even_where_a_file_has_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mhcflurry").write_text("a file")
    assert subjects.model_of("mhcflurry").input_shape == (None, 15, 21)
    with pytest.raises(lcfast.ModelFileError):
        subjects.model_of("./mhcflurry")


# ---------------------------------------------------------------- what is timed


def test_a_model_without_a_locally_connected_layer_is_refused():
    model = lcfast.Sequential([lcfast.Dense(2, input_shape=(3,))])
    with pytest.raises(ValueError, match=f"{model.name}.*Dense"):
        subjects.local_layers(model)


def test_with_padding_same_the_direct_engine_runs_an_implementation_that_has_it():
    engines = engines_of(model_with_same_padding())
    assert {name: one.implementation for name, one in engines.items()} == {"direct": 3, "sparse": 3}
    assert subjects.default_of("direct", list(engines.values())) == ()


def test_the_weights_held_are_the_kernel_or_the_matrix_and_the_bias():
    engines = engines_of(subjects.model_of("10x2:4:3"))
    connections, outputs = 8 * 6 * 4, 8 * 4
    direct = 4 * connections + 4 * outputs
    assert subjects.weight_bytes(engines["direct"]) == direct
    indices, starts = 4 * connections, 8 * (outputs + 1)
    assert subjects.weight_bytes(engines["sparse"]) == direct + indices + starts


def test_batches_that_do_not_fit_are_left_out_and_the_rest_ascends(monkeypatch):
    monkeypatch.setattr(subjects, "available_memory", lambda: 1_000_000)
    model = subjects.model_of("10x2:4:3")
    assert subjects.batches_that_fit(model, [512, 1, 32, 32, 10_000]) == [1, 32, 512]


def test_where_no_batch_fits_it_is_said_what_the_smallest_needs():
    with pytest.raises(MemoryError, match="10,000,000,000,000"):
        subjects.batches_that_fit(subjects.model_of("10x2:4:3"), [10**14, 10**13])


def test_layers_are_timed_on_what_the_model_makes_of_its_input():
    model = lcfast.load_model(GOLDEN / "model_functional_branches.h5")
    inputs = subjects.model_inputs(model, 3, None)
    layers = subjects.local_layers(model)
    graph, seen = model.graph_of_layers(), {}
    values = subjects.layer_inputs(graph, model.record(), inputs, layers)
    for layer, x in zip(layers, values, strict=True):
        node = next(node for node in graph.nodes if node.layer is layer)
        made = lcfast.Model(model.inputs, list(node.inputs))
        np.testing.assert_array_equal(x, made(inputs if len(inputs) > 1 else inputs[0])[0])
        seen[layer.name] = x.shape
    assert len(seen) == 2


@pytest.mark.parametrize("rows", [1, 3, 8, 20])
def test_given_rows_are_repeated_or_cut_to_the_batch(rows):
    model = subjects.model_of("10x2:4:3")
    given = np.arange(rows * 20).reshape(rows, 10, 2)
    (x,) = subjects.model_inputs(model, 8, given)
    np.testing.assert_array_equal(x, np.concatenate([given] * 8)[:8])
    assert x.dtype == np.float32


def test_each_layer_and_the_model_are_timed_on_each_engine_for_each_batch():
    model = lcfast.load_model(DIGITS)
    found = list(timing.timings(model, [1, 4], seconds=0))
    assert len(found) == 2 * timing.parts(model) == 6
    names = ["locally_connected2d", "locally_connected2d_1", None]
    assert [of_engines[0].layer for of_engines in found] == names * 2
    for of_engines, batch in zip(found, [1] * 3 + [4] * 3, strict=True):
        engines = [one.engine for one in of_engines]
        assert engines[:2] == ["direct", "sparse"]
        assert set(engines[2:]) <= {"mixed"}
        assert [one.default_of for one in of_engines[:2]] == [(1,), (2, 3)]
        for one in of_engines:
            assert one.batch == batch
            assert 0 < one.best_seconds <= one.median_seconds
            assert one.rows_per_second == batch / one.best_seconds


def test_a_model_of_one_layer_alone_is_not_timed_twice():
    model = subjects.model_of("10x2:4:3")
    assert timing.parts(model) == 1
    assert [len(of_engines) for of_engines in timing.timings(model, [2], 0)] == [2]


def test_a_model_is_timed_with_its_layers_mixed_where_each_has_another_fastest(monkeypatch):
    fastest = itertools.cycle([0, 1])
    monkeypatch.setattr(timing, "chosen", lambda of_engines: of_engines[next(fastest)])
    *_, whole = timing.timings(lcfast.load_model(DIGITS), [2], seconds=0)
    assert [one.engine for one in whole] == ["direct", "sparse", "mixed"]
    assert whole[2].default_of == ()
    assert whole[0].weight_bytes < whole[2].weight_bytes < whole[1].weight_bytes


def test_scoring_with_other_engines_gives_the_answers_of_the_model_and_leaves_it_alone(monkeypatch):
    model = lcfast.load_model(DIGITS)
    x = np.load(ROOT / "examples" / "digits_images.npy")[:6]
    expected, before = model.predict(x), model.record()
    answers = []

    def run(*arguments):
        answers.append(real_run(*arguments))

    real_run = timing.run
    monkeypatch.setattr(timing, "run", run)
    list(timing.timings(model, [6], 0, x))
    assert len(answers) >= 4
    for (answer,) in answers:
        np.testing.assert_array_equal(answer, expected)
    assert model.record() == before


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_padding_same_and_softmax_are_timed_in_either_dtype(dtype):
    found = list(timing.timings(model_with_same_padding(dtype), [3], seconds=0))
    assert [one.default_of for one in found[0]] == [(), (2, 3)]


def test_a_model_with_several_inputs_is_timed_on_random_rows():
    model = lcfast.load_model(GOLDEN / "model_functional_two_inputs_two_outputs.h5")
    assert len(list(timing.timings(model, [2], seconds=0))) == timing.parts(model)


# ---------------------------------------------------------------- the clock


class Stopwatch:
    """A clock that advances only while functions run, and records which ran."""

    def __init__(self):
        self.now = 0.0
        self.ran = []

    def function(self, name, seconds):
        def run():
            self.ran.append(name)
            self.now += seconds

        return run

    def __call__(self):
        return self.now


def test_functions_take_turns_and_each_turn_begins_with_a_call_that_does_not_count():
    watch = Stopwatch()
    functions = [watch.function("a", 0.25), watch.function("b", 0.5)]
    a, b = timing.seconds_in_turns(functions, seconds=3.0, clock=watch)
    assert a == [0.25] * 12
    assert b == [0.5] * 6
    turns = [(name, len(list(run))) for name, run in itertools.groupby(watch.ran)]
    assert turns == [("a", 5), ("b", 3)] * timing.TURNS


def test_a_function_slower_than_the_budget_is_timed_once():
    watch = Stopwatch()
    functions = [watch.function("slow", 9.0), watch.function("fast", 0.5)]
    slow, fast = timing.seconds_in_turns(functions, seconds=3.0, clock=watch)
    assert slow == [9.0]
    assert fast == [0.5] * 6
    assert watch.ran.count("slow") == 2


@pytest.mark.parametrize("seconds", [0, math.nan])
def test_without_a_budget_each_function_is_timed_once(seconds):
    watch = Stopwatch()
    assert timing.seconds_in_turns([watch.function("a", 1.0)], seconds, watch) == [[1.0]]


@pytest.mark.parametrize(
    ("text", "others"),
    [("1.70 1.87 1.25 3/93 136", 2.0), ("0.0 0.0 0.0 1/9 1", 0.0), ("none", 0.0), ("", 0.0)],
)
def test_what_runs_elsewhere_is_read_from_the_system(tmp_path, text, others):
    (tmp_path / "loadavg").write_text(text)
    assert timing.running_elsewhere(tmp_path / "loadavg") == others
    assert timing.running_elsewhere(tmp_path / "missing") == 0


# ---------------------------------------------------------------- agreement


def with_numbers_off(engines, engine, relative):
    """The engines, with the weights of one scaled by 1 + relative."""
    layer = engines[engine]
    layer.set_weights([w * np.asarray(1 + relative, w.dtype) for w in layer.get_weights()])
    return engines


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ["linear", "softmax"])
def test_engines_with_the_same_weights_agree(dtype, activation):
    layer = lcfast.LocallyConnected2D(
        3, (2, 3), dtype=dtype, activation=activation, data_format="channels_first",
        bias_initializer="ones",
    )  # fmt: skip
    x = np.random.default_rng(0).normal(size=(4, 2, 5, 6))
    layer(x)
    engines = subjects.on_each_engine(layer)
    agreement.check_implementations(engines, x)
    agreement.check_engines(engines, x)


def test_values_that_are_no_numbers_agree_too():
    engines = engines_of(subjects.model_of("10x2:4:3"))
    x = np.ones((3, 10, 2))
    x[1, 2, 0], x[2, 3, 1] = np.nan, np.inf
    agreement.check_engines(engines, x)


@pytest.mark.parametrize("engine", ["direct", "sparse"])
@pytest.mark.parametrize(("dtype", "eps"), [("float32", 2**-23), ("float64", 2**-52)])
def test_a_difference_beyond_rounding_is_found_and_one_within_it_is_not(engine, dtype, eps):
    model = lcfast.Sequential(
        [lcfast.LocallyConnected1D(4, 3, dtype=dtype, input_shape=(10, 2), name="layer")]
    )
    x = np.random.default_rng(0).normal(size=(5, 10, 2))
    agreement.check_engines(with_numbers_off(engines_of(model), engine, 2 * eps), x)
    engines = with_numbers_off(engines_of(model), engine, 1000 * eps)
    with pytest.raises(agreement.EnginesDisagreeError, match=r"layer layer disagree in \d+ of 160"):
        agreement.check_engines(engines, x)


def test_sums_that_agree_with_activations_that_do_not_are_found(monkeypatch):
    engines = engines_of(subjects.model_of("10x2:4:3"))
    monkeypatch.setattr(engines["sparse"], "activation", lcfast.activations.get("tanh"))
    with pytest.raises(agreement.EnginesDisagreeError, match="direct and sparse"):
        agreement.check_engines(engines, np.ones((2, 10, 2)))


def test_an_implementation_that_disagrees_is_named(monkeypatch):
    engines = engines_of(subjects.model_of("10x2:4:3"))
    convert = type(engines["direct"]).with_implementation

    def convert_badly(layer, implementation, engine=None):
        twin = convert(layer, implementation, engine)
        if implementation == 2 and engine == "sparse":
            twin.set_weights([2 * w for w in twin.get_weights()])
        return twin

    monkeypatch.setattr(type(engines["direct"]), "with_implementation", convert_badly)
    with pytest.raises(agreement.EnginesDisagreeError, match=r"3 and 2 of layer .* the sparse"):
        agreement.check_implementations(engines, np.ones((2, 10, 2)))


def test_nothing_is_timed_where_engines_disagree(monkeypatch):
    model = subjects.model_of("10x2:4:3")
    engines = with_numbers_off(engines_of(model), "sparse", 0.5)
    monkeypatch.setattr(timing, "on_each_engine", lambda layer: engines)
    monkeypatch.setattr(timing, "seconds_in_turns", lambda *_: pytest.fail("it was timed"))
    with pytest.raises(agreement.EnginesDisagreeError):
        list(timing.timings(model, [2], seconds=0))


# ---------------------------------------------------------------- what to choose


@pytest.mark.parametrize(
    ("direct", "sparse", "engine"),
    [(1.0, 2.0, "direct"), (2.0, 1.0, "sparse"), (1.04, 1.0, "direct"), (1.06, 1.0, "sparse")],
)
def test_the_fastest_is_chosen_and_the_smallest_of_those_as_fast(direct, sparse, engine):
    assert timing.chosen(timed("layer", 1, direct, sparse)).engine == engine


@pytest.mark.parametrize(
    ("times", "text"),
    [
        ([(1, 3)], "choose direct (3 times as fast as sparse); "),
        ([(1, 3), (1, 1.5)], "choose direct (1.5 to 3 times as fast as sparse); "),
        ([(1, 3), (1.01, 1)], "choose direct (up to 3 times as fast as sparse); "),
        ([(1, 31)], "choose direct (31 times as fast as sparse); "),
        ([(1.01, 1)], "choose direct (as fast as sparse, with smaller weights); "),
        (
            [(1, 3), (2, 1), (3, 1)],
            "choose direct at batch 1 (3 times as fast as sparse), "
            "sparse at batch 32, 1,024 (2 to 3 times as fast as direct); ",
        ),
    ],
)
def test_the_advice_says_how_much_faster_the_choice_was(times, text):
    found = [timed("layer", n, *both) for n, both in zip([1, 32, 1024], times, strict=False)]
    assert advice.advice(local_1d(), found, from_file=False).startswith(f"layer: {text}")


@pytest.mark.parametrize(
    ("arguments", "times", "from_file", "text"),
    [
        ({}, (1, 3), False, "implementation=1 runs direct"),
        ({}, (3, 1), False, "implementation=2 or 3 runs sparse"),
        ({}, (1, 3), True, "implementation 1 of the file runs direct already"),
        ({}, (3, 1), True, "layer.with_implementation(3) runs sparse"),
        ({"implementation": 2}, (3, 1), True, "implementation 2 of the file runs sparse already"),
        ({"implementation": 3}, (1, 3), True, "layer.with_implementation(1) runs direct"),
        (
            {"implementation": 2, "padding": "same"},
            (1, 3),
            True,
            "layer.with_implementation(2, engine='direct') runs direct",
        ),
    ],
)
def test_the_advice_says_how_to_have_the_choice(arguments, times, from_file, text):
    layer = local_1d(**arguments)
    said = advice.advice(layer, [timed("layer", 1, *times)], from_file).split("; ")
    assert said[1] == text
    made = eval(text.partition(" runs")[0]) if text.startswith("layer.") else None
    if made is not None:
        assert made.chosen_engine() == said[0].split()[2]


@pytest.mark.parametrize(
    ("filters", "times", "text"),
    [
        (4, (1, 3), "run direct, too."),
        (1, (3, 1), "run sparse, too."),
        (1, (1.01, 1), "run sparse, as fast."),
        (4, (3, 1), "run direct, which takes up to 3 times as long at batch 8."),
        (2, (1, 1.5), "run sparse, which takes up to 1.5 times as long at batch 8."),
    ],
)
def test_the_advice_says_what_auto_would_run(filters, times, text):
    layer = local_1d(filters, padding="same", implementation=3)
    said = advice.advice(layer, [timed("layer", 8, *times)], from_file=False)
    assert said.split("; ")[2] == f'engine="auto" would {text}'


def test_the_table_goes_by_layer_and_marks_one_row_of_each_batch():
    found = [timed(layer, batch, 1, 2) for batch in (1, 32) for layer in ("first", "second", None)]
    header, *lines = advice.table_lines(found)
    assert re.split(" {2,}", header) == list(advice.HEADER)
    assert [line[:11].strip() for line in lines[::4]] == ["first", "second", "whole model"]
    assert [line.endswith("<- choose") for line in lines] == [True, False] * 6
    assert "1,000.000" in lines[0]


def test_the_report_of_nothing_measured_is_empty():
    assert list(advice.report_lines([local_1d()], [], from_file=False, seconds=0.1)) == []


def test_the_report_advises_on_the_layers_that_were_timed_alone():
    layers = [local_1d(), lcfast.LocallyConnected1D(1, 1, name="later")]
    lines = list(advice.report_lines(layers, [timed("layer", 1, 1, 2)], True, 0.1, [32, 512]))
    assert lines[0].startswith("float32, ")
    assert lines[-2].endswith("batches of 32, 512.")
    assert lines[-1].startswith("layer: choose direct")
    assert max(map(len, lines[:4])) <= 100


def test_the_report_says_where_the_times_swing():
    steady, swinging = timed("layer", 1, 1, 2)
    swinging = dataclasses.replace(swinging, median_seconds=3.5)
    lines = list(advice.report_lines([local_1d()], [[steady, swinging]], True, 0.1))
    assert lines[-2].startswith("In 1 of 2 rows")


@pytest.mark.parametrize(("others", "lines"), [(0.0, 0), (0.4, 0), (0.6, 1), (7.0, 1)])
def test_the_report_says_where_other_processes_held_the_cores(monkeypatch, others, lines):
    monkeypatch.setattr(advice, "get_num_threads", lambda: 4)
    monkeypatch.setattr(advice.os, "cpu_count", lambda: 4)
    found = [[dataclasses.replace(one, others=others) for one in timed("layer", 1, 1, 2)]]
    said = list(advice.report_lines([local_1d()], found, True, 0.1))
    assert sum("--threads" in line for line in said) == lines


def test_the_data_say_which_was_chosen():
    data = advice.as_data([timed("layer", 32, 0.5, 1.0)])
    assert [entry["chosen"] for entry in data] == [True, False]
    assert data[0]["rows_per_second"] == 64
    assert data[1]["engine"] == "sparse"
