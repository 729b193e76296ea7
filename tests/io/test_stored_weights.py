"""Weights that stay in their file until one is asked for."""

import copy
import os
import pickle
import shutil

import numpy as np
import pytest

import lcfast
from lcfast import ModelFileError
from tests.support import goldens

FILES = {
    "model_sequential_1d.h5": "dense/dense/kernel:0",
    "container_sequential.keras": "layers/dense/vars/0",
    "container_sequential.weights.h5": "layers/dense/vars/0",
    "container_weights_network-0.npz": "array_10",
}


@pytest.fixture(params=FILES)
def path(request, tmp_path):
    return shutil.copy(goldens.DIRECTORY / request.param, tmp_path / request.param)


@pytest.fixture
def name(path):
    return FILES[path.name]


def test_weights_are_as_a_dict_is(path, name):
    weights = lcfast.read_weights(path)
    everything = dict(weights)
    assert list(weights) == list(everything) == list(weights.keys())
    assert len(weights) == len(everything) > 0
    assert name in weights
    assert "nothing" not in weights
    assert weights.get("nothing") is None
    for (key, value), array in zip(weights.items(), weights.values(), strict=True):
        np.testing.assert_array_equal(value, everything[key], strict=True)
        np.testing.assert_array_equal(array, everything[key], strict=True)
    with pytest.raises(KeyError, match="nothing"):
        weights["nothing"]


def test_shapes_are_known_before_an_array_is_read(path, name):
    weights = lcfast.read_weights(path)
    assert weights.shapes == {key: array.shape for key, array in weights.items()}
    assert f"'{name}': {weights[name].shape}" in repr(weights)


def test_an_array_is_the_readers_own(path, name):
    weights = lcfast.read_weights(path)
    first = weights[name]
    assert first.flags.writeable
    assert first.flags.c_contiguous
    first[...] = 7
    assert not (weights[name] == 7).any()


def test_the_file_is_not_held_open(path, name):
    weights = lcfast.read_weights(path)
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    arrays = [weights[name] for _ in range(3)]
    assert len(arrays) == 3
    if before:
        assert len(os.listdir("/proc/self/fd")) == before
    os.remove(path)
    with pytest.raises(FileNotFoundError):
        weights[name]


def test_a_file_that_has_changed_is_not_read_on(path, name):
    weights = lcfast.read_weights(path)
    content = path.read_bytes()
    path.write_bytes(content + b"more")
    with pytest.raises(ModelFileError, match="has changed since its weights were listed"):
        weights[name]


def test_weights_can_be_copied_and_sent(path, name):
    weights = lcfast.read_weights(path)
    for twin in (copy.deepcopy(weights), pickle.loads(pickle.dumps(weights))):
        np.testing.assert_array_equal(twin[name], weights[name], strict=True)
