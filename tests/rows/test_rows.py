"""Files of rows: what is read is what was written, block by block, or one sentence."""

import io
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from lcfast import rows
from lcfast.rows import Output, Reached
from lcfast.rows.resumable import ResumableOutput, identity_of_input

ARRAY = np.arange(7 * 6, dtype=np.int16).reshape(7, 2, 3)
OUTPUT = Output("scores", (2, 3), np.dtype(np.float32))


def read(stored, size=3, start=0):
    blocks = list(stored.read(size, start))
    assert all(len(block) == size for block in blocks[:-1])
    return np.concatenate(blocks) if blocks else np.empty((0, *stored.row_shape), stored.dtype)


def as_npy(path):
    np.save(path / "x.npy", ARRAY)
    return str(path / "x.npy")


def as_npy_by_columns(path):
    np.save(path / "x.npy", np.asfortranarray(ARRAY))
    return str(path / "x.npy")


def as_npz(path):
    np.savez_compressed(path / "x.npz", ARRAY)
    return str(path / "x.npz")


def as_npz_of_two(path):
    np.savez(path / "x.npz", a=ARRAY, b=np.ones(3))
    return f"{path / 'x.npz'}:a"


def as_hdf5(path):
    with h5py.File(path / "x.h5", "w") as file:
        file["group/x"] = ARRAY
    return str(path / "x.h5")


def as_hdf5_of_two(path):
    with h5py.File(path / "x.anything", "w") as file:
        file.create_dataset("a", data=ARRAY, chunks=(2, 2, 3), compression="gzip")
        file["b"] = 1.0
    return f"{path / 'x.anything'}:/a"


def as_zarr(path):
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(str(path / "x.zarr"), mode="w")
    create = getattr(group, "create_array", None) or group.create_dataset
    create(name="a", shape=ARRAY.shape, chunks=(2, 2, 3), dtype=ARRAY.dtype)[...] = ARRAY
    return str(path / "x.zarr")


WAYS = (as_npy, as_npy_by_columns, as_npz, as_npz_of_two, as_hdf5, as_hdf5_of_two, as_zarr)


@pytest.mark.parametrize("start", [0, 2, 7])
@pytest.mark.parametrize("store", WAYS, ids=lambda store: store.__name__)
def test_rows_come_back_in_blocks_from_any_row_on(tmp_path, store, start):
    stored = rows.open_rows(store(tmp_path))
    assert (stored.count, stored.row_shape, stored.dtype) == (7, (2, 3), np.int16)
    assert stored.chunk == (2 if store in (as_hdf5_of_two, as_zarr) else 1)
    np.testing.assert_array_equal(read(stored, start=start), ARRAY[start:])


@pytest.mark.parametrize("rows_given", [True, False], ids=["number known", "number not known"])
@pytest.mark.parametrize("kind", ["npy", "csv", "h5", "zarr"])
def test_rows_are_written_and_gone_on_with(tmp_path, kind, rows_given):
    if kind == "zarr":
        pytest.importorskip("zarr")
    path = tmp_path / f"y.{kind}"
    values = np.random.default_rng(0).standard_normal((7, 2, 3)).astype(np.float32)
    count, reached = 7 if rows_given else None, rows.NOTHING
    for start, end in ((0, 3), (3, 7)):
        on_path = kind in ("h5", "zarr")
        target = str(path) if on_path else path.open("r+b" if reached.rows else "wb")
        writer = rows.writer(kind, target, [OUTPUT], count, 2, reached)
        assert writer.reached.rows == start
        writer.write([values[start:end]])
        reached = writer.reached
        writer.flush()
        if end == 3 and not on_path:
            target.write(b"half a row that came before an interruption")
        else:
            writer.close()
        if not on_path:
            target.close()
        if end == 3 and on_path:
            writer.close()
    stored = rows.open_rows(str(path))
    np.testing.assert_array_equal(read(stored).reshape(7, 2, 3).astype(np.float32), values)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_text_gives_every_number_back_to_the_bit(tmp_path, dtype):
    values = np.random.default_rng(0).standard_normal((50, 4)).astype(dtype) * 1e-30
    values[0] = [np.inf, -0.0, np.nan, np.finfo(dtype).tiny]
    with (tmp_path / "y.csv").open("wb") as file:
        rows.writer("csv", file, [Output("y", (4,), values.dtype)], None).write([values])
    back = read(rows.open_rows(str(tmp_path / "y.csv"), 4), 7).astype(dtype)
    assert back.tobytes() == values.tobytes()


def text(path, content):
    (path / "x.csv").write_bytes(content.encode())
    return str(path / "x.csv")


@pytest.mark.parametrize(
    "content",
    [
        "1,2\n3,4\n",
        "a,b\n1,2\n3,4",
        "1, 2 \r\n3,4\r\n",
        "\ufeffx,y\n1,2\n3,4\n\n\n",
        "1e0,2.\n3,4\n",
    ],
    ids=["plain", "header", "windows", "spreadsheet", "floats"],
)
def test_text_is_read_with_or_without_a_header(tmp_path, content):
    stored = rows.open_rows(text(tmp_path, content), 2)
    for size in (1, 2, 5):
        np.testing.assert_array_equal(read(stored, size), [[1, 2], [3, 4]])
    np.testing.assert_array_equal(read(stored, 2, 1), [[3, 4]])
    piped = rows.piped_rows(io.BufferedReader(io.BytesIO(content.encode())), 2)
    np.testing.assert_array_equal(read(piped, 2), [[1, 2], [3, 4]])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("1,2\n3\n", "line 2: has 1 number; a row has 2"),
        ("1,2\n3,4\n5,6,7\n", "line 3: has 3 numbers; a row has 2"),
        ("a,b\n1,2\n3,4\n5,six\n", "line 4: 'six' is not a number"),
        ("1,b\n", "line 1: 'b' is not a number"),
        ("1,2\n3,\n", "line 2: '' is not a number"),
        ("1,2\n\n3,4\n", "line 2: is empty; take it out"),
        ("1,2\n3,4\n\n5,6\n", "line 3: is empty; take it out"),
        ("1;2\n", "line 1: has 1 number; a row has 2"),
        ("1,2\n1_0,2\n", "line 2: '1_0' is not a number"),
        ("1,2\n\xff,2\n", "line 2: "),
        ("1,2\n3,\uff14\n", "line 2: '\uff14' is not a number"),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 9])
def test_a_bad_line_is_named(tmp_path, content, sentence, size):
    path = text(tmp_path, content)
    with pytest.raises(ValueError, match="line") as error:
        read(rows.open_rows(path, 2), size)
    assert str(error.value).startswith(f"{path}, {sentence}")


def test_a_pipe_carries_npy_and_must_not_end_early():
    stream = io.BytesIO()
    np.save(stream, ARRAY)
    piped = rows.piped_rows(io.BufferedReader(io.BytesIO(stream.getvalue())))
    np.testing.assert_array_equal(read(piped), ARRAY)
    short = rows.piped_rows(io.BufferedReader(io.BytesIO(stream.getvalue()[:-20])))
    with pytest.raises(ValueError, match=r"standard input: .*ends after 5 of 7 rows"):
        read(short)


def saved(path, array, name="x.npy"):
    np.save(path / name, array, allow_pickle=True)
    return str(path / name)


def by_columns(path):
    np.savez(path / "x.npz", np.asfortranarray(ARRAY))
    return str(path / "x.npz")


def of_version(path, number):
    content = bytearray(Path(as_npy(path)).read_bytes())
    content[6] = number
    (path / "x.npy").write_bytes(content)
    return str(path / "x.npy")


def damaged_hdf5(path):
    content = Path(as_hdf5(path)).read_bytes()
    (path / "x.h5").write_bytes(content[:100])
    return str(path / "x.h5")


def zarr_of(path, **arrays):
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(str(path / "x.zarr"), mode="w")
    create = getattr(group, "create_array", None) or group.create_dataset
    for name, array in arrays.items():
        create(name=name, shape=np.shape(array), dtype=array.dtype)[...] = array
    return str(path / "x.zarr")


def damaged_zarr(path):
    pytest.importorskip("zarr")
    (path / "x.zarr").mkdir()
    (path / "x.zarr" / "zarr.json").write_text("{")
    (path / "x.zarr" / ".zgroup").write_text("{")
    return str(path / "x.zarr")


@pytest.mark.parametrize(
    ("store", "sentence"),
    [
        (lambda p: saved(p, np.array([{}, 1])), "Python objects"),
        (lambda p: saved(p, np.float32(1)), "single number"),
        (lambda p: as_npz_of_two(p)[:-2], " a, b, as in"),
        (lambda p: f"{as_npz(p)}:no", "'no'"),
        (
            lambda p: f"{as_hdf5_of_two(p)}"[:-3],
            "/a, /b",
        ),
        (lambda p: f"{as_hdf5(p)}:/no", "'/no'.*/group/x"),
        (lambda p: f"{as_npy(p)}:a", "has no members"),
        (lambda p: f"{as_hdf5_of_two(p)[:-2]}/b", r"x.anything:/b: .*single number"),
        (lambda p: by_columns(p), r"x.npz:arr_0: .* numpy.ascontiguousarray"),
        (lambda p: of_version(p, 9), r"version \(9, 0\) of the format is not known"),
        (lambda p: damaged_hdf5(p), "x.h5: cannot be read as HDF5"),
        (
            lambda p: f"{zarr_of(p, a=ARRAY, b=ARRAY)}",
            " a, b; .*:a",
        ),
        (lambda p: zarr_of(p), " none; .*:NAME"),
        (lambda p: zarr_of(p, a=np.float32(1)), "single number"),
        (lambda p: f"{zarr_of(p, a=ARRAY)}:no", "cannot be read as zarr"),
        (lambda p: damaged_zarr(p), "cannot be read as zarr"),
    ],
)
def test_what_is_not_there_is_told(tmp_path, store, sentence):
    with pytest.raises(ValueError, match=sentence):
        rows.open_rows(store(tmp_path))


def test_a_damaged_archive_is_told_of_wherever_it_is_damaged(tmp_path):
    place = as_npz(tmp_path)
    whole = (tmp_path / "x.npz").read_bytes()
    for at in range(0, len(whole), 3):
        damaged = bytearray(whole)
        damaged[at] ^= 0xFF
        (tmp_path / "x.npz").write_bytes(damaged)
        try:
            read(rows.open_rows(place))
        except ValueError as error:
            assert str(error).startswith(place)  # noqa: PT017 (many bytes matter to nobody)


def test_an_array_of_zarr_itself_and_one_of_several_are_read(tmp_path):
    place = zarr_of(tmp_path, a=ARRAY, b=ARRAY[::-1].copy())
    np.testing.assert_array_equal(read(rows.open_rows(f"{place}:b")), ARRAY[::-1])
    (tmp_path / "x.zarr" / "a").rename(tmp_path / "a.zarr")
    np.testing.assert_array_equal(read(rows.open_rows(str(tmp_path / "a.zarr"))), ARRAY)


def test_a_place_whose_file_is_not_there_is_named_whole(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no\.npz:a"):
        rows.open_rows(f"{tmp_path / 'no.npz'}:a")


def test_an_archive_that_was_cut_since_it_was_opened_is_told_of(tmp_path):
    np.savez(tmp_path / "x.npz", ARRAY)
    stored = rows.open_rows(str(tmp_path / "x.npz"))
    (tmp_path / "x.npz").write_bytes((tmp_path / "x.npz").read_bytes()[:200])
    with pytest.raises(ValueError, match=r"x\.npz:arr_0: .*not a zip file"):
        read(stored)
    np.savez(tmp_path / "x.npz", ARRAY[:3])
    with pytest.raises(ValueError, match=r"x\.npz:arr_0: .*ends after 3 of 7 rows"):
        read(stored)


def test_no_text_at_all_is_no_rows(tmp_path):
    assert read(rows.open_rows(text(tmp_path, ""), 2)).shape == (0, 2)


def test_zarr_that_is_not_installed_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(ValueError, match="package zarr"):
        rows.open_rows(str(tmp_path / "x.zarr"))
    with pytest.raises(ValueError, match="package zarr"):
        rows.writer("zarr", str(tmp_path / "y.zarr"), [OUTPUT], 1)


@pytest.mark.parametrize("name", ["y.txt", "y", "y.npz"])
def test_an_ending_that_says_no_format_is_refused(name):
    with pytest.raises(ValueError, match=r"\.npy, \.h5, \.hdf5, \.zarr, \.csv"):
        rows.format_of(name)


# ---------------------------------------------------------------- what is not finished yet


def begun(path, run, reached):
    room = ResumableOutput(path / "y.npy", run)
    room.part.write_bytes(b"0" * 20)
    room.note(reached)
    room.release(keep=True)


def test_a_run_of_the_same_kind_goes_on(tmp_path):
    begun(tmp_path, {"model": "a"}, Reached(4, 16))
    room = ResumableOutput(tmp_path / "y.npy", {"model": "a"})
    assert room.reached() == Reached(4, 16)
    room.finish()
    assert [path.name for path in tmp_path.iterdir()] == ["y.npy"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda path: None, "it had another model and another format; leave --resume out"),
        (lambda path: (path / ".y.npy.part").write_bytes(b""), "is shorter than its note says"),
        (lambda path: (path / ".y.npy.resume").write_text('{"rows": 1'), "resume: "),
    ],
)
def test_a_run_that_cannot_go_on_says_why_and_stays(tmp_path, change, sentence):
    begun(tmp_path, {"model": "a", "format": "npy"}, Reached(4, 16))
    change(tmp_path)
    room = ResumableOutput(tmp_path / "y.npy", {"model": "b", "format": "csv"})
    with pytest.raises(ValueError, match=sentence):
        room.reached()
    room.release(keep=True)
    assert len(list(tmp_path.iterdir())) == 2


def test_two_runs_do_not_write_one_output(tmp_path):
    room = ResumableOutput(tmp_path / "y.npy", {})
    with pytest.raises(ValueError, match="is being written by another run"):
        ResumableOutput(tmp_path / "y.npy", {})
    room.release(keep=False)
    assert list(tmp_path.iterdir()) == []


def test_an_input_is_known_by_its_ends_its_size_and_its_time(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(bytes(200_000))
    seen = {identity_of_input(path)}
    assert identity_of_input(path) in seen
    for content in (bytes(200_001), b"1" + bytes(199_999), bytes(199_999) + b"1"):
        path.write_bytes(content)
        assert identity_of_input(path) not in seen
        seen.add(identity_of_input(path))


@pytest.mark.parametrize("keep", [True, False])
def test_a_directory_that_is_not_finished_stays_or_goes_whole(tmp_path, keep):
    room = ResumableOutput(tmp_path / "y.zarr", {})
    room.part.mkdir()
    (room.part / "0.0").write_bytes(b"1")
    room.release(keep)
    assert room.part.exists() is keep


def test_a_directory_is_known_by_the_names_the_sizes_and_the_times_of_its_files(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b" / "c"
    second.parent.mkdir()
    first.write_bytes(b"1")
    second.write_bytes(b"2")
    seen = {identity_of_input(tmp_path)}
    assert identity_of_input(tmp_path) in seen
    second.write_bytes(b"22")
    assert identity_of_input(tmp_path) not in seen
    seen.add(identity_of_input(tmp_path))
    first.rename(tmp_path / "d")
    assert identity_of_input(tmp_path) not in seen
