"""Models inside of models: called like layers, shared, with several inputs and outputs."""

import copy
import json

import numpy as np
import pytest

import lcfast
from tests.support import goldens
from tests.support.cases import assert_same_bits, assert_within

LOADED = [name for name in goldens.NESTED_MODELS if name != "inner_and_outer"]
EPS = np.finfo("f4").eps


def as_list(value):
    return value if isinstance(value, list) else [value]


def one_or_all(values):
    return values if len(values) > 1 else values[0]


def assert_near(got, expected):
    assert len(got) == len(expected) > 0
    for one, other in zip(got, expected, strict=True):
        assert_within(one, other, 64 * EPS * max(1, np.abs(other).max()))


def weights_of_golden(name):
    arrays = goldens.arrays(f"model_{name}")
    return [arrays[f"w{i}"] for i in range(sum(key[0] == "w" for key in arrays))]


def tower(name="tower", **options):
    return lcfast.Sequential(
        [
            lcfast.Dense(4, activation="tanh", input_shape=(3,), name="first", **options),
            lcfast.BatchNormalization(name="normal"),
            lcfast.Dense(2, name="last"),
        ],
        name=name,
    )


def two_outputs(name="two"):
    x = lcfast.Input((3,), name=f"{name}_x")
    hidden = lcfast.Dense(4, name=f"{name}_hidden")(x)
    return lcfast.Model(x, [lcfast.ReLU()(hidden), lcfast.Dense(2)(hidden)], name=name)


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype("f4")


def drawn(model, seed=0):
    rng = np.random.default_rng(seed)
    model.set_weights([rng.uniform(0.2, 1, w.shape) for w in model.get_weights()])
    return model


# ---------------------------------------------------------------- what tf_keras saved


@pytest.mark.parametrize("name", LOADED)
def test_a_loaded_model_computes_what_keras_does_both_ways(name):
    case = goldens.model_case(name)
    model = lcfast.load_model(case.path)
    y, pullback = model.vjp(one_or_all(case.x))
    dx, dweights = pullback(one_or_all(case.dy))
    assert_near(as_list(y), case.y)
    assert_near(as_list(dx), case.dx)
    assert_near(dweights, case.dweights)
    for one, other in zip(as_list(model(one_or_all(case.x))), as_list(y), strict=True):
        assert_same_bits(one, other)


@pytest.mark.parametrize("name", LOADED)
def test_a_loaded_model_has_the_weights_of_keras_in_its_order(name):
    case = goldens.model_case(name)
    model = lcfast.load_model(case.path)
    expected = weights_of_golden(name)
    assert len(model.get_weights()) == len(expected)
    for one, other in zip(model.get_weights(), expected, strict=True):
        assert_same_bits(one, other)
    assert model.count_params() == case.params


@pytest.mark.parametrize("name", LOADED)
def test_the_answer_does_not_depend_on_the_batch(name):
    model = lcfast.load_model(goldens.model_path(name))
    x = [random(17, *tensor.shape[1:], seed=i) for i, tensor in enumerate(model.inputs)]
    whole = as_list(model.predict(one_or_all(x)))
    for size in (1, 3):
        for got, expected in zip(
            as_list(model.predict(one_or_all(x), batch_size=size)), whole, strict=True
        ):
            assert_same_bits(got, expected)


def test_a_layer_inside_and_outside_has_its_weights_once():
    case = goldens.model_case("inner_and_outer")
    common = lcfast.Dense(3, activation="tanh", name="common")
    a = lcfast.Input((3,), name="a")
    inner = lcfast.Model(a, lcfast.Dense(3)(common(a)), name="inner")
    x = lcfast.Input((3,), name="x")
    model = lcfast.Model(x, lcfast.Add()([inner(x), common(x)]))
    weights = weights_of_golden("inner_and_outer")
    assert len(model.get_weights()) == len(weights) == 4
    model.set_weights(weights)
    assert model.count_params() == case.params
    y, pullback = model.vjp(case.x[0])
    dx, dweights = pullback(case.dy[0])
    assert_near([y, dx, *dweights], [*case.y, *case.dx, *case.dweights])


def test_a_file_with_a_layer_inside_and_outside_holds_it_twice_as_for_keras():
    case = goldens.model_case("inner_and_outer")
    model = lcfast.load_model(case.path)
    assert_near([model(case.x[0])], case.y)
    assert len(model.get_weights()) == 6  # so has the one that tf_keras loads


# ---------------------------------------------------------------- made by hand


def test_a_sequential_in_a_sequential_computes_what_the_flat_one_does():
    flat, inner = drawn(tower("flat")), tower()
    model = lcfast.Sequential([inner, lcfast.Dense(2, name="end")])
    assert model.input_shape == (None, 3)
    end = [random(2, 2), random(2)]
    model.set_weights([*flat.get_weights(), *end])
    flat.add(lcfast.Dense(2, name="end", weights=end))
    x, dy = random(5, 3), random(5, 2, seed=1)
    (y, pullback), (flat_y, flat_pullback) = model.vjp(x), flat.vjp(x)
    assert_same_bits(y, flat_y)
    for got, expected in zip(
        [pullback(dy)[0], *pullback(dy)[1]], [flat_pullback(dy)[0], *flat_pullback(dy)[1]],
        strict=True,
    ):  # fmt: skip
        assert_same_bits(got, expected)


def test_a_sequential_without_a_shape_is_built_by_its_call():
    inner = lcfast.Sequential([lcfast.Dense(2)], name="inner")
    y = inner(lcfast.Input((3,)))
    assert (y.shape, inner.input_shape, inner.built) == ((None, 2), (None, 3), True)
    late = lcfast.Sequential([lcfast.Sequential([lcfast.Dense(2)]), lcfast.Dense(1)])
    assert late(np.ones((4, 3))).shape == (4, 1)


def test_a_model_with_several_outputs_gives_a_list_of_symbolic_tensors():
    model = drawn(two_outputs())
    x = lcfast.Input((3,))
    left, right = model(x)
    assert (left.shape, right.shape) == ((None, 4), (None, 2))
    assert model.get_output_at(1) == [left, right]
    assert model.get_output_shape_at(1) == [(None, 4), (None, 2)]
    outer = lcfast.Model(x, [right, lcfast.Dense(1)(left)])
    rows = random(4, 3)
    assert_same_bits(outer(rows)[0], model(rows)[1])
    assert outer.output_shape == [(None, 2), (None, 1)]


def test_an_output_that_nobody_uses_has_no_gradient():
    model = drawn(two_outputs())
    x = lcfast.Input((3,))
    outer = lcfast.Model(x, model(x)[0])
    rows, dy = random(4, 3), random(4, 4, seed=1)
    dx, dweights = outer.vjp(rows)[1](dy)
    dx_of_both, of_both = model.vjp(rows)[1]([dy, np.zeros((4, 2))])
    assert_same_bits(dx, dx_of_both)
    for got, expected in zip(dweights, of_both, strict=True):
        assert_same_bits(got, expected)


def test_a_model_passes_on_to_one_of_another_dtype():
    inner = lcfast.Sequential([lcfast.Dense(2, dtype="float64", input_shape=(3,))], name="inner")
    x = lcfast.Input((3,))
    model = lcfast.Model(x, lcfast.Dense(1)(inner(x)))
    rows = random(4, 3)
    last = model.layers[-1]
    assert_same_bits(model(rows), last(inner(rows)))
    assert model.vjp(rows)[1](np.ones((4, 1)))[0].dtype == np.float32


def test_a_model_is_called_on_a_dict_by_the_names_of_its_inputs():
    a, b = lcfast.Input((3,), name="a"), lcfast.Input((2,), name="b")
    model = lcfast.Model([b, a], lcfast.Concatenate()([lcfast.Dense(2)(a), b]))
    rows = {"a": random(4, 3), "b": random(4, 2)}
    expected = model([rows["b"], rows["a"]])
    assert_same_bits(model(rows), expected)
    assert_same_bits(model.predict(rows, batch_size=3), expected)
    assert_same_bits(model.vjp(rows)[0], expected)
    symbolic = {"a": lcfast.Input((3,)), "b": lcfast.Input((2,))}
    assert model(symbolic).shape == (None, 4)
    one = lcfast.Model(a, lcfast.ReLU()(a))
    assert_same_bits(one({"a": rows["a"]}), one(rows["a"]))


def test_a_model_is_made_with_a_dict_of_inputs_in_the_order_of_the_names():
    a, b = lcfast.Input((3,), name="a"), lcfast.Input((2,), name="b")
    model = lcfast.Model({"b": b, "a": a}, lcfast.Concatenate()([a, b]))
    assert [tensor.name for tensor in model.inputs] == ["a", "b"]
    with pytest.raises(ValueError, match=r"input a .* the key 'c'"):
        lcfast.Model({"c": a}, lcfast.ReLU()(a))


@pytest.mark.parametrize("keys", [(), ("a",), ("a", "c"), ("a", "b", "c")], ids=str)
def test_a_dict_must_have_the_names_of_the_inputs(keys):
    a, b = lcfast.Input((3,), name="a"), lcfast.Input((3,), name="b")
    model = lcfast.Model([a, b], lcfast.Add()([a, b]))
    given = dict.fromkeys(keys, np.ones((1, 3)))
    with pytest.raises(ValueError, match="takes a dict of the inputs a, b"):
        model(given)
    with pytest.raises(ValueError, match="takes a dict of the inputs a, b"):
        model.predict(given)


def test_a_model_with_a_call_of_its_own_is_called_by_it():
    class Halved(lcfast.Sequential):
        def call(self, inputs):
            return super().call(inputs) / 2

    inner = Halved([lcfast.Dense(2, input_shape=(3,))], name="halved")
    model = lcfast.Sequential([inner])
    x = random(4, 3)
    assert_same_bits(model(x), inner.layers[0](x) / 2)
    assert len(model.get_weights()) == 2


# ---------------------------------------------------------------- weights


def test_set_weights_is_all_or_nothing():
    model = lcfast.Sequential([tower(), lcfast.Dense(2)])
    before = model.get_weights()
    with pytest.raises(ValueError, match="expects 10 weights, but 9 were given"):
        model.set_weights(before[:-1])
    with pytest.raises(ValueError, match="has shape"):
        model.set_weights([*before[:-1], np.ones(7)])
    for got, expected in zip(model.get_weights(), before, strict=True):
        assert_same_bits(got, expected)


def test_a_record_of_a_model_is_one_whole_set_of_weights():
    model = drawn(lcfast.Sequential([tower(), lcfast.Dense(2)]))
    x = random(3, 3)
    record, before = model.record(), model(x)
    model.layers[0].set_weights([w * 0 for w in model.layers[0].get_weights()])
    assert_same_bits(model.forward(record, x), before)
    assert not np.array_equal(model(x), before)


def test_what_is_frozen_inside_is_frozen_outside():
    inner = tower()
    model = lcfast.Sequential([inner, lcfast.Dense(2, name="end")])
    names = [weight.name for weight in model.trainable_weights]
    assert names[:4] == ["first/kernel:0", "first/bias:0", "normal/gamma:0", "normal/beta:0"]
    inner.trainable = False
    assert [weight.name for weight in model.trainable_weights] == ["end/kernel:0", "end/bias:0"]
    assert len(model.weights) == len(model.get_weights()) == 10
    assert len(model.vjp(random(2, 3))[1](np.ones((2, 2)))[1]) == 2
    assert len(model.non_trainable_weights) == 8


def test_a_deep_copy_has_models_of_its_own():
    shared = drawn(tower())
    x, y = lcfast.Input((3,)), lcfast.Input((3,))
    model = lcfast.Model([x, y], lcfast.Add()([shared(x), shared(y)]))
    twin = copy.deepcopy(model)
    rows = [random(4, 3), random(4, 3, seed=1)]
    before = model(rows)
    assert_same_bits(twin(rows), before)
    assert twin.get_layer("tower") is not shared
    twin.set_weights([w * 0 for w in twin.get_weights()])
    assert_same_bits(model(rows), before)
    assert len(twin.get_weights()) == len(model.get_weights()) == 8


def test_the_summary_lists_a_model_as_one_layer():
    lines = []
    inner = two_outputs()
    x = lcfast.Input((3,))
    lcfast.Model(x, inner(x)).summary(print_fn=lines.append)
    row = next(line for line in lines if line.startswith("two (Model)"))
    assert "[(None, 4), (None, 2)]" in row
    assert " 26 " in row


# ---------------------------------------------------------------- regularizers and losses


def test_the_regularizers_of_a_model_inside_count():
    options = {"kernel_regularizer": "l2", "activity_regularizer": "l1"}
    inner, flat = drawn(tower(**options)), drawn(tower("flat", **options))
    model = lcfast.Sequential([inner], name="outer")
    x = random(5, 3)
    model(x)
    flat(x)
    assert model.losses == flat.losses
    assert len(model.losses) == 2
    for got, expected in zip(
        model.regularization_gradients(x), flat.regularization_gradients(x), strict=True
    ):
        assert_same_bits(got, expected)


def test_dropout_inside_knows_that_it_is_called_for_training():
    inner = lcfast.Sequential([lcfast.Dropout(0.5, input_shape=(3,))])
    model = lcfast.Sequential([inner])
    with pytest.raises(ValueError, match="was called with training=True"):
        model(np.ones((1, 3)), training=True)


# ---------------------------------------------------------------- what is refused


def test_inputs_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"takes 1 inputs\. Received: 2"):
        tower()([lcfast.Input((3,)), lcfast.Input((3,))])
    with pytest.raises(ValueError, match=r"The input first_input of model tower has shape"):
        tower()(lcfast.Input((4,)))
    with pytest.raises(ValueError, match=r"has shape \(None, None\); expected \(None, 3\)"):
        tower()(lcfast.Input((None,)))


def test_several_outputs_do_not_fit_into_a_chain():
    with pytest.raises(ValueError, match="should have a single output; two has 2"):
        lcfast.Sequential([two_outputs()])


def test_a_chain_that_is_part_of_a_model_keeps_its_layers():
    inner = tower()
    lcfast.Sequential([inner])
    with pytest.raises(ValueError, match="Model tower is part of another model"):
        inner.add(lcfast.Dense(1))
    with pytest.raises(ValueError, match="Model tower is part of another model"):
        inner.pop()
    assert len(inner.layers) == 3


def test_a_model_does_not_begin_at_one_of_two_outputs():
    x = lcfast.Input((3,))
    left, right = two_outputs()(x)
    with pytest.raises(ValueError, match="begins at some of the outputs of two; give all of them"):
        lcfast.Model(left, lcfast.ReLU()(left))
    assert lcfast.Model([left, right], lcfast.Dense(1)(right)).input_shape == [(None, 4), (None, 2)]


def test_models_that_double_level_by_level_end_in_a_sentence(monkeypatch):
    monkeypatch.setattr(lcfast.models.graph, "MOST_CALLS", 1000)

    def doubled(levels):
        x = lcfast.Input((1,))
        inner = doubled(levels - 1) if levels else lcfast.ReLU()
        return lcfast.Model(x, inner(inner(x)))

    assert len(doubled(6).graph_of_layers().steps) == 2**7
    with pytest.raises(ValueError, match="more than 1,000 calls of layers"):
        doubled(50)


# ---------------------------------------------------------------- configs


def dense(name, **config):
    return {"class_name": "Dense", "config": {"name": name, "units": 2, **config}}


def chain(name, *layers):
    return {"class_name": "Sequential", "config": {"name": name, "layers": list(layers)}}


def refused(config):
    with pytest.raises(lcfast.ModelFileError) as caught:
        lcfast.model_from_json(json.dumps(config))
    return str(caught.value)


def test_a_config_of_keras_2_1_holds_a_list_inside_of_a_list():
    inner = [dense("a", batch_input_shape=[None, 3]), dense("b")]
    entry = {"class_name": "Sequential", "config": inner, "name": "inner"}
    config = {"class_name": "Sequential", "config": [entry, dense("c")]}
    model = lcfast.model_from_json(json.dumps(config))
    assert [layer.name for layer in model.layers] == ["inner", "c"]
    assert (model.input_shape, model.count_params()) == ((None, 3), 20)


def test_a_config_with_a_dict_of_inputs_is_read_in_the_order_of_its_keys():
    def layer(name, kind, sources, **config):
        nodes = [[[source, 0, 0, {}] for source in sources]] if sources else []
        config = {"name": name, **config}
        return {"class_name": kind, "config": config, "name": name, "inbound_nodes": nodes}

    inputs = {name: {"batch_input_shape": [None, size]} for name, size in (("a", 3), ("b", 2))}
    layers = [layer(name, "InputLayer", (), **config) for name, config in inputs.items()]
    layers.append(layer("join", "Concatenate", ("a", "b"), axis=-1))
    references = {"b": ["b", 0, 0], "a": ["a", 0, 0]}
    config = {"layers": layers, "input_layers": references, "output_layers": [["join", 0, 0]]}
    model = lcfast.model_from_json(json.dumps({"class_name": "Functional", "config": config}))
    rows = {"a": random(2, 3), "b": random(2, 2)}
    assert_same_bits(model(rows), np.concatenate([rows["a"], rows["b"]], axis=1))


def test_models_made_from_json_have_new_weights_inside_too():
    text = json.dumps(chain("outer", chain("inner", dense("a", batch_input_shape=[None, 3]))))
    first, second = lcfast.model_from_json(text), lcfast.model_from_json(text)
    assert not np.array_equal(first.get_weights()[0], second.get_weights()[0])


def test_every_problem_inside_is_listed():
    message = refused(
        chain("outer", chain("inner", dense("a", colour="red")), dense("b", colour="red"))
    )
    assert "2 problems" in message
    assert "layer 'a' (Dense)" in message
    assert "layer 'b' (Dense)" in message


def test_a_model_inside_that_cannot_be_made_is_named():
    start = dense("a", batch_input_shape=[None, 3])
    assert "model 'inner':" in refused(chain("outer", chain("inner", start, start)))
    no_layers = {"class_name": "Functional", "config": {"name": "inner"}}
    assert "model 'inner' has no list of layers" in refused(chain("outer", no_layers))


@pytest.mark.parametrize("levels", [51, 300, 5000])
def test_models_inside_of_models_without_end_are_refused(levels):
    text = json.dumps(dense("a", batch_input_shape=[None, 3]))
    config = '{"class_name": "Sequential", "config": {"layers": [%s]}}'
    head, tail = config.split("%s")
    with pytest.raises(lcfast.ModelFileError, match=r"more than 50 levels deep|too deeply"):
        lcfast.model_from_json(head * (levels + 1) + text + tail * (levels + 1))
    assert lcfast.model_from_json(head * 40 + text + tail * 40).output_shape == (None, 2)
