"""Masks: a graph in which one would change an answer is refused, every other computes."""

import json

import numpy as np
import pytest

import lcfast

MAKERS = {
    "masking": lambda: lcfast.Masking(name="maker", input_shape=(4, 3)),
    "embedding": lambda: lcfast.Embedding(5, 3, mask_zero=True, input_length=4, name="maker"),
}
each_maker = pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)
HAND_ON = [
    *(lcfast.Dense(3), lcfast.Dropout(0.5), lcfast.LayerNormalization(), lcfast.ReLU()),
    *(lcfast.BatchNormalization(), lcfast.SpatialDropout1D(0.5), lcfast.PReLU()),
    *(lcfast.Activation("tanh"), lcfast.ActivityRegularization(0.1), lcfast.GaussianNoise(1)),
]
END = [lcfast.Flatten(), lcfast.Permute((2, 1)), lcfast.Reshape((4, 3)), lcfast.Rescaling(2)]
USERS = [lcfast.GlobalAveragePooling1D, lcfast.Softmax]
by_class = {"ids": lambda value: getattr(value, "__name__", type(value).__name__)}


class Weighted(lcfast.Layer):
    """A layer of a user's that asks for a mask."""

    def call(self, inputs, mask=None):
        return inputs


class Inner(lcfast.Dense):
    """A layer of a user's that is a Dense."""


@each_maker
@pytest.mark.parametrize("user", [*USERS, Weighted], **by_class)
def test_a_layer_that_would_use_a_mask_is_refused(maker, user):
    with pytest.raises(ValueError, match=r"would use the mask that layer maker .* every step"):
        lcfast.Sequential([maker(), user()])


@each_maker
@pytest.mark.parametrize("layer", [*HAND_ON, Inner(2)], **by_class)
def test_a_mask_that_is_handed_on_is_found(maker, layer):
    with pytest.raises(ValueError, match="would use the mask that layer maker"):
        lcfast.Sequential([maker(), copy_of(layer), lcfast.GlobalAveragePooling1D()])


@each_maker
@pytest.mark.parametrize("layer", END, **by_class)
def test_where_a_mask_ends_it_has_no_effect(maker, layer):
    middle = [copy_of(layer), lcfast.Reshape((4, 3)), lcfast.GlobalAveragePooling1D()]
    model = lcfast.Sequential([maker(), *middle])
    assert model.predict(np.zeros((2, *model.input_shape[1:]))).shape == (2, 3)


def copy_of(layer):
    return type(layer).from_config({**layer.get_config(), "name": None})


@each_maker
def test_a_mask_that_nobody_uses_has_no_effect(maker):
    model = lcfast.Sequential([maker(), lcfast.Dense(2), lcfast.Flatten()])
    assert model.predict(np.zeros((2, *model.input_shape[1:]))).shape == (2, 8)


def test_one_masked_input_of_several_is_enough():
    one, other = lcfast.Input((4, 3)), lcfast.Input((4, 3))
    both = lcfast.Add()([other, lcfast.Masking(name="maker")(one)])
    with pytest.raises(ValueError, match="would use the mask that layer maker"):
        lcfast.Model([one, other], lcfast.GlobalAveragePooling1D()(both))
    pooled = lcfast.GlobalAveragePooling1D()(other)
    assert lcfast.Model([one, other], [both, pooled]).built


def test_a_masked_layer_inside_of_another_counts():
    class Wrapped(lcfast.Layer):
        def __init__(self):
            super().__init__()
            self.inner = lcfast.Masking(name="maker")

        def call(self, inputs):
            return self.inner(inputs)

    with pytest.raises(ValueError, match="would use the mask that layer maker"):
        lcfast.Sequential([lcfast.InputLayer((4, 3)), Wrapped(), lcfast.GlobalAveragePooling1D()])


def test_a_file_that_needs_a_mask_is_refused_with_the_reason():
    layers = [
        {"class_name": "Masking", "config": {"name": "maker", "batch_input_shape": [None, 4, 3]}},
        {"class_name": "GlobalAveragePooling1D", "config": {"name": "pool"}},
    ]
    text = json.dumps({"class_name": "Sequential", "config": {"name": "m", "layers": layers}})
    with pytest.raises(lcfast.ModelFileError, match=r"Layer pool .* mask that layer maker"):
        lcfast.model_from_json(text)
