"""Losses: their order and when they are replaced; the values are those of tf_keras 2.21."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import lcfast

X = np.ones((4, 6, 1), "f4")


def layer(**options):
    local = lcfast.LocallyConnected1D(
        2, 3, name="lc", kernel_regularizer="l2", bias_regularizer="l1", activity_regularizer="l2",
        weights=[np.ones((4, 3, 2)), np.ones((4, 2))], **options,
    )  # fmt: skip
    local.build((None, 6, 1))
    return local


def close(losses, expected):
    np.testing.assert_allclose(losses, expected, rtol=1e-6)


@pytest.mark.member("losses", "kernel_regularizer=", "bias_regularizer=", "activity_regularizer=")
def test_the_losses_of_a_layer_are_those_of_keras_in_its_order():
    local = layer()
    close(local.losses, [0.24, 0.08])
    local(X)
    close(local.losses, [1.28, 0.24, 0.08])
    local(2 * X[:2])  # replaces that of the call before
    close(local.losses, [3.92, 0.24, 0.08])
    assert all(type(loss) is float for loss in local.losses)


def test_vjp_is_a_call_and_predict_and_symbolic_calls_are_none():
    local = layer()
    local(lcfast.Input((6, 1)))
    assert len(local.losses) == 2
    local.vjp(X)
    close(local.losses, [1.28, 0.24, 0.08])
    model = lcfast.Sequential([lcfast.InputLayer((6, 1)), local])
    model.predict(7 * X)
    close(local.losses, [1.28, 0.24, 0.08])


def test_a_layer_that_is_not_built_has_no_losses():
    assert lcfast.LocallyConnected1D(2, 3, kernel_regularizer="l2").losses == []


def test_a_layer_that_is_not_trained_has_its_losses():
    local = layer(trainable=False)
    local(X)
    close(local.losses, [1.28, 0.24, 0.08])


def test_the_activity_loss_of_an_empty_batch_is_zero():
    local = layer()
    local(X[:0])
    close(local.losses, [0, 0.24, 0.08])


def test_the_loss_of_a_call_belongs_to_its_thread():
    local = layer()
    local(X)
    with ThreadPoolExecutor(1) as pool:
        assert len(pool.submit(lambda: local.losses).result()) == 2
        pool.submit(local, 2 * X).result()
        close(pool.submit(lambda: local.losses).result()[0], 3.92)
    close(local.losses, [1.28, 0.24, 0.08])


@pytest.mark.member("activity_regularizer")
def test_the_activity_regularizer_may_be_set_later():
    local = lcfast.ReLU()
    assert local.activity_regularizer is None
    local.activity_regularizer = "l2"
    assert local.activity_regularizer == lcfast.regularizers.L2()
    local(np.full((2, 3), 2.0))
    close(local.losses, [0.12])


@pytest.mark.member("add_loss")
def test_numbers_and_callables_are_added_and_callables_are_called_each_time():
    local, value = layer(), [7.0]
    local.add_loss(np.float32(3))
    local.add_loss([lambda: value[0], np.array(9.0), None])
    close(local.losses, [0.24, 0.08, 3, 7, 9])
    value[0] = 8
    local(X)
    close(local.losses, [1.28, 0.24, 0.08, 3, 8, 9])


@pytest.mark.parametrize(
    "loss", ["a", np.ones(2), object(), 1j, {}], ids=["text", "array", "object", "complex", "dict"]
)
def test_a_loss_that_is_no_number_is_refused(loss):
    with pytest.raises(TypeError, match="A loss must be a number, an array without axes, or a"):
        layer().add_loss(loss)


@pytest.mark.member("get_losses_for")
def test_losses_are_told_apart_by_what_they_depend_on():
    local = layer()
    local(X)
    local.add_loss(5, inputs=X)
    local.add_loss(6)
    close(local.get_losses_for(X), [1.28, 5])
    close(local.get_losses_for(None), [0.24, 0.08, 6])
    assert local.get_losses_for(X.copy()) == []


class Adding(lcfast.Layer):
    """The layer of the probe that gave the order: it adds a loss, and has a regularized part."""

    def __init__(self, **options):
        super().__init__(**options)
        ones = {"kernel_initializer": "ones", "use_bias": False}
        self.part = lcfast.Dense(2, kernel_regularizer="l2", activity_regularizer="l1", **ones)

    def call(self, inputs):
        self.add_loss(inputs.sum())
        return self.part(inputs)


def test_what_call_adds_comes_first_and_the_next_call_replaces_it():
    adding = Adding(activity_regularizer="l2")
    for _ in range(2):
        adding(np.ones((2, 3)))
        # tf_keras: what call added, the activity, then those of the part
        close(adding.losses, [6, 0.01 * 36 / 2, 0.01 * 12 / 2, 0.01 * 6])
    close(adding.part.losses, [0.06, 0.06])


def test_the_losses_of_a_model_are_those_of_its_layers_in_order():
    model = lcfast.Sequential([lcfast.InputLayer((3,)), Adding(), lcfast.ReLU()])
    model.layers[1].activity_regularizer = "l1"
    close(model.losses, [0.06])
    x = np.ones((2, 3))
    model(x)
    close(model.losses, [6, 0.06, 0.06, 0.06])
    close(model.get_losses_for(x), [6, 0.06, 0.06])
    model.predict(5 * x)
    close(model.losses, [6, 0.06, 0.06, 0.06])


def test_a_layer_that_a_model_calls_twice_has_two_activity_losses():
    x = lcfast.Input((3,))
    relu = lcfast.ReLU(activity_regularizer="l1")
    model = lcfast.Model(x, relu(relu(x)))
    model(np.ones((1, 3)))
    close(model.losses, [0.03, 0.03])


@pytest.mark.member("add_update", "updates", "get_updates_for")
def test_updates_are_accepted_and_not_kept():
    local = layer()
    assert local.add_update([1, object()], inputs=X) is None
    assert local.updates == local.get_updates_for(None) == local.get_updates_for(X) == []


def test_a_batch_without_a_reference_is_not_kept_alive():
    import weakref

    local, x = layer(), X.copy()
    local(x)
    kept = weakref.ref(x)
    del x
    assert kept() is None
