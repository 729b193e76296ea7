"""The table that `summary` prints, against Keras's own."""

import json

import pytest

import lcfast
from lcfast.models.summary import summary_data
from tests.support import goldens

EVERY_MODEL = pytest.mark.parametrize("name", goldens.MODELS)


def printed(model):
    lines = []
    model.summary(print_fn=lines.append)
    return lines


def rows_of_keras(text):
    """(name and class, output shape, parameters) of each layer, from Keras's wrapped table."""
    lines = text.splitlines()
    header = next(line for line in lines if "Layer (type)" in line)
    starts = [header.index(title) for title in ("Layer (type)", "Output Shape", "Param #")]
    ends = [*starts[1:], starts[2] + len("Param #   ")]
    rules = [i for i, line in enumerate(lines) if line.startswith("===")]
    rows = []
    for line in lines[rules[0] + 1 : rules[1]]:
        cells = [line[start:end].rstrip() for start, end in zip(starts, ends, strict=True)]
        if cells[1]:
            rows.append(cells)
        elif rows:  # a long name goes on in the next line
            rows[-1][0] += cells[0]
    return [(cells[0], cells[1].strip("[]"), cells[2]) for cells in rows]


@EVERY_MODEL
def test_names_shapes_and_counts_are_those_of_keras_in_its_order(name):
    case = goldens.model_case(name)
    lines = iter(printed(lcfast.load_model(case.path)))
    expected = rows_of_keras(case.summary)
    assert len(expected) >= 3
    for title, shape, count in expected:
        line = next((line for line in lines if line.startswith(title)), None)
        assert line is not None, f"no line, or none in this order, for {title}"
        rest = line.removeprefix(title).strip()
        assert rest.startswith(shape)
        assert rest.removeprefix(shape).split()[0].replace(",", "") == count


@EVERY_MODEL
def test_totals_are_those_of_keras(name):
    case = goldens.model_case(name)
    lines = printed(lcfast.load_model(case.path))
    totals = [line for line in case.summary.splitlines() if "params: " in line]
    assert len(totals) == 3
    for total in totals:
        without_bytes = total.split(" (")[0]
        ours = [line.split(" (")[0].replace(",", "") for line in lines]
        assert without_bytes in ours


def test_the_layers_that_a_layer_takes_from_are_named_where_it_is_not_a_chain():
    model = lcfast.load_model(goldens.model_path("functional_branches"))
    lines = printed(model)
    header = next(line for line in lines if line.startswith("Layer (type)"))
    start, end = header.index("Connected to"), header.index("Implementation")
    concatenate = next(line for line in lines if line.startswith("concatenate"))
    assert concatenate[start:end].strip() == "average_pooling1d, max_pooling1d"
    chain = printed(lcfast.load_model(goldens.model_path("sequential_1d")))
    assert not any("Connected to" in line for line in chain)


def test_the_names_of_keras_s_wrapped_table_are_read_whole():
    rows = rows_of_keras(goldens.model_case("functional_branches").summary)
    assert ("locally_connected1d_1 (LocallyConnected1D)", "(None, 6, 3)", "198") in rows
    assert len(rows) == 12


def test_a_layer_that_is_called_twice_is_listed_once_with_all_that_it_takes_from():
    lines = printed(lcfast.load_model(goldens.model_path("functional_two_inputs_two_outputs")))
    shared = [line for line in lines if line.startswith("shared (Dense)")]
    assert len(shared) == 1
    header = next(line for line in lines if line.startswith("Layer (type)"))
    start, end = header.index("Connected to"), header.index("Implementation")
    assert shared[0][start:end].strip() == "dense, numbers"


def test_weights_that_are_not_trained_are_counted_apart():
    model = lcfast.Sequential(
        [
            lcfast.Dense(2, input_shape=(3,), trainable=False),
            lcfast.BatchNormalization(),
            lcfast.Dense(1000),
        ]
    )
    lines = printed(model)
    assert "Total params: 3,016 (11.78 KB)" in lines
    assert "Trainable params: 3,004" in [line.split(" (")[0] for line in lines]
    assert "Non-trainable params: 12" in [line.split(" (")[0] for line in lines]


def test_the_table_is_printed_where_nobody_takes_its_lines(capsys):
    model = lcfast.Sequential([lcfast.Dense(2, input_shape=(3,), name="only")], name="small")
    assert model.summary() is None
    text = capsys.readouterr().out
    assert text.splitlines() == printed(model)
    assert 'Model: "small"' in text
    assert "only (Dense)" in text
    assert all(line == line.rstrip() for line in text.splitlines())


def test_columns_of_ours_follow_those_of_keras_and_stay_empty_where_a_layer_has_nothing():
    layers = [
        lcfast.LocallyConnected1D(4, 3, name="direct", input_shape=(9, 2)),
        lcfast.LocallyConnected1D(4, 3, name="sparse", implementation=3),
        lcfast.Flatten(name="flat"),
        lcfast.Dense(2, name="dense"),
    ]
    lines = printed(lcfast.Sequential(layers))
    header = next(line for line in lines if line.startswith("Layer (type)"))
    titles = ["Param #", "Implementation", "Engine", "Plan"]
    assert header.split()[-5:] == ["Param", "#", *titles[1:]]
    cells = {line.split()[0]: line.split()[-4:] for line in lines if "(None" in line}
    assert cells["direct"][:2] == ["1", "direct"]
    assert cells["sparse"][-2:] == ["3", "sparse"]
    assert cells["flat"][-1] == "0"
    assert cells["dense"][1] == "direct"
    assert max(map(len, lines)) <= 100


def test_columns_that_no_layer_fills_are_left_out():
    lines = printed(lcfast.Sequential([lcfast.Flatten(input_shape=(2, 2))]))
    assert not any("Engine" in line or "Plan" in line for line in lines)


@EVERY_MODEL
def test_the_data_of_the_table_are_json_and_the_same_numbers(name):
    model = lcfast.load_model(goldens.model_path(name))
    data = json.loads(json.dumps(summary_data(model)))
    assert [layer["name"] for layer in data["layers"]] == [layer.name for layer in model.layers]
    assert data["parameters"]["total"] == model.count_params()
    assert sum(layer["parameters"] for layer in data["layers"]) == model.count_params()
    assert [tuple(one["shape"]) for one in data["outputs"]] == [t.shape for t in model.outputs]
    for layer, told in zip(model.layers, data["layers"], strict=True):
        if isinstance(layer, lcfast.LocallyConnected1D | lcfast.LocallyConnected2D):
            assert told["implementation"] == layer.implementation
            assert told["engine"] == layer.chosen_engine()
            assert told["plan"]["in_words"] == str(layer.plan(data["rows_at_once"]))


def test_a_model_of_inputs_of_any_size_has_no_plans():
    data = summary_data(lcfast.Sequential([lcfast.Conv1D(2, 2, input_shape=(None, 3))]))
    assert data["rows_at_once"] is None
    assert data["layers"][0]["engine"] == "direct"
    assert data["layers"][0]["plan"] is None


@pytest.mark.parametrize(
    ("words", "told"),
    [(1, "16 B"), (1 << 10, "16.00 KB"), (1 << 20, "16.00 MB"), (1 << 28, "4.00 GB")],
)
def test_the_memory_of_weights_is_told_in_a_fitting_unit(words, told):
    layer = lcfast.Embedding(words, 4, input_length=3)
    layer.await_weights()  # the largest are not made
    lines = printed(lcfast.Sequential([layer]))
    assert f"Total params: {4 * words:,} ({told})" in lines
