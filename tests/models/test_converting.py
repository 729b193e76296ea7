"""Conversion: another implementation, another data format, the same answers."""

import click.testing
import numpy as np
import pytest

import lcfast
from lcfast.cli.convert import convert as command
from lcfast.models import folded
from lcfast.models.converting import convert
from tests.support import goldens
from tests.support.cases import assert_same_bits

LAST, FIRST = "channels_last", "channels_first"
EPS = 2.0**-52


def chain(*layers, row):
    return lcfast.Sequential([lcfast.InputLayer(row, dtype="float64"), *layers])


def of(kind, *arguments, **options):
    """A layer of float64, so that the tolerance sees a wrong order and not a rounding."""
    return kind(*arguments, dtype="float64", **options)


def locals_2d(data_format, **more):
    return of(lcfast.LocallyConnected2D, 3, (2, 3), data_format=data_format, **more)


def all_kinds(data_format, flatten=None):
    """One layer of nearly every kind, in either data format."""
    f = {"data_format": data_format}
    channels = 1 if data_format == FIRST else -1
    row = (2, 9, 11) if data_format == FIRST else (9, 11, 2)
    return chain(
        of(lcfast.Conv2D, 3, 2, padding="same", activation="tanh", **f),
        of(lcfast.BatchNormalization, channels),
        of(lcfast.PReLU, alpha_initializer="ones", shared_axes=[2, 3 if channels == 1 else 1]),
        of(lcfast.MaxPooling2D, 2, **f),
        of(lcfast.PReLU),
        locals_2d(data_format, activation="elu"),
        of(lcfast.BatchNormalization, 2),
        of(lcfast.Dropout, 0.5),
        of(lcfast.Softmax, channels),
        of(lcfast.Activation, "tanh"),
        of(lcfast.AveragePooling2D, (1, 2), strides=1, **f),
        of(lcfast.Flatten, data_format=flatten or data_format),
        of(lcfast.BatchNormalization),
        of(lcfast.PReLU),
        of(lcfast.Dense, 4, activation="sigmoid"),
        of(lcfast.Activation, "softmax"),
        row=row,
    )


def branches(data_format):
    f = {"data_format": data_format}
    channels = 1 if data_format == FIRST else -1
    steps = 2 if data_format == FIRST else 1
    shape = (3, 8) if data_format == FIRST else (8, 3)
    x = lcfast.Input(shape, dtype="float64", name="signal")
    numbers = lcfast.Input((4,), dtype="float64", name="numbers")
    wide = of(lcfast.LocallyConnected1D, 2, 3, name="wide", **f)(x)
    shared = of(lcfast.Conv1D, 2, 2, padding="same", name="shared", **f)
    twice = shared(shared(wide))
    total = of(lcfast.Add)([wide, twice])
    joined = of(lcfast.Concatenate, channels)([total, wide])
    longer = of(lcfast.Concatenate, steps)([joined, joined])
    flat = of(lcfast.Concatenate)(
        [of(lcfast.Flatten, data_format=LAST)(longer), of(lcfast.Dense, 3)(numbers)]
    )
    return lcfast.Model([x, numbers], [of(lcfast.Dense, 2)(flat), longer])


def reshaped(data_format):
    """An image of one channel, given without it."""
    row = (1, 6, 5) if data_format == FIRST else (6, 5, 1)
    return chain(
        of(lcfast.Reshape, row),
        locals_2d(data_format),
        of(lcfast.Flatten, data_format=LAST),
        of(lcfast.Reshape, (5, -1)),
        of(lcfast.Flatten),
        of(lcfast.Dense, 2),
        row=(6, 5),
    )


MODELS = {
    "all_kinds": all_kinds,
    "flatten_as_it_lies": lambda data_format: all_kinds(data_format, flatten=LAST),
    "flatten_channels_last": lambda data_format: all_kinds(data_format, flatten=FIRST),
    "branches": branches,
    "reshaped": reshaped,
    "padded": lambda data_format: chain(
        locals_2d(data_format, implementation=3, padding="same"),
        of(lcfast.Flatten),
        of(lcfast.Dense, 2),
        row=(4, 5, 6),
    ),
}


def randomised(model):
    rng = np.random.default_rng(0)
    shapes = [weight.shape for weight in model.get_weights()]
    model.set_weights([rng.uniform(0.2, 1, shape) for shape in shapes])
    return model


def inputs_of(model, rows=5):
    rng = np.random.default_rng(1)
    return [rng.standard_normal((rows, *t.shape[1:])).astype(t.dtype) for t in model.inputs]


def moved(array, target):
    axes = (-1, 1) if target == FIRST else (1, -1)
    return np.moveaxis(array, *axes)


def as_list(outputs):
    return outputs if isinstance(outputs, list) else [outputs]


def fitting(array, shape, target):
    """The array as it is where it has the shape, else with its channels moved."""
    if array.shape[1:] != shape[1:]:
        array = moved(array, target)
    assert array.shape[1:] == shape[1:]
    return array


def assert_computes_the_same(model, converted, target, eps=EPS):
    x = inputs_of(model)
    x_converted = [
        fitting(array, tensor.shape, target)
        for array, tensor in zip(x, converted.inputs, strict=True)
    ]
    one = len(x) == 1
    expected = as_list(model.predict(x[0] if one else x))
    got = as_list(converted.predict(x_converted[0] if one else x_converted))
    for y, y_converted, tensor in zip(expected, got, converted.outputs, strict=True):
        y = fitting(y, tensor.shape, target)
        # 500 terms at most in the longest path of these models, none much larger than the sum
        np.testing.assert_allclose(y_converted, y, rtol=500 * eps, atol=500 * eps)


@pytest.mark.parametrize(("source", "target"), [(LAST, FIRST), (FIRST, LAST)])
@pytest.mark.parametrize("name", MODELS)
def test_the_converted_model_computes_the_same_on_transposed_inputs(name, source, target):
    model = randomised(MODELS[name](source))
    converted = convert(model, data_format=target)
    assert type(converted) is type(model)
    formatted = [
        layer
        for layer in converted.layers
        if hasattr(layer, "data_format") and not isinstance(layer, lcfast.Flatten)
    ]
    assert {layer.data_format for layer in formatted} == {target}
    assert [layer.name for layer in converted.layers] == [layer.name for layer in model.layers]
    assert_computes_the_same(model, converted, target)


@pytest.mark.parametrize(("source", "target"), [(LAST, FIRST), (FIRST, LAST)])
@pytest.mark.parametrize("name", MODELS)
def test_there_and_back_is_the_model_itself(name, source, target):
    model = randomised(MODELS[name](source))
    again = convert(convert(model, data_format=target), data_format=source)
    assert again.input_shape == model.input_shape
    assert_computes_the_same(model, again, source)


@pytest.mark.parametrize("name", goldens.MODELS)
def test_models_of_keras_are_converted_or_refused_with_reasons(name):
    model = lcfast.load_model(goldens.model_path(name))
    target = LAST if name == "channels_first_1d" else FIRST
    if name == "channels_first_1d":
        with pytest.raises(ValueError, match="multiplies the last axis"):
            convert(model, data_format=target)
        return
    eps = 2.0**-23 if model.inputs[0].dtype == "float32" else EPS
    assert_computes_the_same(model, convert(model, data_format=target), target, eps)


def test_the_rows_of_a_dense_after_flatten_move_with_it():
    model = randomised(all_kinds(FIRST, flatten=LAST))
    converted = convert(model, data_format=LAST)
    dense = model.layers.index(model.get_layer(model.layers[-2].name))
    kernel, moved_kernel = (m.layers[dense].get_weights()[0] for m in (model, converted))
    filters, rows, columns = model.layers[10].output_shape[1:]
    by_axes = kernel.reshape(filters, rows, columns, -1).transpose(1, 2, 0, 3)
    assert_same_bits(moved_kernel, by_axes.reshape(moved_kernel.shape))


def test_a_converted_model_can_be_saved(tmp_path):
    converted = convert(randomised(all_kinds(LAST)), 3, FIRST)
    converted.save(tmp_path / "model.h5")
    again = lcfast.load_model(tmp_path / "model.h5")
    assert again.get_config() == converted.get_config()
    assert again.get_config()["layers"][0]["config"]["batch_input_shape"] == (None, 2, 9, 11)
    (x,) = inputs_of(converted)
    assert_same_bits(again.predict(x), converted.predict(x))


def test_the_first_layer_says_the_new_shape():
    model = lcfast.Sequential([lcfast.LocallyConnected1D(2, 3, input_shape=(8, 3))])
    layers = convert(model, data_format=FIRST).get_config()["layers"]
    shapes = [entry["config"]["batch_input_shape"] for entry in layers]
    assert shapes == [(None, 3, 8), (None, 3, 8)]


def test_the_model_keeps_its_weights_and_its_layers():
    model = randomised(all_kinds(LAST))
    before = model.get_weights()
    converted = convert(model, data_format=FIRST)
    assert not set(model.layers) & set(converted.layers)
    randomised(converted).set_weights([0 * weight for weight in converted.get_weights()])
    for got, expected in zip(model.get_weights(), before, strict=True):
        assert_same_bits(got, expected)


def test_a_softmax_over_the_channels_goes_on_over_the_channels():
    model = chain(
        of(lcfast.Conv1D, 3, 2),
        of(lcfast.Activation, "softmax", name="classes"),
        row=(6, 2),
    )
    converted = convert(randomised(model), data_format=FIRST)
    assert converted.get_layer("classes").axis == 1
    assert_computes_the_same(model, converted, FIRST)


def test_a_model_in_the_format_already_is_copied():
    model = randomised(all_kinds(LAST))
    converted = convert(model, data_format=LAST)
    (x,) = inputs_of(model)
    assert_same_bits(converted.predict(x), model.predict(x))
    assert converted.get_config()["layers"] == model.get_config()["layers"]


def test_a_folded_model_stays_folded():
    model = chain(of(lcfast.Conv1D, 3, 2), of(lcfast.BatchNormalization), row=(6, 2))
    view = folded(randomised(model))
    converted = convert(view, data_format=FIRST)
    assert converted.folds == view.folds
    assert len(converted.folds) == 1
    assert_computes_the_same(view, converted, FIRST)


# ---------------------------------------------------------------- implementation


@pytest.mark.parametrize("implementation", [1, 2, 3])
@pytest.mark.parametrize("name", ["all_kinds", "branches", "reshaped"])
def test_all_locally_connected_layers_get_the_implementation(name, implementation):
    model = randomised(MODELS[name](LAST))
    converted = convert(model, implementation=implementation)
    local = [each for each in converted.layers if hasattr(each, "implementation")]
    assert local
    assert {layer.implementation for layer in local} == {implementation}
    assert_computes_the_same(model, converted, LAST)


def test_both_at_once():
    model = randomised(branches(LAST))
    converted = convert(model, 3, FIRST)
    assert converted.get_layer("wide").get_weights()[0].ndim == 1
    assert_computes_the_same(model, converted, FIRST)


# ---------------------------------------------------------------- what cannot be converted


def test_padding_same_has_no_implementation_1():
    layers = [locals_2d(LAST, implementation=2, padding="same", name=name) for name in "ab"]
    with pytest.raises(ValueError, match="2 problems") as caught:
        convert(chain(*layers, row=(4, 5, 2)), implementation=1)
    assert "layer 'a'" in str(caught.value)
    assert "layer 'b'" in str(caught.value)


@pytest.mark.parametrize("implementation", [0, 4, "1"])
def test_an_implementation_that_keras_does_not_have_is_refused(implementation):
    with pytest.raises(ValueError, match="must be 1, 2 or 3"):
        convert(reshaped(LAST), implementation=implementation)


class Mine(lcfast.Layer):
    def call(self, inputs):
        return inputs[:, ::-1]


def shared_dense():
    x, y = lcfast.Input((4, 3)), lcfast.Input((6,))
    dense = lcfast.Dense(2, name="shared")
    flat = lcfast.Flatten(data_format=FIRST)(lcfast.LocallyConnected1D(2, 2)(x))
    return lcfast.Model([x, y], [dense(flat), dense(y)])


def reversed_shared_dense():
    model = shared_dense()
    return lcfast.Model(model.inputs[::-1], model.outputs[::-1])


REFUSED = {
    "multiplies the last axis": lambda: [lcfast.Conv1D(2, 2), lcfast.Dense(3)],
    "last axis": lambda: [lcfast.LocallyConnected1D(2, 2, activation="softmax")],
    "applies softmax, which runs": lambda: [lcfast.Conv1D(2, 2, activation="softmax")],
    "applies log_softmax over an axis": lambda: [
        lcfast.Conv1D(2, 2), lcfast.Activation("log_softmax"),
    ],
    "takes numbers in an order that would change": lambda: [lcfast.Conv1D(2, 2), Mine()],
    "takes an input whose axes cannot be moved": lambda: [Mine(), lcfast.Conv1D(2, 2)],
    "would return its numbers in another order": lambda: [
        lcfast.Reshape((2, 6)), lcfast.Conv1D(2, 2),
    ],
    "output of layer 'flat' would have its numbers in another order": lambda: [
        lcfast.Conv1D(2, 2), lcfast.Flatten(data_format=FIRST, name="flat"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("reason", REFUSED)
def test_what_cannot_be_converted_is_refused_with_its_reason(reason):
    model = lcfast.Sequential([lcfast.InputLayer((4, 3)), *REFUSED[reason]()])
    with pytest.raises(ValueError, match=reason):
        convert(model, data_format=FIRST)


@pytest.mark.parametrize("make", [shared_dense, reversed_shared_dense])
def test_a_layer_that_would_have_to_become_two_is_refused(make):
    with pytest.raises(ValueError, match=r"layer 'shared' .* called several times"):
        convert(make(), data_format=FIRST)


def test_every_problem_is_listed():
    model = chain(
        locals_2d(LAST, activation="softmax", name="first"),
        locals_2d(LAST, implementation=2, padding="same", name="second"),
        of(lcfast.Dense, 2, name="third"),
        row=(6, 7, 2),
    )
    with pytest.raises(ValueError, match="3 problems") as caught:
        convert(model, implementation=1, data_format=FIRST)
    for name in ("first", "second", "third"):
        assert f"layer '{name}'" in str(caught.value)


def test_sizes_that_are_not_known_are_refused():
    model = lcfast.Sequential([lcfast.InputLayer((None, 3)), lcfast.Conv1D(2, 2)])
    with pytest.raises(ValueError, match="sizes of the outputs of these layers are not known"):
        convert(model, data_format=FIRST)


# ---------------------------------------------------------------- the command


def run(*arguments):
    return click.testing.CliRunner().invoke(command, [str(each) for each in arguments])


def test_the_command_writes_the_converted_model(tmp_path):
    source = goldens.model_path("sequential_2d")
    done = run(source, tmp_path / "out.h5", "--implementation", 3, "--data-format", FIRST)
    assert done.exit_code == 0, done.output
    assert "(None, 2, 11, 9) -> (None, 4)" in done.output
    model, converted = lcfast.load_model(source), lcfast.load_model(tmp_path / "out.h5")
    assert_computes_the_same(model, converted, FIRST, eps=2.0**-23)


@pytest.mark.parametrize(
    ("output", "said"),
    [("model.txt", "unknown"), ("no/model.h5", "No such file"), ("model.h5", "another file")],
)
def test_the_command_says_in_a_sentence_what_is_wrong(output, said, tmp_path):
    model = chain(of(lcfast.Dense, 2), row=(3,))
    model.save(tmp_path / "model.h5")
    done = run(tmp_path / "model.h5", tmp_path / output)
    assert done.exit_code == 2
    assert said in done.output
    assert "Traceback" not in done.output


# ---------------------------------------------------------------- models inside


def with_a_model_inside():
    row = lcfast.Input((6, 5, 2), dtype="float64")
    inside = chain(of(lcfast.Conv2D, 3, 2), locals_2d(LAST, name="local"), row=(6, 5, 2))
    outside = of(lcfast.Flatten)(inside(row))
    return randomised(lcfast.Model(row, of(lcfast.Dense, 2)(outside)))


def test_a_model_inside_is_converted_and_stays_one():
    model = with_a_model_inside()
    converted = convert(model, implementation=3)
    inside = converted.layers[1]
    assert type(inside) is lcfast.Sequential
    assert inside.get_layer("local").implementation == 3
    assert [layer.name for layer in converted.layers] == [layer.name for layer in model.layers]
    assert converted.get_config() != model.get_config()
    x = inputs_of(model)[0]
    np.testing.assert_allclose(converted.predict(x), model.predict(x), rtol=1e-12)


def test_without_an_option_every_model_is_copied(tmp_path):
    model = with_a_model_inside()
    copied, x = convert(model), inputs_of(model)[0]
    assert copied.layers[1] is not model.layers[1]
    assert_same_bits(copied.predict(x), model.predict(x))
    model.save(tmp_path / "in.h5")
    assert run(tmp_path / "in.h5", tmp_path / "out.keras").exit_code == 0
    assert_same_bits(lcfast.load_model(tmp_path / "out.keras").predict(x), model.predict(x))


def test_what_holds_a_layer_that_cannot_be_converted_is_refused():
    local = of(lcfast.LocallyConnected1D, 2, 2, name="local")
    timed = chain(of(lcfast.TimeDistributed, local, name="timed"), row=(4, 5, 3))
    with pytest.raises(ValueError, match=r"layer 'timed' .* contains layers"):
        convert(timed, implementation=3)
    padded = of(lcfast.LocallyConnected1D, 2, 2, implementation=3, padding="same", name="padded")
    inside = chain(padded, row=(5, 3))
    with pytest.raises(ValueError, match="layer 'padded'"):
        convert(chain(inside, row=(5, 3)), implementation=1)


def test_a_model_inside_keeps_its_data_format_or_is_refused():
    with pytest.raises(ValueError, match=r"\(Sequential\) contains layers"):
        convert(with_a_model_inside(), data_format=FIRST)


def test_a_layer_inside_and_outside_is_refused():
    shared = of(lcfast.Dense, 4, name="shared")
    inside = chain(of(lcfast.Dense, 4), shared, row=(4,))
    x = lcfast.Input((4,), dtype="float64")
    model = lcfast.Model(x, shared(inside(x)))
    with pytest.raises(ValueError, match=r"layer 'shared' .* would become several"):
        convert(model, implementation=2)
    assert convert(model).count_params() == model.count_params()
