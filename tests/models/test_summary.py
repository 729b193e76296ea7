"""The table that `summary` prints, against Keras's own."""

import goldens
import pytest

import lcfast

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
    assert header.endswith("Connected to")
    concatenate = next(line for line in lines if line.startswith("concatenate"))
    assert concatenate.endswith("average_pooling1d, max_pooling1d")
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
    assert shared[0].endswith("dense, numbers")


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
