"""A compiled model computes what its layers compute one after the other, to the bit."""

import copy
import pickle
import threading

import numpy as np
import pytest

import lcfast
from lcfast.layers import recurrent_steps
from lcfast.models.compiling import compiled
from lcfast.models.execution import run
from lcfast.models.structure import as_list
from tests.support import goldens
from tests.support.random_models import random_model

ROWS = (1, 3, 17, 70)
RANDOM_MODELS = 1000
AT_ONCE = 25


def by_layers(model, inputs):
    return run(*model.scoring_graph(model.record()), as_list(inputs))


def parts_of(model, inputs):
    graph, records = model.scoring_graph(model.record())
    return compiled(graph, records, [x.shape[1:] for x in as_list(inputs)]).parts


def assert_same_bits(found, expected):
    assert len(found) == len(expected)
    for got, wanted in zip(found, expected, strict=True):
        assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape)
        # The sign of a NaN depends on the order of operands, which compilers choose.
        not_a_number = np.isnan(wanted)
        assert np.array_equal(np.isnan(got), not_a_number)
        assert got[~not_a_number].tobytes() == wanted[~not_a_number].tobytes()


def many_rows(array, rows):
    return np.concatenate([array] * -(-rows // len(array)))[:rows]


@pytest.mark.parametrize("name", [*goldens.MODELS, *goldens.NESTED_MODELS])
def test_a_golden_model_as_a_program_has_the_bits_of_its_layers(name):
    case = goldens.model_case(name)
    model = lcfast.load_model(case.path)
    for rows in ROWS:
        inputs = [many_rows(x, rows) for x in case.x]
        inputs = inputs if len(inputs) > 1 else inputs[0]
        expected = by_layers(model, inputs)
        for threads in (1, 2):
            found = model.predict(inputs, num_threads=threads)
            assert_same_bits(as_list(found), expected)
        assert_same_bits(as_list(model(inputs)), expected)


@pytest.mark.parametrize("first", range(0, RANDOM_MODELS, AT_ONCE))
@np.errstate(all="ignore")  # some models overflow
def test_random_models_have_the_bits_of_their_layers(first, threads_for_any_work):
    programs = 0
    for seed in range(first, first + AT_ONCE):
        try:
            model, inputs = random_model(seed)
        except ValueError:
            continue  # no call was accepted
        for rows in (1, 5, 40):
            x = inputs(rows)
            expected = by_layers(model, x)
            assert_same_bits(as_list(model.predict(x, num_threads=2)), expected)
            assert_same_bits(as_list(model.predict(x, num_threads=1, batch_size=7)), expected)
        programs += any(not isinstance(part, int) for part in parts_of(model, x))
    assert programs > AT_ONCE // 2


def small_model():
    inputs = lcfast.Input((6, 5, 3))
    x = lcfast.LocallyConnected2D(4, (2, 3), activation="relu")(inputs)
    x = lcfast.BatchNormalization()(x)
    return lcfast.Model(inputs, lcfast.Dense(2, activation="softmax")(lcfast.Flatten()(x)))


@pytest.fixture
def x():
    return np.random.default_rng(0).standard_normal((9, 6, 5, 3)).astype(np.float32)


def test_a_whole_model_is_one_program(x):
    (part,) = parts_of(small_model(), x)
    assert not isinstance(part, int)


def test_new_weights_are_used_from_the_next_call_on(x):
    model = small_model()
    before = model.predict(x)
    model.predict(x)  # by the quick path
    model.set_weights([2 * weight for weight in model.get_weights()])
    after = model.predict(x)
    assert not np.array_equal(before, after)
    assert_same_bits([after], by_layers(model, x))
    dense = model.layers[-1]
    dense.set_weights([np.zeros_like(weight) for weight in dense.get_weights()])
    assert (model.predict(x) == 0.5).all()


def test_a_layer_that_defines_call_is_called_between_two_programs(x):
    class Doubled(lcfast.Layer):
        def call(self, inputs):
            return 2 * inputs

    inputs = lcfast.Input((6, 5, 3))
    hidden = Doubled()(lcfast.Activation("tanh")(inputs))
    model = lcfast.Model(inputs, lcfast.Activation("sigmoid")(hidden))
    kinds = [isinstance(part, int) for part in parts_of(model, x)]
    assert kinds == [False, True, False]
    assert_same_bits([model.predict(x)], by_layers(model, x))


def test_a_layer_that_overrides_forward_does_not_use_inherited_steps(x):
    class Shifted(lcfast.ReLU):
        def forward(self, weights, inputs, training=False, out=None):
            return super().forward(weights, inputs) + 1

    inputs = lcfast.Input((6, 5, 3))
    model = lcfast.Model(inputs, Shifted()(inputs))
    assert np.array_equal(model.predict(x), np.maximum(x, 0) + 1)


def test_an_input_returned_as_output_is_a_copy(x):
    inputs = lcfast.Input((6, 5, 3))
    model = lcfast.Model(inputs, lcfast.Flatten()(inputs))
    y = model.predict(x)
    assert not np.shares_memory(x, y)
    assert np.array_equal(y.reshape(x.shape), x)


def test_copies_and_pickles_of_a_model_that_scored_have_programs_of_their_own(x):
    model = small_model()
    expected = model.predict(x)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert_same_bits([twin.predict(x)], [expected])
        twin.set_weights([0 * weight for weight in twin.get_weights()])
        assert (twin.predict(x) == 0.5).all()
        assert_same_bits([model.predict(x)], [expected])


def test_threads_score_one_model_at_once(x):
    model = small_model()
    big = np.concatenate([x] * 40)
    expected = model.predict(big)
    wrong = []

    def score():
        for rows in (360, 1, 7, 360, 20):
            if not np.array_equal(model.predict(big[:rows]), expected[:rows]):
                wrong.append(rows)

    threads = [threading.Thread(target=score) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -0.0])
def test_special_numbers_have_the_bits_of_the_layers(value, x):
    inputs = lcfast.Input((6, 5, 3))
    pooled = [
        lcfast.MaxPooling2D(2)(inputs),
        lcfast.AveragePooling2D(2)(inputs),
        lcfast.MaxPooling2D((3, 2), 1, "same")(inputs),
    ]
    merged = [
        layer([inputs, lcfast.Activation("relu")(inputs)])
        for layer in (lcfast.Maximum(), lcfast.Minimum(), lcfast.Add(), lcfast.Average())
    ]
    model = lcfast.Model(inputs, [*pooled, *merged, lcfast.GlobalMaxPooling2D()(inputs)])
    special = x.copy()
    special[::2, ::2, 1::2] = value
    special[1] = value
    with np.errstate(invalid="ignore"):
        expected = by_layers(model, special)
    assert_same_bits(model.predict(special), expected)


def test_out_is_written_directly_and_checked(x):
    model = small_model()
    out = np.empty((9, 2), np.float32)
    for _ in range(2):
        assert model.predict(x, out=out) is out
        assert_same_bits([out], by_layers(model, x))
    with pytest.raises(ValueError, match="shape"):
        model.predict(x, out=np.empty((8, 2), np.float32))
    with pytest.raises(TypeError, match="dtype"):
        model.predict(x, out=np.empty((9, 2)))


@pytest.mark.parametrize("kind", [lcfast.SimpleRNN, lcfast.LSTM, lcfast.GRU])
@pytest.mark.parametrize("options", [{}, {"return_sequences": True}, {"go_backwards": True}])
def test_a_recurrent_layer_is_recorded_step_by_step(kind, options):
    inputs = lcfast.Input((7, 3))
    model = lcfast.Model(inputs, kind(5, **options)(inputs))
    x = np.random.default_rng(1).standard_normal((11, 7, 3)).astype(np.float32)
    (part,) = parts_of(model, x)
    assert not isinstance(part, int)
    assert_same_bits([model.predict(x)], by_layers(model, x))


def test_a_very_long_sequence_is_not_recorded():
    inputs = lcfast.Input((recurrent_steps.MOST_STEPS + 1, 2))
    model = lcfast.Model(inputs, lcfast.GRU(3)(inputs))
    x = np.ones((2, recurrent_steps.MOST_STEPS + 1, 2), np.float32)
    assert parts_of(model, x) == (0,)
    assert_same_bits([model.predict(x)], by_layers(model, x))


def test_a_model_that_defines_call_uses_it_again_and_again(x):
    class Doubled(lcfast.Model):
        def call(self, inputs):
            return 2 * super().call(inputs)

    base = small_model()
    model = Doubled(base.inputs[0], base.outputs[0])
    model.set_weights(base.get_weights())
    expected = 2 * base.predict(x)
    for _ in range(3):
        assert_same_bits([model(x)], [expected])
        assert_same_bits([model.predict(x)], [expected])
