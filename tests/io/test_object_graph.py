"""The graph of objects in a checkpoint: names, optimizers, layers, and what is no graph."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lcfast.errors import ModelFileError
from lcfast.io.checkpoint import open_weights
from tests.support.checkpoint_files import (
    GRAPH,
    STRING,
    entry,
    field,
    string,
    tracked_object,
    write_arrays,
    write_checkpoint,
)

NUMBERS = np.array([1.5, -2, 0, np.nan], np.float32)
DATA = NUMBERS.tobytes()


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    return tmp_path / "weights"


def read_weights(path):
    with open_weights(path) as file:
        return file.arrays


def layers_of(prefix):
    with open_weights(prefix) as file:
        return list(file.find_layers().values()), file.order


def refusal(prefix: str, read: Callable = read_weights) -> str:
    """The one sentence that reading ends in, without the file it begins with."""
    with pytest.raises(ModelFileError) as caught:
        read(prefix)
    return str(caught.value).partition(": ")[2]


def weight_names(prefix: Path, keys: list[str], objects: list[bytes]) -> list[str]:
    weights = read_weights(write_arrays(prefix, dict.fromkeys(keys, NUMBERS), objects))
    for name in weights:
        np.testing.assert_array_equal(weights[name], NUMBERS)
    return list(weights)


def key_of(name: str) -> str:
    return f"{name}/.ATTRIBUTES/VARIABLE_VALUE"


def test_a_name_that_two_variables_have_gives_way_to_their_keys(prefix):
    keys = [key_of(f"variables/{number}") for number in range(4)]
    objects = [
        tracked_object({"a": 1, "b": 2, "c": 3, "d": 4}),
        tracked_object(key=keys[0], name="dense/kernel"),
        tracked_object(key=keys[1], name="dense/kernel"),
        tracked_object(key=keys[2], name="dense/bias"),
        tracked_object(key=keys[3]),
    ]
    expected = ["variables/0", "variables/1", "dense/bias", "variables/3"]
    assert weight_names(prefix, keys, objects) == expected


def test_no_variable_is_lost_however_names_and_keys_clash(prefix):
    keys = ["a", key_of("a"), "b"]
    objects = [
        tracked_object({"x": 1, "y": 2, "z": 3}),
        tracked_object(key=keys[0], name="b"),
        tracked_object(key=keys[1], name="b"),
        tracked_object(key=keys[2], name=keys[1]),
    ]
    assert weight_names(prefix, keys, objects) == keys


def test_a_name_that_is_the_key_of_another_variable_gives_way(prefix):
    keys = [key_of("a"), key_of("b")]
    objects = [
        tracked_object({"a": 1, "b": 2}),
        tracked_object(key=keys[0], name="b"),
        tracked_object(key=keys[1], name="b2"),
    ]
    assert weight_names(prefix, keys, objects) == ["a", "b2"]


@pytest.mark.parametrize("state", ["iter", "_iterations"])
def test_an_optimizer_is_left_out_whatever_it_is_called_but_not_the_weights_it_holds(prefix, state):
    keys = [key_of(name) for name in ("opt/weights/0", "opt/m/0", f"opt/{state}", "save_counter")]
    objects = [
        tracked_object({"opt": 1, "save_counter": 5, "model": 6}),
        tracked_object({state: 4, "weights": 7, "m": 8}),
        tracked_object(key=keys[0], name="kernel"),
        tracked_object(key=keys[1], name="m"),
        tracked_object(key=keys[2], name="step"),
        tracked_object(key=keys[3], name="save_counter"),
        tracked_object({"kernel": 2}),
        tracked_object({"0": 2}),
        tracked_object({"0": 3}),
    ]
    assert weight_names(prefix, keys, objects) == ["kernel"]


def test_objects_may_hold_each_other(prefix):
    key = key_of("a")
    objects = [
        tracked_object({"root": 0, "layer_with_weights-0": 1}),
        tracked_object({"above": 0, "itself": 1, "a": 2, "again": 2}),
        tracked_object({"above": 1}, key=key, name="a"),
    ]
    assert weight_names(prefix, [key], objects) == ["a"]
    assert layers_of(str(prefix))[0] == [("a",)]


def test_objects_may_be_held_as_deeply_as_they_like(prefix):
    key, depth = key_of("a"), 20_000
    chain = [tracked_object({"next": number + 1}) for number in range(depth)]
    objects = [*chain, tracked_object(key=key, name="a")]
    assert weight_names(prefix, [key], objects) == ["a"]


@pytest.mark.parametrize("number", [1, 2**31, 2**64 - 1])
def test_an_object_that_is_not_there_is_refused(prefix, number):
    place = write_arrays(prefix, {}, [tracked_object({"a": number})])
    assert f"has an object whose 'a' is the missing object {number}" in refusal(place)


def test_a_variable_without_its_entry_is_refused(prefix):
    place = write_arrays(prefix, {}, [tracked_object({"a": 1}), tracked_object(key="a", name="a")])
    assert refusal(place).startswith("lacks the entry 'a' of one of its variables;")


@pytest.mark.parametrize("listed", [{"0": 3, "2": 3}, {"0": 1}, {"x": 3}])
def test_a_list_of_variables_that_is_none_is_refused(prefix, listed):
    objects = [
        tracked_object({"layer_with_weights-0": 1}),
        tracked_object({"variables": 2}),
        tracked_object(listed),
        tracked_object(key="a"),
    ]
    place = write_arrays(prefix, {"a": NUMBERS}, objects)
    assert "has a list of variables " in refusal(place, layers_of)


def graph_refusal(prefix: Path, text: bytes, crc: int | None = None) -> str:
    stored, right = string(text)
    written = entry(stored, (), type_number=STRING, crc=right if crc is None else crc)
    return refusal(write_checkpoint(prefix, {GRAPH: written}, stored))


def test_a_graph_without_objects_is_refused(prefix):
    assert graph_refusal(prefix, b"").startswith("has an empty graph of objects")
    assert graph_refusal(prefix, b"\xff").startswith("the number at byte 0 of a message or table")


def test_a_graph_is_checked_by_its_checksum(prefix):
    found = graph_refusal(prefix, field(1, tracked_object()), crc=1)
    assert found.startswith(f"its entry {GRAPH} does not have the checksum of the index;")


@pytest.mark.parametrize(
    ("written", "found"),
    [
        (entry(DATA, (4,)), "is not one string"),
        (entry(DATA, (1,), type_number=STRING), "is not one string"),
        (entry(b"\x05", (), type_number=STRING), "has a wrong length"),
        (entry(b"\xff" * 16, (), type_number=STRING), "does not end, or is too large"),
        (entry(b"", (), type_number=STRING), "does not end, or is too large"),
    ],
)
def test_a_graph_that_is_no_text_is_refused(prefix, written, found):
    data = b"\xff" * 16 if "too large" in found else b"\x05" + DATA
    place = write_checkpoint(prefix, {GRAPH: written}, data)
    assert found in refusal(place)
