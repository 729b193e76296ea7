"""Folding: the same scores up to rounding, and the model itself stays what it was."""

import copy
import threading

import numpy as np
import pytest

import lcfast
from lcfast.models import folded
from lcfast.models.profiling import Profile
from tests.support import goldens
from tests.support.cases import assert_same_bits

LAST, FIRST = "channels_last", "channels_first"
EPS = {"float32": 2.0**-23, "float64": 2.0**-52}


def local_1d(**more):
    return lcfast.LocallyConnected1D(3, 2, strides=2, **more)


def local_2d(**more):
    return lcfast.LocallyConnected2D(2, (2, 3), **more)


# name: the linear layer, the shape of a row, the axes that can be folded
LINEAR = {
    "dense": (lambda: lcfast.Dense(4), (5,), (-1,)),
    "dense_no_bias": (lambda: lcfast.Dense(4, use_bias=False), (5,), (1,)),
    "dense_on_steps": (lambda: lcfast.Dense(4), (3, 5), (-1,)),
    "conv1d": (lambda: lcfast.Conv1D(3, 2, padding="same"), (6, 2), (-1,)),
    "conv2d": (lambda: lcfast.Conv2D(3, 2, use_bias=False), (5, 4, 2), (3,)),
    "conv2d_first": (lambda: lcfast.Conv2D(3, 2, data_format=FIRST), (2, 5, 4), (1,)),
    "local_1d": (local_1d, (7, 2), (1, 2, -2)),
    "local_1d_first": (lambda: local_1d(data_format=FIRST, use_bias=False), (2, 7), (1, 2)),
    "local_2d": (lambda: local_2d(use_bias=False), (4, 5, 2), (1, 2, 3, -1)),
    "local_2d_first": (lambda: local_2d(data_format=FIRST), (2, 4, 5), (1, 2, 3)),
    "local_2d_2": (lambda: local_2d(implementation=2, padding="same"), (4, 5, 2), (1, 2, 3)),
    "local_2d_3": (
        lambda: local_2d(implementation=3, padding="same", data_format=FIRST), (2, 4, 5), (1, 2, 3)
    ),
    "local_2d_direct": (
        lambda: local_2d(implementation=3, padding="same", engine="direct"), (4, 5, 2), (2, 3)
    ),
}  # fmt: skip
CASES = [(name, axis) for name, (_, _, axes) in LINEAR.items() for axis in axes]


def randomised(model, seed=0):
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        weights = [rng.standard_normal(weight.shape) for weight in layer.weights]
        if isinstance(layer, lcfast.BatchNormalization):
            weights[-1] = np.abs(weights[-1]) + 0.1
        layer.set_weights(weights)
    return model


def normalized(name, axis=-1, dtype="float32", after=(), **options):
    make, row, _ = LINEAR[name]
    linear = make()
    linear = type(linear).from_config({**linear.get_config(), "dtype": dtype})
    normalization = lcfast.BatchNormalization(axis, dtype=dtype, **options)
    chain = [lcfast.InputLayer(row, dtype=dtype), linear, normalization, *after]
    return randomised(lcfast.Sequential(chain))


def rows_of(model, rows=5):
    shape = (rows, *model.input_shape[1:])
    return np.random.default_rng(1).standard_normal(shape).astype(model.inputs[0].dtype)


def magnitudes(model, x):
    """The sum of the absolute values of all that is added up in one number of the answer."""
    linear, normalization = model.layers
    absolute = copy.deepcopy(linear)
    absolute.set_weights([np.abs(weight) for weight in linear.get_weights()])
    *affine, mean, variance = (np.abs(w) for w in normalization.get_weights())
    shape = [1] * len(model.output_shape)
    shape[normalization.axis] = -1
    factor = 1 / np.sqrt(variance + normalization.epsilon)
    if normalization.scale:
        factor = factor * affine[0]
    shift = affine[-1] if normalization.center else np.zeros_like(mean)
    inner = absolute(np.abs(x)) + mean.reshape(shape)
    return inner * factor.reshape(shape) + shift.reshape(shape)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "axis"), CASES)
def test_the_scores_are_the_same_up_to_rounding(name, axis, dtype):
    model = normalized(name, axis, dtype)
    view = folded(model)
    assert [pair[1] for pair in view.folds] == [model.layers[1].name]
    x = rows_of(model)
    patch = max(np.prod(model.layers[0].get_weights()[0].shape[:-1]), x[0].size)
    # A chain of `patch` steps and its bias on both sides; of the rest (factor, mean, shift, the
    # rounding of the folded weights) each number sees fewer than 12.
    bound = 2 * (patch + 12) * EPS[dtype] * magnitudes(model, x)
    difference = np.abs(view.predict(x) - model.predict(x))
    assert (difference <= bound).all()
    assert difference.shape == model.predict(x).shape


@pytest.mark.parametrize("options", [{"scale": False}, {"center": False}, {"epsilon": 0.5}])
def test_gamma_beta_and_epsilon_count(options):
    model = normalized("local_1d", **options)
    x = rows_of(model)
    bound = 2 * 30 * EPS["float32"] * magnitudes(model, x)
    assert (np.abs(folded(model)(x) - model(x)) <= bound).all()


def test_it_is_computed_without_the_normalization():
    model = normalized("local_2d")
    graph, _ = folded(model).scoring_graph(model.record())
    assert len(graph.steps) == 1
    assert graph.steps[0].output == graph.outputs[0]


@pytest.mark.parametrize("name", LINEAR)
def test_the_bits_do_not_depend_on_the_batch(name):
    model = normalized(name, LINEAR[name][2][0], after=[lcfast.ReLU()])
    view, x = folded(model), rows_of(model, 17)
    whole = view.predict(x)
    for batch in (1, 3):
        assert_same_bits(view.predict(x, batch_size=batch), whole)
    assert_same_bits(view(x[5:6]), whole[5:6])


# ---------------------------------------------------------------- what is left alone


def chain(*layers, row=(4, 3)):
    return lcfast.Sequential([lcfast.InputLayer(row), *layers])


class Derived(lcfast.Dense):
    pass


class Held(lcfast.Layer):
    """A layer that holds another."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = lcfast.Dense(2)

    def call(self, inputs):
        return self.inner(inputs)


@pytest.mark.parametrize(
    "layers",
    [
        [lcfast.Dense(2, activation="relu"), lcfast.BatchNormalization()],
        [lcfast.Dense(2, activation=lcfast.ReLU()), lcfast.BatchNormalization()],
        [lcfast.Dense(2, activity_regularizer="l2"), lcfast.BatchNormalization()],
        [lcfast.Dense(2), lcfast.BatchNormalization(axis=1)],
        [lcfast.Conv1D(2, 2), lcfast.BatchNormalization(axis=1)],
        [lcfast.Conv1D(2, 2, data_format=FIRST), lcfast.BatchNormalization()],
        [lcfast.Dense(2), lcfast.Dropout(0.5), lcfast.BatchNormalization()],
        [lcfast.BatchNormalization(), lcfast.Dense(2)],
        [Derived(2), lcfast.BatchNormalization()],
        [lcfast.Dense(2, dtype="float64"), lcfast.BatchNormalization()],
    ],
)
def test_what_cannot_be_folded_is_computed_as_before(layers):
    model = chain(*layers)
    view, x = folded(model), rows_of(model)
    assert view.folds == ()
    assert_same_bits(view.predict(x), model.predict(x))


def test_a_value_that_others_use_too_is_not_folded_away():
    x = lcfast.Input((3,))
    dense = lcfast.Dense(2, name="dense")(x)
    normal = lcfast.BatchNormalization(name="normal")(dense)
    assert folded(lcfast.Model(x, [normal, dense])).folds == ()
    assert folded(lcfast.Model(x, lcfast.Add()([normal, dense]))).folds == ()
    assert folded(lcfast.Model(x, normal)).folds == (("dense", "normal"),)


def test_a_shared_layer_is_not_folded():
    x, shared, normal = lcfast.Input((3,)), lcfast.Dense(3), lcfast.BatchNormalization()
    assert folded(lcfast.Model(x, normal(shared(shared(x))))).folds == ()
    assert folded(lcfast.Model(x, normal(lcfast.Dense(3)(normal(x))))).folds == ()


def test_inputs_that_are_used_in_between_are_still_there():
    x = lcfast.Input((3,))
    first = lcfast.Dense(3, name="first")(x)
    side = lcfast.Dense(3, name="side")(x)
    normal = lcfast.BatchNormalization()(first)
    model = randomised(lcfast.Model(x, lcfast.Add()([side, normal])))
    other = randomised(lcfast.Model(x, lcfast.Add()([normal, side])))
    rows = rows_of(model)
    for each in (model, other):
        assert len(folded(each).folds) == 1
        np.testing.assert_allclose(folded(each)(rows), each(rows), rtol=1e-5, atol=1e-5)


# ---------------------------------------------------------------- the view


def test_load_model_folds_where_it_is_asked_to():
    path = goldens.model_path("conv2d_same_pooling")
    case = goldens.model_case("conv2d_same_pooling")
    model, view = lcfast.load_model(path), lcfast.load_model(path, fold=True)
    assert view.folds == (("conv2d", "batch_normalization"),)
    np.testing.assert_allclose(view.predict(case.x[0]), case.y[0], rtol=1e-5, atol=1e-5)
    for got, expected in zip(view.get_weights(), model.get_weights(), strict=True):
        assert_same_bits(got, expected)


def test_files_configs_gradients_and_the_summary_are_those_of_the_model(tmp_path, capsys):
    model = normalized("local_2d", after=[lcfast.Flatten()])
    view = folded(model)
    view.save(tmp_path / "model.h5")
    again = lcfast.load_model(tmp_path / "model.h5")
    assert type(again) is lcfast.Sequential
    assert again.get_config() == model.get_config() == view.get_config()
    assert view.to_json() == model.to_json()
    x = rows_of(model)
    assert_same_bits(again.predict(x), model.predict(x))
    (y, pull), (y_view, pull_view) = model.vjp(x), view.vjp(x)
    assert_same_bits(y_view, y)
    gradients = zip(pull_view(y)[1], pull(y)[1], strict=True)
    assert all(np.array_equal(a, b) for a, b in gradients)
    model.summary()
    of_model = capsys.readouterr().out
    view.summary()
    assert capsys.readouterr().out.splitlines()[1:] == of_model.splitlines()[1:]


def test_new_weights_of_either_count_for_both():
    model = normalized("local_2d_3")
    view, x = folded(model), rows_of(model)
    before = view.predict(x)
    doubled = [2 * weight for weight in model.layers[0].get_weights()]
    view.layers[0].set_weights(doubled)
    for got, expected in zip(model.layers[0].get_weights(), doubled, strict=True):
        assert_same_bits(got, expected)
    np.testing.assert_allclose(view(x), model(x), rtol=1e-4, atol=1e-4)
    assert not np.array_equal(view(x), before)


def test_the_weights_are_folded_once_and_again_when_they_change():
    model = normalized("dense", after=[Held()])  # its record is a new object in every call
    view, x = folded(model), rows_of(model)
    view.predict(x)
    joined = view._last
    view.predict(x)
    assert view._last is joined
    view.set_weights(view.get_weights())
    view.predict(x)
    assert view._last is not joined


def test_training_is_refused_as_by_the_model():
    model = normalized("dense")
    for each in (model, folded(model)):
        with pytest.raises(ValueError, match="training"):
            each(rows_of(model), training=True)


def test_a_profile_is_of_what_scores():
    model = normalized("local_2d", after=[lcfast.Flatten()])
    view, x = folded(model), rows_of(model)
    profile = Profile(view)
    assert_same_bits(profile.predict(x), view.predict(x))
    assert "BatchNormalization" not in [cost.kind for cost in profile.costs]
    assert "BatchNormalization" in [cost.kind for cost in Profile(model).costs]


def test_a_copy_of_the_view_has_weights_of_its_own():
    model = normalized("dense")
    view, x = folded(model), rows_of(model)
    twin = copy.deepcopy(view)
    assert_same_bits(twin.predict(x), view.predict(x))
    twin.set_weights([0 * weight + 1 for weight in twin.get_weights()])
    assert not np.array_equal(twin.predict(x), view.predict(x))


def test_threads_see_whole_sets_of_weights():
    model = normalized("local_1d")
    view, x = folded(model), rows_of(model)
    sets, answers = [], []
    for seed in (1, 2):
        randomised(model, seed)
        sets.append(model.get_weights())
        answers.append(view.predict(x).tobytes())
    seen, stop = set(), threading.Event()

    def score():
        while not stop.is_set():
            seen.add(view.predict(x).tobytes())

    workers = [threading.Thread(target=score) for _ in range(2)]
    for worker in workers:
        worker.start()
    for i in range(300):
        view.set_weights(sets[i % 2])
    stop.set()
    for worker in workers:
        worker.join()
    assert seen <= set(answers)
    assert seen
