"""LocallyConnected1D and 2D against tf_keras's goldens and naive loops."""

import inspect
import itertools
import json

import numpy as np
import pytest

import lcfast
from tests.support import goldens
from tests.support.cases import assert_same_bits, assert_within
from tests.support.naive_ops import layers_on_naive_loops

CASES = goldens.layer_case_names()
BOTH = [lcfast.LocallyConnected1D, lcfast.LocallyConnected2D]

# How much the output of an activation can change per change of its input, and its slope likewise.
STEEPEST = {"selu": 1.7581}
ROUNDINGS_OF_AN_ACTIVATION = 8  # eps of 1: an exponential, a quotient and Keras's e^x - 1 for elu


def layer_of(case):
    return getattr(lcfast, case.class_name).from_config(case.config)


def set_up(case, **more):
    layer = getattr(lcfast, case.class_name).from_config({**case.config, **more})
    layer.build((None, *case.x.shape[1:]))
    layer.set_weights(case.weights)
    return layer


# ---------------------------------------------------------------- naive loops, in float64


def windows(config, shape):
    """(position, where its window lies in the input), position by position, row by row."""
    first = config["data_format"] == "channels_first"
    sizes = shape[2:] if first else shape[1:-1]
    window = list(zip(sizes, config["kernel_size"], config["strides"], strict=True))
    counts = [(n - k) // s + 1 for n, k, s in window]
    for position, place in enumerate(itertools.product(*map(range, counts))):
        spatial = [slice(i * s, i * s + k) for i, (_, k, s) in zip(place, window, strict=True)]
        yield position, (slice(None), slice(None), *spatial) if first else (slice(None), *spatial)


def by_position(config, y):
    """(batch, positions, filters) of an output; a view where the filters come last."""
    if config["data_format"] == "channels_first":
        return y.reshape(len(y), y.shape[1], -1).transpose(0, 2, 1)
    return y.reshape(len(y), -1, y.shape[-1])


def naive_forward(config, x, weights, output_shape):
    y = np.zeros(output_shape)
    for position, where in windows(config, x.shape):
        patch = x[where].reshape(len(x), -1)
        by_position(config, y)[:, position] = patch @ weights[0][position]
    if len(weights) == 2:
        y += weights[1].reshape(output_shape[1:])  # Keras reshapes the bias, it never transposes
    return y


def naive_dx(config, x, kernel, dz):
    dx = np.zeros(x.shape)
    for position, where in windows(config, x.shape):
        patch = by_position(config, dz)[:, position] @ kernel[position].T
        dx[where] += patch.reshape(dx[where].shape)
    return dx


def naive_dweights(config, x, weights, dz):
    dkernel = np.zeros(weights[0].shape)
    for position, where in windows(config, x.shape):
        patch = x[where].reshape(len(x), -1)
        dkernel[position] = patch.T @ by_position(config, dz)[:, position]
    return [dkernel, *(dz.sum(axis=0).reshape(bias.shape) for bias in weights[1:])]


def bounds(case):
    """How far y, dx and each dweight may lie from Keras's: the roundings of both together.

    A sum of n products with absolute values that sum to s is off by at most n eps s / 2 on either
    side. Through an activation the error of the sum goes on with its steepest slope, and into the
    gradient with that of the slope itself.
    """
    eps = np.finfo(case.x.dtype).eps
    config = case.config
    x, dy = np.abs(case.x.astype(np.float64)), np.abs(case.dy.astype(np.float64))
    weights = [np.abs(w.astype(np.float64)) for w in case.weights]
    patch, filters = weights[0].shape[1:]
    of_y = (patch + 2) * eps * naive_forward(config, x, weights, case.y.shape)
    dz, of_dz = dy, 0 * dy
    if config["activation"] != "linear":
        steepest = STEEPEST.get(config["activation"], 1)
        of_activation = ROUNDINGS_OF_AN_ACTIVATION * eps
        if config["activation"] == "softmax":  # its gradient sees the whole row of dy
            dz = np.broadcast_to(2 * dy.max(axis=-1, keepdims=True), dy.shape)
            of_y = np.broadcast_to(of_y.max(axis=-1, keepdims=True), dy.shape)
        of_dz = 2 * dz * (steepest * of_y + of_activation)
        dz = steepest * dz
        of_y = steepest * of_y + of_activation * np.maximum(1, np.abs(case.y))
    terms = filters * np.prod(config["kernel_size"]) + 2
    of_dx = naive_dx(config, x, weights[0], terms * eps * dz + of_dz)
    of_dweights = naive_dweights(config, x, weights, (len(x) + 2) * eps * dz + of_dz)
    return of_y, of_dx, of_dweights


# ---------------------------------------------------------------- goldens


def test_all_cases_of_keras_are_there():
    assert len(CASES) == 104
    configs = [goldens.layer_case(name).config for name in CASES]
    assert {config["activation"] for config in configs} == {
        *("linear", "relu", "tanh", "sigmoid", "softmax", "elu", "selu")
    }
    assert {(c["data_format"], len(c["kernel_size"]), c["dtype"]) for c in configs} == set(
        itertools.product(("channels_last", "channels_first"), (1, 2), ("float32", "float64"))
    )


def test_a_missing_golden_is_an_error():
    with pytest.raises(AssertionError, match="there is no golden 1d-nowhere"):
        goldens.layer_case("1d-nowhere")
    with pytest.raises(FileNotFoundError):
        goldens.arrays("nowhere")


@pytest.mark.parametrize("name", CASES)
def test_layers_give_what_keras_gives(name):
    case = goldens.layer_case(name)
    y = set_up(case)(case.x)
    assert_within(y, case.y, bounds(case)[0])


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_those_of_keras(name):
    case = goldens.layer_case(name)
    y, pullback = set_up(case).vjp(case.x)
    dx, dweights = pullback(case.dy)
    of_y, of_dx, of_dweights = bounds(case)
    assert_within(y, case.y, of_y)
    assert_within(dx, case.dx, of_dx)
    assert len(dweights) == len(case.dweights)
    for got, expected, bound in zip(dweights, case.dweights, of_dweights, strict=True):
        assert_within(got, expected, bound)


@pytest.mark.parametrize("name", [name for name in CASES if name.endswith("float64")])
def test_float64_layers_agree_with_keras_to_twelve_digits(name):
    case = goldens.layer_case(name)
    y, pullback = set_up(case).vjp(case.x)
    dx, dweights = pullback(case.dy)
    expected = [case.y, case.dx, *case.dweights]
    for got, wanted in zip([y, dx, *dweights], expected, strict=True):
        assert_within(got, wanted, 1e-12 * np.maximum(1, np.abs(wanted)))


@pytest.mark.parametrize("name", CASES)
def test_the_naive_loops_agree_with_the_direct_engine(name):
    case = goldens.layer_case(name)
    layer = set_up(case)
    y, pullback = layer.vjp(case.x)
    dx, dweights = pullback(case.dy)
    with layers_on_naive_loops():
        expected, expected_pullback = layer.vjp(case.x)
        expected_call = layer(case.x)
        expected_dx, expected_dweights = expected_pullback(case.dy)
    of_y, of_dx, of_dweights = bounds(case)
    assert_within(y, expected, of_y)
    assert_within(layer(case.x), expected_call, of_y)
    assert_within(dx, expected_dx, of_dx)
    for got, wanted, bound in zip(dweights, expected_dweights, of_dweights, strict=True):
        assert_within(got, wanted, bound)


@pytest.mark.parametrize("name", CASES)
def test_weights_have_the_shapes_that_keras_gives_them(name):
    case = goldens.layer_case(name)
    layer = layer_of(case)
    layer.build((None, *case.x.shape[1:]))
    assert [w.shape for w in layer.get_weights()] == [w.shape for w in case.weights]
    assert {w.dtype for w in layer.get_weights()} == {np.dtype(case.config["dtype"])}
    assert layer.count_params() == sum(w.size for w in case.weights)
    layer.set_weights(case.weights)
    for got, expected in zip(layer.get_weights(), case.weights, strict=True):
        assert_same_bits(got, expected)


@pytest.mark.parametrize("name", CASES)
def test_the_config_of_keras_makes_the_layer_that_keras_described(name):
    case = goldens.layer_case(name)
    config = json.loads(json.dumps(layer_of(case).get_config()))
    assert config.keys() == case.config.keys()
    for key, expected in case.config.items():
        if isinstance(expected, dict):  # tf_keras adds where it found the class
            expected = {part: expected[part] for part in ("class_name", "config")}
        assert config[key] == expected, key


@pytest.mark.parametrize("name", CASES)
def test_the_output_shape_is_known_before_anything_is_computed(name):
    case = goldens.layer_case(name)
    layer = layer_of(case)
    assert layer.compute_output_shape((None, *case.x.shape[1:])) == (None, *case.y.shape[1:])
    assert layer.compute_output_shape(case.x.shape) == case.y.shape


# ---------------------------------------------------------------- the constructor

DEFAULTS = {
    "strides": {1: 1, 2: (1, 1)},
    "padding": "valid",
    "data_format": None,
    "activation": None,
    "use_bias": True,
    "kernel_initializer": "glorot_uniform",
    "bias_initializer": "zeros",
    "kernel_regularizer": None,
    "bias_regularizer": None,
    "activity_regularizer": None,
    "kernel_constraint": None,
    "bias_constraint": None,
    "implementation": 1,
}


def test_arguments_may_be_given_by_place_in_the_order_of_keras():
    given = (4, 3, 2, "valid", "channels_first", "relu", False, "ones", "zeros", "l1", "l2", None)
    layer = lcfast.LocallyConnected1D(*given, "non_neg", None, 1, input_shape=(2, 9), name="all")
    config = layer.get_config()
    for key in ("kernel_initializer", "kernel_regularizer", "bias_regularizer"):
        config[key] = config[key]["class_name"]
    assert config == {
        "name": "all",
        "trainable": True,
        "dtype": "float32",
        "batch_input_shape": (None, 2, 9),
        "filters": 4,
        "kernel_size": (3,),
        "strides": (2,),
        "padding": "valid",
        "data_format": "channels_first",
        "activation": "relu",
        "use_bias": False,
        "kernel_initializer": "Ones",
        "bias_initializer": {"class_name": "Zeros", "config": {}},
        "kernel_regularizer": "L1",
        "bias_regularizer": "L2",
        "activity_regularizer": None,
        "kernel_constraint": {"class_name": "NonNeg", "config": {}},
        "bias_constraint": None,
        "implementation": 1,
    }


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("argument", DEFAULTS)
def test_every_default_may_be_spelled_out(kind, argument):
    default = DEFAULTS[argument]
    if argument == "strides":
        default = default[kind.spatial_dimensions]
    left_out = kind(3, 2, name="layer").get_config()
    assert kind(3, 2, name="layer", **{argument: default}).get_config() == left_out
    assert inspect.signature(kind).parameters[argument].default == default


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        (lcfast.LocallyConnected1D, 3, (3,)),
        (lcfast.LocallyConnected1D, [3], (3,)),
        (lcfast.LocallyConnected1D, np.int64(3), (3,)),
        (lcfast.LocallyConnected2D, 3, (3, 3)),
        (lcfast.LocallyConnected2D, (3, 2), (3, 2)),
        (lcfast.LocallyConnected2D, np.array([3, 2]), (3, 2)),
        (lcfast.LocallyConnected2D, [np.int32(3), np.uint8(2)], (3, 2)),
    ],
    ids=str,
)
@pytest.mark.parametrize("argument", ["kernel_size", "strides"])
def test_sizes_are_an_integer_or_one_for_each_dimension(kind, given, expected, argument):
    layer = kind(**{"filters": 1, "kernel_size": 1, argument: given})
    assert getattr(layer, argument) == expected
    assert all(type(size) is int for size in getattr(layer, argument))


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("argument", ["kernel_size", "strides"])
@pytest.mark.parametrize(
    "given",
    [0, -1, (), (1, 2, 3), "3", b"3", 1.0, None, True, (0,), (0, 0), (1, True), [1, 2.0], {}],
    ids=repr,
)
def test_other_sizes_are_refused(kind, argument, given):
    with pytest.raises(ValueError, match=f"The `{argument}` argument must be "):
        kind(**{"filters": 1, "kernel_size": 1, argument: given})


@pytest.mark.parametrize("kind", BOTH)
def test_the_number_of_sizes_must_be_that_of_the_dimensions(kind):
    wrong = (1,) * (3 - kind.spatial_dimensions)
    with pytest.raises(ValueError, match="`kernel_size` argument must be one integer"):
        kind(1, wrong)
    with pytest.raises(ValueError, match="`strides` argument must be one integer"):
        kind(1, 1, wrong)


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("filters", [0, -3, 1.0, "4", None, True, np.True_, [4], 2**40], ids=repr)
def test_filters_must_be_a_positive_integer(kind, filters):
    with pytest.raises(ValueError, match="The `filters` argument"):
        kind(filters, 1)


@pytest.mark.parametrize("kind", BOTH)
def test_numpy_integers_are_integers(kind):
    n = kind.spatial_dimensions
    layer = kind(
        np.int64(4),
        np.full(n, 3, np.int16),
        np.uint8(2),
        implementation=np.int64(1),
        input_shape=tuple(np.array([9] * n + [2])),
        batch_size=np.int32(5),
        name="numpy",
    )
    plain = kind(4, 3, 2, input_shape=(*[9] * n, 2), batch_size=5, name="numpy")
    assert json.dumps(layer.get_config()) == json.dumps(plain.get_config())


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("padding", ["full", "", None, 0, ["valid"], "causal"], ids=repr)
def test_a_padding_that_keras_does_not_have_is_refused(kind, padding):
    with pytest.raises(ValueError, match="The `padding` argument must be one of 'valid', 'same'"):
        kind(1, 1, padding=padding)


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("padding", ["same", "SAME"])
def test_padding_same_is_refused_in_the_words_of_keras(kind, padding):
    expected = (
        rf"Invalid border mode for {kind.__name__} "
        rf'\(only "valid" is supported if implementation is 1\): {padding}'
    )
    with pytest.raises(ValueError, match=expected):
        kind(1, 1, padding=padding)


@pytest.mark.parametrize("kind", BOTH)
def test_padding_and_data_format_are_read_whatever_their_case(kind):
    layer = kind(1, 1, padding="VaLiD", data_format="Channels_FIRST")
    assert (layer.padding, layer.data_format) == ("valid", "channels_first")


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("data_format", ["channels", "", 1, "NHWC", ["channels_last"]], ids=repr)
def test_another_data_format_is_refused(kind, data_format):
    with pytest.raises(ValueError, match="The `data_format` argument must be one of"):
        kind(1, 1, data_format=data_format)


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("activation", "nothing", "'nothing' is not a known activation"),
        ("use_bias", "yes", "The `use_bias` argument must be True or False"),
        ("kernel_initializer", "nothing", "'nothing' is not a known initializer"),
        ("bias_regularizer", "nothing", "'nothing' is not a known regularizer"),
        ("bias_constraint", "nothing", "'nothing' is not a known constraint"),
        ("engine", "nothing", "engine .*'nothing'"),
        ("prune", "yes", "The `prune` argument must be True or False"),
        ("prune", True, "prune.*sparse"),
    ],
)
def test_a_value_that_nobody_knows_is_refused_by_name(kind, argument, value, message):
    with pytest.raises(ValueError, match=message):
        kind(1, 1, **{argument: value})


def test_the_engine_is_no_part_of_the_config():
    engines = [None, "direct", "sparse", "auto"]
    configs = [lcfast.LocallyConnected1D(2, 2, engine=e, name="a").get_config() for e in engines]
    assert all(config == configs[0] for config in configs)
    assert "engine" not in configs[0]
    assert "prune" not in configs[0]


# ---------------------------------------------------------------- build


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("mode", [0, 4, -1, None, "1", True, 1.5], ids=repr)
def test_an_implementation_that_keras_does_not_have_is_refused_by_build(kind, mode):
    layer = kind(1, 1, implementation=mode)
    with pytest.raises(ValueError, match=f"Unrecognized implementation mode: {mode}"):
        layer.build((None, *[3] * kind.spatial_dimensions, 1))
    assert not layer.built


@pytest.mark.parametrize(
    ("kind", "data_format", "shape"),
    [
        (lcfast.LocallyConnected1D, "channels_last", (None, None, 3)),
        (lcfast.LocallyConnected1D, "channels_first", (None, 3, None)),
        (lcfast.LocallyConnected2D, "channels_last", (None, None, 5, 3)),
        (lcfast.LocallyConnected2D, "channels_last", (None, 5, None, 3)),
        (lcfast.LocallyConnected2D, "channels_first", (None, 3, 5, None)),
    ],
)
def test_build_needs_every_spatial_size(kind, data_format, shape):
    layer = kind(1, 1, data_format=data_format, name="local")
    expected = (
        rf"The spatial dimensions of the inputs to a {kind.__name__} layer should be "
        rf"fully-defined, but layer local received the inputs shape \({', '.join(map(str, shape))}"
    )
    with pytest.raises(ValueError, match=expected):
        layer.build(shape)
    assert not layer.built


@pytest.mark.parametrize("channels", [None, 0])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_build_needs_the_number_of_channels(data_format, channels):
    layer = lcfast.LocallyConnected1D(1, 1, data_format=data_format, name="local")
    shape = (None, 5, channels) if data_format == "channels_last" else (None, channels, 5)
    with pytest.raises(ValueError, match=r"The channel dimension of the inputs to layer local"):
        layer.build(shape)


@pytest.mark.parametrize(
    ("kind", "kernel", "shape"),
    [
        (lcfast.LocallyConnected1D, 6, (None, 5, 1)),
        (lcfast.LocallyConnected2D, (1, 6), (None, 5, 5, 1)),
        (lcfast.LocallyConnected2D, (9, 1), (7, 5, 5, 1)),
    ],
)
def test_a_kernel_larger_than_the_input_is_refused_in_the_words_of_keras(kind, kernel, shape):
    layer = kind(1, kernel, name="local")
    expected = (
        r"One of the dimensions in the output is <= 0 due to downsampling in local\. Consider "
        rf"increasing the input size\. Received input shape \({', '.join(map(str, shape))}\)"
    )
    with pytest.raises(ValueError, match=expected):
        layer.build(shape)
    with pytest.raises(ValueError, match=expected):
        layer.compute_output_shape(shape)


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("missing", [-1, 1])
def test_an_input_of_another_rank_is_refused(kind, missing):
    rank = kind.spatial_dimensions + 2
    with pytest.raises(ValueError, match=rf"needs an input of {rank} dimensions, the batch first"):
        kind(1, 1)(np.ones((2,) * (rank + missing)))


@pytest.mark.parametrize(
    "shape", [(2, 9, 3), (2, 7, 3), (2, 8, 2), (2, 3, 8), (2, 24), (2, 8, 3, 1)], ids=str
)
def test_an_input_of_another_shape_than_the_layer_was_built_for_is_refused(shape):
    layer = lcfast.LocallyConnected1D(4, 3, name="local")
    layer.build((None, 8, 3))
    expected = r"Layer local was built for inputs of shape \(batch, 8, 3\)\. Received: \(2, "
    for call in (layer, layer.vjp):
        with pytest.raises(ValueError, match=expected):
            call(np.ones(shape))
    with pytest.raises(ValueError, match=r"built for inputs of shape \(batch, 8, 3\)"):
        layer(lcfast.Input(shape[1:]))
    assert layer(np.ones((2, 8, 3))).shape == (2, 6, 4)


def test_the_first_values_come_from_the_initializers():
    layer = lcfast.LocallyConnected1D(
        2, 2, kernel_initializer={"class_name": "Constant", "config": {"value": 0.5}}
    )
    layer.build((None, 4, 3))
    kernel, bias = layer.get_weights()
    assert kernel.shape == (3, 6, 2)
    assert (kernel == 0.5).all()
    assert bias.shape == (3, 2)
    assert (bias == 0).all()


def test_glorot_uniform_takes_its_limits_from_the_stored_shape():
    layer = lcfast.LocallyConnected1D(20, 5)
    layer.build((None, 14, 8))
    (kernel, _) = layer.get_weights()
    limit = np.sqrt(6 / (10 * (40 + 20)))  # ten positions, 40 taps, 20 filters
    assert kernel.shape == (10, 40, 20)
    assert np.abs(kernel).max() <= limit
    assert np.abs(kernel).max() > 0.99 * limit
    assert abs(kernel.mean()) < limit / 20


@pytest.mark.parametrize("argument", ["kernel_initializer", "bias_initializer"])
def test_no_initializer_is_glorot_uniform_as_in_keras(argument):
    layer = lcfast.LocallyConnected1D(4, 3, **{argument: None})
    layer.build((None, 8, 3))
    weights = dict(
        zip(("kernel_initializer", "bias_initializer"), layer.get_weights(), strict=True)
    )
    assert len(np.unique(weights[argument])) > 1


@pytest.mark.parametrize("activation", ["linear", None, "relu", "softmax"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_softmax_runs_over_the_last_axis_whatever_the_data_format(activation, data_format):
    layer = lcfast.LocallyConnected2D(3, 2, data_format=data_format, activation=activation)
    linear = lcfast.LocallyConnected2D(3, 2, data_format=data_format)
    x = np.random.default_rng(5).standard_normal((2, 4, 5, 6))
    z = linear(x)
    layer.build(x.shape)
    layer.set_weights(linear.get_weights())
    expected = lcfast.activations.get(activation)(z)
    assert_same_bits(layer(x), expected)
