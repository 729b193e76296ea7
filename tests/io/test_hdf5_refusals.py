"""The HDF5 reader: nothing but a clear refusal comes of what leads elsewhere or is damaged."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from lcfast.errors import ModelFileError
from lcfast.io import hdf5_file, read_model, read_weights
from tests.support.hdf5_files import (
    CONFIG,
    DENSE,
    KERNEL,
    KERNEL_PATH,
    fixed,
    refusal,
    replace_attribute,
    replace_kernel,
    write_model,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.h5"


# ---------------------------------------------------------------- what is not followed or unpacked


@pytest.mark.parametrize("place", ["model_weights", DENSE, f"{DENSE}/dense", KERNEL_PATH])
@pytest.mark.parametrize("kind", ["soft", "external", "external to a file that waits"])
def test_no_link_is_followed(path, tmp_path, place, kind):
    other = tmp_path / "other.h5"
    if kind == "external":
        write_model(other)
    else:
        os.mkfifo(other)

    def damage(file: h5py.File) -> None:
        file.move(place, "elsewhere")
        file[place] = (
            h5py.SoftLink("/elsewhere") if kind == "soft" else h5py.ExternalLink(other, place)
        )

    parent, _, name = f"/{place}".rpartition("/")
    where = f"group '{parent}'" if parent else "the root group"
    assert refusal(write_model(path, damage)).startswith(
        f"'{name}' in {where} is a soft or external link, which lcfast never follows; store a "
    )


def test_numbers_in_another_file_are_never_opened(path, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(KERNEL.tobytes())
    options = {"shape": KERNEL.shape, "dtype": KERNEL.dtype, "external": [(secret, 0, 48)]}
    message = refusal(write_model(path, replace_kernel(**options)))
    found = f"dataset '/{KERNEL_PATH}' stores its numbers in another file"
    assert message.startswith(found)


@pytest.mark.parametrize("shape", [(3, 4), (None, 4)])
def test_a_virtual_dataset_is_never_assembled(path, tmp_path, shape):
    os.mkfifo(tmp_path / "source.h5")

    def damage(file: h5py.File) -> None:
        del file[KERNEL_PATH]
        layout = h5py.VirtualLayout(KERNEL.shape, KERNEL.dtype, maxshape=shape)
        source = h5py.VirtualSource(
            tmp_path / "source.h5", "x", KERNEL.shape, KERNEL.dtype, maxshape=shape
        )
        if shape[0] is None:
            layout[: h5py.h5s.UNLIMITED] = source[: h5py.h5s.UNLIMITED]
        else:
            layout[:] = source
        file.create_virtual_dataset(KERNEL_PATH, layout)

    assert "stores its numbers in another file" in refusal(write_model(path, damage))


def test_a_filter_that_needs_a_plugin_is_refused(path):
    def damage(file: h5py.File) -> None:
        del file[KERNEL_PATH]
        layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        layout.set_chunk(KERNEL.shape)
        layout.set_filter(32015, h5py.h5z.FLAG_OPTIONAL)
        space = h5py.h5s.create_simple(KERNEL.shape)
        kind = h5py.h5t.py_create(KERNEL.dtype)
        h5py.h5d.create(file[f"{DENSE}/dense"].id, b"kernel:0", kind, space, layout)

    message = refusal(write_model(path, damage))
    assert f"dataset '/{KERNEL_PATH}' is packed with HDF5 filter 32015; store it plain" in message


# ---------------------------------------------------------------- what is no array of numbers


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"data": ["a", "b"]}, "values of type object"),
        ({"data": fixed(["a", "b"])}, "values of type |S1"),
        ({"data": np.zeros(2, [("x", "f4")])}, "values of type [('x', '<f4')]"),
        ({"data": np.zeros(2, "c8")}, "values of type complex64"),
        ({"data": np.zeros(2, np.longdouble)}, "values of type "),
        ({"shape": (2,), "dtype": h5py.ref_dtype}, "values of type object"),
        ({"shape": (2,), "dtype": h5py.vlen_dtype("f4")}, "values of type object"),
        ({"shape": (2,), "dtype": np.dtype((np.float32, (3,)))}, "values of type "),
        ({"data": h5py.Empty("f4")}, "nothing"),
    ],
)
def test_only_floats_integers_and_booleans_are_numbers(path, options, found):
    message = refusal(write_model(path, replace_kernel(**options)))
    assert message.startswith(f"dataset '/{KERNEL_PATH}' holds {found}")
    assert "not an array of floats, integers or booleans" in message


@pytest.mark.parametrize(
    ("shape", "chunks"),
    [((3, 4), None), ((3, 4), (2, 2)), ((2**40, 2**20), None), ((2**62, 2**62), (2, 2))],
)
def test_numbers_that_were_never_stored_are_not_made_up(path, shape, chunks):
    damage = replace_kernel(shape=shape, dtype="f4", chunks=chunks)
    size = 4 * shape[0] * shape[1]
    assert refusal(write_model(path, damage)).startswith(
        f"dataset '/{KERNEL_PATH}' declares {size} bytes of numbers, but 0 are stored"
    )


@pytest.mark.parametrize("packing", [{}, {"compression": "gzip"}, {"compression": "lzf"}])
def test_a_size_beyond_what_is_stored_is_refused_before_it_is_allocated(path, packing):
    def damage(file: h5py.File) -> None:
        replace_kernel(shape=(2**40, 1000), dtype="f4", chunks=(1, 1000), **packing)(file)
        file[KERNEL_PATH][0] = np.random.default_rng(0).normal(size=1000)

    message = refusal(write_model(path, damage))
    assert f"declares {2**42 * 1000} bytes of numbers, but " in message


def test_a_chunk_beyond_what_is_stored_is_refused_too(path):
    def damage(file: h5py.File) -> None:
        options = {"maxshape": (None,), "chunks": (10**8,), "compression": "gzip"}
        replace_kernel(shape=(10,), dtype="f4", **options)(file)
        file[KERNEL_PATH].id.write_direct_chunk((0,), b"\0" * 100)

    assert "declares 400000000 bytes of numbers, but 100 are" in refusal(write_model(path, damage))


def test_weights_that_each_fit_the_file_but_not_together_are_refused(path):
    def damage(file: h5py.File) -> None:
        numbers = np.zeros(10_000)
        replace_kernel(data=numbers)(file)
        names = [f"again{i}" for i in range(3)]
        for name in names:  # one dataset under many names
            file[f"{DENSE}/{name}"] = file[KERNEL_PATH]
        file[DENSE].attrs["weight_names"] = fixed(["dense/kernel:0", *names])

    message = refusal(write_model(path, damage))
    assert "group '/model_weights' declares 320000 bytes of weights, more than the file" in message


# ---------------------------------------------------------------- damage


def test_a_truncated_file_is_refused_wherever_it_ends(path):
    content = write_model(path).read_bytes()
    lengths = [0, 1, 7, 8, 9, 95, 96, 512, *range(1000, len(content), 997), len(content) - 1]
    for length in lengths:
        path.write_bytes(content[:length])
        for read in (read_model, read_weights):
            message = refusal(path, read)
            if length > 100:
                assert message.startswith("the file cannot be read (OSError: ")
                assert "truncated file" in message


def outcome(read: Callable[[Path], object], path: Path) -> str:
    """The message of an error that is allowed, or nothing; any other error goes through."""
    try:
        read(path)
    except (ModelFileError, OSError) as error:
        return str(error)
    return ""


@pytest.mark.thorough
@pytest.mark.parametrize("layout", ["plain", "packed", "latest"])
def test_flipped_bytes_end_in_a_refusal_or_in_nothing(path, layout):
    packed = replace_kernel(data=KERNEL, compression="gzip", shuffle=True, fletcher32=True)
    write_model(path, (lambda _: None) if layout == "plain" else packed)
    if layout == "latest":
        with h5py.File(path) as file, h5py.File(f"{path}.new", "w", libver="latest") as new:
            new.attrs.update(file.attrs)
            file.copy("model_weights", new)
        os.replace(f"{path}.new", path)
    content = path.read_bytes()
    used = [at for at in range(len(content)) if any(content[max(0, at - 8) : at + 8])]
    rng = random.Random(layout)
    for round_number in range(300):
        damaged = bytearray(content)
        for _ in range([1, 1, 4, 16][round_number % 4]):
            at = rng.choice(used)
            damaged[at] = rng.choice(
                [0, 255, rng.randrange(256), damaged[at] ^ 1 << rng.randrange(8)]
            )
        path.write_bytes(damaged)
        for read in (read_model, read_weights):
            message = outcome(read, path)
            assert message == "" or str(path) in message
            assert "\n" not in message


def test_a_heap_of_text_that_hdf5_would_never_return_from_is_refused(path):
    text = json.dumps(CONFIG)
    content = write_model(path, replace_attribute("/", "model_config", text)).read_bytes()
    heap = content.index(b"GCOL")
    size = content.index(len(text).to_bytes(8, "little"), heap)
    endless = bytearray(content)
    endless[size : size + 8] = (len(text) + 64).to_bytes(8, "little")  # now zeros come next
    overrun = bytearray(content)
    overrun[size + 1] = 255
    for damaged in (endless, overrun):
        path.write_bytes(damaged)
        for read in (read_model, read_weights):
            assert refusal(path, read).startswith(f"the heap of text at byte {heap} is damaged;")


@pytest.mark.parametrize(("place", "found"), [(4, "8 bytes and a"), (12, "16 bytes and a")])
@pytest.mark.parametrize("name", ["model_config", "layer_names"])
def test_text_of_variable_length_has_strings_and_characters_of_the_usual_size(
    path, name, place, found
):
    """HDF5 goes from string to string by the one, and multiplies a length by the other."""

    def damage(file: h5py.File) -> None:
        file.attrs["model_config"] = json.dumps(CONFIG)
        kind = h5py.string_dtype()
        file["model_weights"].attrs.create("layer_names", ["dense", "flatten"], dtype=kind)

    content = bytearray(write_model(path, damage).read_bytes())
    kind = content.index(b"\x19\x01", content.rindex(name.encode() + b"\0"))
    assert content[kind + 4] == 16
    assert content[kind + 12] == 1
    content[kind + place : kind + place + 4] = (8 if place == 4 else 2).to_bytes(4, "little")
    path.write_bytes(content)
    message = refusal(path)
    assert message.startswith(f"attribute '{name}' of ")
    assert f"stores a string in {found} character in " in message


def test_bytes_that_only_look_like_a_heap_of_text_are_weights(path):
    for size in (0, 10**6, 2**64 - 1):
        numbers = np.frombuffer(b"GCOL\1\0\0\0" + size.to_bytes(8, "little") + bytes(64), "<i8")
        model = read_model(write_model(path, replace_kernel(data=numbers)))
        np.testing.assert_array_equal(model.arrays["dense/dense/kernel:0"], numbers)


def test_heaps_of_text_that_lie_over_each_other_are_refused(path):
    """To walk each of them would take the square of the time that the file's size allows."""
    numbers = np.frombuffer((b"GCOL\1\0\0\0" + (4096).to_bytes(8, "little")) * 4096, "<i8")
    assert "the heap of text at byte " in refusal(write_model(path, replace_kernel(data=numbers)))


@pytest.mark.parametrize("shift", range(8))
def test_a_damaged_heap_of_text_is_found_wherever_it_begins(path, shift):
    endless = b"GCOL\1\0\0\0" + (64).to_bytes(8, "little") + bytes(48)
    for before in (0, 2**17 - 3000, 2**17 - 2000):  # on both sides of a block that is searched
        numbers = np.frombuffer(bytes(before + shift) + endless + bytes(8), "u1")
        message = refusal(write_model(path, replace_kernel(data=numbers)))
        place = path.read_bytes().index(endless[:16])
        assert message.startswith(f"the heap of text at byte {place} is damaged;")


def test_a_heap_of_text_is_checked_before_hdf5_opens_the_file(path, monkeypatch):
    endless = b"GCOL\1\0\0\0" + (64).to_bytes(8, "little") + bytes(56)
    write_model(path, replace_kernel(data=np.frombuffer(endless, "u1")))
    place = path.read_bytes().index(endless[:16])
    monkeypatch.setattr(hdf5_file.h5py, "File", None)
    for read in (read_model, read_weights):
        assert refusal(path, read).startswith(f"the heap of text at byte {place} ")


def test_a_file_that_another_process_holds_locked_is_an_error_of_the_system(path):
    fcntl = pytest.importorskip("fcntl")
    with open(write_model(path), "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        script = f"import lcfast.io; lcfast.io.read_model({str(path)!r})"
        command = [sys.executable, "-c", script]
        environment = {**os.environ, "HDF5_USE_FILE_LOCKING": "TRUE"}
        result = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False
        )
    assert (
        f"BlockingIOError: [Errno 11] Resource temporarily unavailable: '{path}'" in result.stderr
    )
