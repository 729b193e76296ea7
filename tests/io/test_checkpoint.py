"""Checkpoints of TensorFlow: what is read of its own, and what is refused of anything else."""

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import lcfast
from lcfast.errors import ModelFileError
from lcfast.io.checkpoint import is_checkpoint, open_weights, read_model
from tests.support.checkpoint_files import (
    FLOAT32,
    STRING,
    entry,
    field,
    header,
    message,
    shape_of,
    table,
    tracked_object,
    write_arrays,
    write_checkpoint,
)
from tests.support.goldens import DIRECTORY, arrays

BY_OBJECTS = DIRECTORY / "checkpoint_sequential" / "weights"
BY_NAMES = DIRECTORY / "checkpoint_by_names" / "model"
NUMBERS = np.array([1.5, -2, 0, np.nan], np.float32)
DATA = NUMBERS.tobytes()


def golden_weights(model: str) -> dict[str, np.ndarray]:
    start = f"{model}/weight/"
    found = {key.removeprefix(start): a for key, a in arrays("checkpoints").items() if start in key}
    assert found
    return found


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    return tmp_path / "weights"


def read_weights(path):
    with open_weights(path) as file:
        return file.arrays


def layers_of(prefix):
    with open_weights(prefix) as file:
        return list(file.find_layers().values()), file.order


def refusal(prefix: Path | str, read: Callable = read_weights) -> str:
    """The one sentence that reading ends in, without the file it begins with."""
    with pytest.raises(ModelFileError) as caught:
        dict(read(str(prefix)))
    path, _, sentence = str(caught.value).partition(": ")
    assert path.startswith(f"{prefix}.")
    assert "\n" not in sentence
    return sentence


def refusal_of(prefix: Path, written: bytes, data: bytes = DATA) -> str:
    """What reading a checkpoint with this one entry ends in."""
    return refusal(write_checkpoint(prefix, {"w": written}, data))


# ---------------------------------------------------------------- what TensorFlow wrote


def test_a_checkpoint_of_keras_gives_its_weights_by_their_names_and_nothing_of_the_optimizer():
    weights, expected = read_weights(str(BY_OBJECTS)), golden_weights("sequential")
    assert list(weights) == list(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(weights[name], array, strict=True)


def test_a_checkpoint_of_tensorflow_1_gives_its_weights_by_their_names():
    weights, every = read_weights(str(BY_NAMES)), golden_weights("by_names")
    left_out = set(every) - set(weights)
    assert left_out == {
        "beta1_power",
        "beta2_power",
        "global_step",
        *(f"dense/{name}/{slot}" for name in ("kernel", "bias") for slot in ("Adam", "Adam_1")),
    }
    assert "dense/kernel/ExponentialMovingAverage" in weights
    assert len(weights) == 9
    for name, array in weights.items():
        np.testing.assert_array_equal(array, every[name], strict=True)


def test_bfloat16_comes_as_the_same_numbers_in_float32_and_float16_stays():
    weights = read_weights(str(BY_NAMES))
    assert weights["short"].dtype == np.float32
    np.testing.assert_array_equal(weights["short"][[0, 1, 3]], [1.0, -0.15625, 0.0])
    assert weights["half"].dtype == np.float16


def test_layers_have_their_weights_in_the_order_of_get_weights():
    kernel_and_bias = [
        (f"{name}/kernel", f"{name}/bias") for name in ("locally_connected1d", "dense")
    ]
    normalization = tuple(
        f"batch_normalization/{name}"
        for name in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    expected = [kernel_and_bias[0], normalization, kernel_and_bias[1]]
    assert layers_of(str(BY_OBJECTS)) == (expected, "layer by layer")
    assert layers_of(str(BY_NAMES))[0] == []


def test_a_prefix_is_known_by_its_index(tmp_path):
    assert is_checkpoint(BY_OBJECTS)
    assert is_checkpoint(str(BY_NAMES))
    assert not is_checkpoint(f"{BY_OBJECTS}.index")
    assert not is_checkpoint(tmp_path)
    (tmp_path / "model.h5").touch()
    (tmp_path / "model.h5.index").touch()
    assert not is_checkpoint(tmp_path / "model.h5")
    os.mkfifo(tmp_path / "pipe.index")
    assert not is_checkpoint(tmp_path / "pipe")


def test_the_list_that_tensorflow_keeps_is_not_in_the_way_of_a_prefix_of_its_name(tmp_path):
    for ending in ("index", "data-00000-of-00001"):
        shutil.copy(f"{BY_NAMES}.{ending}", tmp_path / f"checkpoint.{ending}")
    found = 'model_checkpoint_path: "checkpoint"\nall_model_checkpoint_paths: "checkpoint"\n'
    (tmp_path / "checkpoint").write_text(found)
    assert is_checkpoint(tmp_path / "checkpoint")
    got, expected = lcfast.read_weights(tmp_path / "checkpoint"), read_weights(str(BY_NAMES))
    assert list(got) == list(expected)
    for name in expected:
        assert got[name].dtype == expected[name].dtype
        assert got[name].tobytes() == expected[name].tobytes()
    (tmp_path / "checkpoint.index").unlink()
    with pytest.raises(ModelFileError, match="begins with b'model_ch'"):
        lcfast.read_weights(tmp_path / "checkpoint")


def test_a_checkpoint_is_no_model_and_the_message_says_what_to_do():
    with pytest.raises(ModelFileError) as caught:
        read_model(str(BY_OBJECTS))
    assert str(caught.value) == (
        f"{BY_OBJECTS}: is a checkpoint, which holds weights only; build the model by hand and set "
        "the weights, which read_weights reads"
    )


# ---------------------------------------------------------------- reading when it is asked for


def copied(source: Path, prefix: Path) -> str:
    for path in source.parent.glob(f"{source.name}.*"):
        shutil.copy(path, f"{prefix}{path.name.removeprefix(source.name)}")
    return str(prefix)


def test_names_and_shapes_are_known_before_a_number_is_read(prefix):
    weights = read_weights(copied(BY_OBJECTS, prefix))
    expected = golden_weights("sequential")
    Path(f"{prefix}.data-00000-of-00001").unlink()
    assert len(weights) == len(expected)
    assert weights.shapes == {name: array.shape for name, array in expected.items()}
    assert "dense/kernel" in weights
    assert "dense" not in weights
    with pytest.raises(FileNotFoundError, match="data-00000-of-00001"):
        weights["dense/kernel"]
    with pytest.raises(KeyError, match="nothing"):
        weights["nothing"]


def test_each_array_is_checked_when_it_is_read_and_the_others_can_be(prefix):
    right = read_weights(copied(BY_OBJECTS, prefix))
    path = Path(f"{prefix}.data-00000-of-00001")
    data = bytearray(path.read_bytes())
    at = data.index(right["dense/kernel"].tobytes())
    data[at] ^= 1
    path.write_bytes(data)
    weights = read_weights(str(prefix))
    np.testing.assert_array_equal(weights["dense/bias"], right["dense/bias"])
    with pytest.raises(ModelFileError) as caught:
        weights["dense/kernel"]
    assert str(caught.value).startswith(
        f"{path}: the numbers of 'dense/kernel' do not have the checksum of the index; the file is"
    )


def test_a_file_that_shrinks_while_it_is_read_is_refused(prefix):
    weights = read_weights(write_checkpoint(prefix, {"w": entry(DATA, (4,))}, DATA))
    Path(f"{prefix}.data-00000-of-00001").write_bytes(DATA[:7])
    with pytest.raises(ModelFileError, match="ends before the numbers of 'w'"):
        weights["w"]


def test_an_array_that_fits_no_memory_is_refused(prefix, monkeypatch):
    weights = read_weights(write_checkpoint(prefix, {"w": entry(DATA, (4,))}, DATA))

    def empty(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(np, "empty", empty)
    with pytest.raises(ModelFileError, match="memory"):
        weights["w"]


# ---------------------------------------------------------------- every way of storing numbers


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("type_number", "dtype"),
    [
        *((1, "f4"), (2, "f8"), (3, "i4"), (4, "u1"), (5, "i2"), (6, "i1"), (8, "c8"), (9, "i8")),
        *((10, "?"), (17, "u2"), (18, "c16"), (19, "f2"), (22, "u4"), (23, "u8")),
    ],
)
def test_numbers_keep_their_type_and_come_in_the_byte_order_of_the_machine(
    prefix, order, type_number, dtype
):
    numbers = np.array([[0, 1, 1], [1, 0, 1]], np.dtype(dtype).newbyteorder(order))
    written = entry(numbers.tobytes(), numbers.shape, type_number=type_number)
    write_checkpoint(prefix, {}, numbers.tobytes())
    index = table({b"": header(order=int(order == ">")), b"w": written})
    Path(f"{prefix}.index").write_bytes(index)
    array = read_weights(str(prefix))["w"]
    np.testing.assert_array_equal(array, numbers)
    assert array.dtype == np.dtype(dtype)
    assert array.dtype.isnative
    assert array.flags.c_contiguous
    assert array.flags.writeable


@pytest.mark.parametrize("shape", [(), (4,), (2, 1, 2), (0,), (3, 0, 2)])
def test_scalars_and_empty_arrays_keep_their_shape(prefix, shape):
    numbers = np.ones(shape, np.float32)
    weights = read_weights(write_arrays(prefix, {"w": numbers}))
    np.testing.assert_array_equal(weights["w"], numbers, strict=True)


def test_numbers_may_lie_in_several_files(prefix):
    other = (2 * NUMBERS).tobytes()
    entries = {b"": header(2), b"a": entry(DATA, (4,)), b"b": entry(other, (2, 2), shard=1)}
    Path(f"{prefix}.index").write_bytes(table(entries))
    Path(f"{prefix}.data-00000-of-00002").write_bytes(DATA)
    Path(f"{prefix}.data-00001-of-00002").write_bytes(other)
    weights = read_weights(str(prefix))
    np.testing.assert_array_equal(weights["a"], NUMBERS)
    np.testing.assert_array_equal(weights["b"], 2 * NUMBERS.reshape(2, 2))


def test_text_and_resources_are_no_weights(prefix):
    text = entry(b"\1abc", (1,), type_number=STRING, offset=16)
    resource = entry(b"", (), type_number=20)
    entries = {"t": text, "r": resource, "w": entry(DATA, (4,))}
    place = write_checkpoint(prefix, entries, DATA + b"\1abc")
    assert list(read_weights(place)) == ["w"]


# ---------------------------------------------------------------- what is refused


def test_the_errors_of_the_system_are_its_own(prefix):
    with pytest.raises(FileNotFoundError, match=r"weights\.index"):
        read_weights(str(prefix))
    write_arrays(prefix, {"w": NUMBERS})
    os.remove(f"{prefix}.data-00000-of-00001")
    with pytest.raises(FileNotFoundError, match=r"weights\.data-00000-of-00001"):
        read_weights(str(prefix))


@pytest.mark.parametrize("name", ["index", "data-00000-of-00001"])
def test_a_pipe_is_refused_before_anything_waits_for_it(prefix, name):
    write_arrays(prefix, {"w": NUMBERS})
    os.remove(f"{prefix}.{name}")
    os.mkfifo(f"{prefix}.{name}")
    assert refusal(prefix) == "is not a regular file; copy the model into one"


def test_a_table_that_is_no_checkpoint_is_refused(prefix):
    write_checkpoint(prefix, {}, DATA)
    Path(f"{prefix}.index").write_bytes(table({b"w": entry(DATA, (4,))}))
    assert refusal(prefix).startswith("is a table without the header of a checkpoint;")
    Path(f"{prefix}.index").write_bytes(table({b"": header(), b"\xff": entry(DATA, (4,))}))
    assert "which is not UTF-8" in refusal(prefix)


@pytest.mark.parametrize(("shards", "order"), [(0, 0), (100_000, 0), (2**64 - 1, 0), (1, 2)])
def test_a_header_that_no_checkpoint_has_is_refused(prefix, shards, order):
    Path(f"{prefix}.index").write_bytes(table({b"": header(shards, order)}))
    assert refusal(prefix).startswith(f"has a header of {shards} files in byte order {order};")


@pytest.mark.parametrize("shard", [1, 5, 2**64 - 1])
def test_a_file_that_the_header_does_not_count_is_never_named(prefix, shard):
    found = f"places 'w' in data file {shard} of 1"
    assert found in refusal_of(prefix, entry(DATA, (4,), shard=shard))


@pytest.mark.parametrize("offset", [1, 16, 2**62, 2**64 - 16])
def test_numbers_beyond_the_end_of_their_file_are_refused(prefix, offset):
    found = f"places 'w' at bytes {offset} to {offset + 16} of weights.data-00000-of-00001, which"
    assert found in refusal_of(prefix, entry(DATA, (4,), offset=offset))


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        *(((4,), 15), ((5,), 16), ((), 16), ((2**62,), 16), ((2**64 - 1,), 16)),
        *(((2**40, 2**40), 2**63), ((0, 2**63), 0), ((0, 2**32, 2**32), 0), ((1,) * 33, 4)),
    ],
)
def test_a_shape_that_does_not_fit_its_bytes_is_refused(prefix, shape, size):
    found = refusal_of(prefix, entry(DATA, shape, size=size))
    assert found.startswith(f"has 'w' with {size} bytes for shape ")
    assert len(found) < 400


def test_a_size_beyond_the_file_is_refused_before_it_is_allocated(prefix):
    found = refusal_of(prefix, entry(DATA, (2**40,), size=2**42))
    assert found.startswith(f"places 'w' at bytes 0 to {2**42} of ")


def test_arrays_that_each_fit_the_file_but_not_together_are_refused(prefix):
    same = {f"w{number}": entry(DATA, (4,)) for number in range(3)}
    place = write_checkpoint(prefix, same, DATA)
    assert refusal(place).startswith("declares 48 bytes, but its data files have 16;")


@pytest.mark.parametrize("type_number", [0, 11, 24, 29, 101, 2**40])
def test_a_type_that_numpy_lacks_is_refused(prefix, type_number):
    found = refusal_of(prefix, entry(DATA, (4,), type_number=type_number))
    assert found == (
        f"has 'w' of TensorFlow's type {type_number}, which numpy lacks; save it again with "
        "float32 weights"
    )


def test_a_variable_in_slices_is_refused(prefix):
    found = refusal_of(prefix, entry(DATA, (4,)) + field(7, shape_of((4,))))
    assert found.startswith("has 'w' in slices, which are not read; save it again without")


def test_an_entry_that_is_no_message_is_refused(prefix):
    assert "does not end" in refusal_of(prefix, b"\xff")
    assert "holds bytes, not a number" in refusal_of(prefix, message((1, b"\1"), (5, 4)))
    assert "holds a number, not bytes" in refusal_of(prefix, message((1, FLOAT32), (2, 1)))


def test_a_long_key_is_cut_in_the_message(prefix):
    place = write_checkpoint(prefix, {"w" * 5000: entry(DATA, (5,))}, DATA)
    assert len(refusal(place)) < 400


# ---------------------------------------------------------------- damage


def outcome(prefix: str) -> str:
    """The message of an error that is allowed, or nothing; any other error goes through."""
    try:
        for array in read_weights(prefix).values():
            assert array.dtype.kind in "biufc"
        layers_of(prefix)
    except (ModelFileError, OSError) as error:
        return str(error)
    return ""


def flipped(content: bytes, rng: random.Random, count: int) -> bytes:
    damaged = bytearray(content)
    for _ in range(count):
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


@pytest.mark.parametrize("source", [BY_OBJECTS, BY_NAMES], ids=lambda path: path.parent.name)
@pytest.mark.parametrize("name", ["index", "data-00000-of-00001"])
def test_flipped_and_cut_files_end_in_a_refusal_or_in_nothing(prefix, source, name):
    path = Path(f"{copied(source, prefix)}.{name}")
    content, rng, refused = path.read_bytes(), random.Random(name), 0
    for round_number in range(100):
        damaged = flipped(content, rng, [1, 1, 4, 16][round_number % 4])
        if round_number % 5 == 0:
            damaged = content[: rng.randrange(len(content))]
        path.write_bytes(damaged)
        said = outcome(str(prefix))
        assert said == "" or said.startswith(str(prefix))
        assert "\n" not in said
        refused += said != ""
    assert refused > 30


def test_a_damaged_index_whose_checksums_are_right_ends_in_a_refusal_or_in_nothing(prefix):
    """What hostile files have and random damage does not: checksums that fit."""
    kernel, bias = "layer_with_weights-0/kernel", "layer_with_weights-0/bias"
    objects = [
        tracked_object({"layer_with_weights-0": 1, "optimizer": 0}),
        tracked_object({"kernel": 3, "bias": 4, "variables": 2}),
        tracked_object({"0": 3, "1": 4}),
        tracked_object(key=kernel, name="dense/kernel"),
        tracked_object(key=bias, name="dense/bias"),
    ]
    rng, refused = random.Random(0), 0
    for _ in range(150):
        damaged = [flipped(each, rng, rng.choice([0, 0, 1, 2])) for each in objects]
        written = flipped(entry(DATA, (4,)), rng, rng.choice([0, 1, 2]))
        write_arrays(prefix, {kernel: NUMBERS, bias: NUMBERS}, damaged)
        said = [outcome(str(prefix))]
        said.append(outcome(write_checkpoint(prefix, {"w": written, "v": written}, 2 * DATA)))
        assert all(each == "" or each.startswith(str(prefix)) for each in said)
        refused += sum(each != "" for each in said)
    assert 75 < refused < 300
