"""`predict` on rows of any kind: where they lie, how many at once, on how many threads."""

import subprocess
import sys

import h5py
import numpy as np
import pytest

import lcfast
from lcfast.local_conv import threads
from lcfast.models import blocks
from lcfast.models.profiling import Profile
from lcfast.models.summary import summary_data
from tests.support import goldens
from tests.support.cases import assert_same_bits


@pytest.fixture(scope="module")
def model():
    return lcfast.load_model(goldens.model_path("sequential_2d"))


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(1).standard_normal((17, 11, 9, 2)).astype(np.float32)


def two_in_two_out():
    first, second = lcfast.Input((3,), name="first"), lcfast.Input((4,), name="second")
    joined = lcfast.Concatenate(name="joined")([first, second])
    outputs = [lcfast.Dense(2, name="small")(joined), lcfast.Dense(3, name="large")(joined)]
    return lcfast.Model([first, second], outputs, name="forked")


class Sliced:
    """What has the shape, dtype and slices of an array and is none; it counts what is read."""

    def __init__(self, array, chunks=None):
        self.array, self.chunks, self.reads = array, chunks, []
        self.shape, self.ndim, self.dtype = array.shape, array.ndim, array.dtype

    def __len__(self):
        return len(self.array)

    def __getitem__(self, place):
        self.reads.append((place.start, place.stop))
        return self.array[place]

    def __setitem__(self, place, value):
        self.array[place] = value


# ---------------------------------------------------------------- where rows lie


@pytest.mark.parametrize("batch_size", [None, 1, 3, 17])
def test_a_dataset_of_hdf5_gives_the_bits_of_an_array(model, x, batch_size, tmp_path):
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        stored = file.create_dataset("x", data=x, chunks=(5, 11, 9, 2), compression="gzip")
        y = file.create_dataset("y", (17, *model.output_shape[1:]), "f4")
        assert_same_bits(model.predict(stored, batch_size), model(x))
        assert model.predict(stored, batch_size, out=y) is y
        assert_same_bits(y[...], model(x))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.float16, np.float64, bool])
def test_other_dtypes_are_converted_block_by_block(model, dtype):
    x = np.random.default_rng(2).integers(0, 3, (7, 11, 9, 2)).astype(dtype)
    source = Sliced(x)
    assert_same_bits(model.predict(source, 3), model(x.astype(np.float32)))
    assert source.reads == [(0, 3), (3, 6), (6, 9)]


def test_a_chunk_of_a_file_is_read_once_however_small_the_blocks(model, x):
    source = Sliced(x, chunks=(8, 11, 9, 2))
    assert_same_bits(model.predict(source, batch_size=3), model(x))
    assert source.reads == [(0, 8), (8, 16), (16, 24)]


def test_chunks_that_do_not_fit_the_memory_are_not_read_whole(monkeypatch, model, x):
    monkeypatch.setattr(blocks, "MEMORY_BYTES", 1000)
    source = Sliced(x, chunks=(8, 11, 9, 2))
    assert_same_bits(model.predict(source, 3), model(x))
    assert source.reads[0] == (0, 3)


def test_an_iterator_of_blocks_gives_the_bits_of_an_array(model, x):
    parts = [x[:1], x[1:1], x[1:9], x[9:]]
    for batch_size in (None, 1, 3):
        assert_same_bits(model.predict(iter(parts), batch_size), model(x))
        assert_same_bits(model.predict(((p,) for p in parts), batch_size), model(x))


def test_an_iterator_may_fill_the_same_array_again_and_again():
    model = lcfast.Sequential([lcfast.InputLayer((2,)), lcfast.Flatten()])
    buffer = np.empty((1, 2), np.float32)

    def filled():
        for number in range(3):
            buffer[...] = number
            yield buffer

    np.testing.assert_array_equal(model.predict(filled()), [[0, 0], [1, 1], [2, 2]])


def test_an_iterator_builds_a_model_that_waits_for_its_shape():
    model = lcfast.Sequential([lcfast.Dense(2)])
    assert model.predict(np.ones((n, 3)) for n in (1, 2)).shape == (3, 2)


def test_an_iterator_fills_an_out_of_as_many_rows(model, x):
    out = np.empty((17, *model.output_shape[1:]), np.float32)
    assert model.predict(iter([x[:9], x[9:]]), 4, out=out) is out
    assert_same_bits(out, model(x))
    with pytest.raises(ValueError, match="out has 17 rows; the iterator gave 9 in all"):
        model.predict(iter([x[:9]]), out=out)
    with pytest.raises(ValueError, match="out has 17 rows; the iterator gave more, 18 so far"):
        model.predict(iter([x[:9], x[:9]]), out=out)


def test_an_iterator_without_a_block_gives_no_rows(model):
    assert model.predict(iter([])).shape == (0, *model.output_shape[1:])
    of_any_size = lcfast.Sequential([lcfast.Conv1D(2, 2, input_shape=(None, 3))])
    with pytest.raises(ValueError, match="The iterator gave no block, and model"):
        of_any_size.predict(iter([]))


def test_several_inputs_come_as_a_list_a_dict_or_tuples_of_an_iterator():
    model = two_in_two_out()
    first, second = np.ones((5, 3)), np.arange(20).reshape(5, 4)
    expected = model([first, second])
    tuples = ((first[n : n + 2], second[n : n + 2]) for n in range(0, 5, 2))
    dicts = iter([{"second": second, "first": first}])
    for given in ([first, second], {"second": second, "first": first}, tuples, dicts):
        for got, wanted in zip(model.predict(given), expected, strict=True):
            assert_same_bits(got, wanted)


@pytest.mark.parametrize("keys", [["first"], ["first", "third"], ["first", "second", "third"], []])
def test_a_dict_of_other_inputs_is_refused(keys):
    with pytest.raises(ValueError, match=r"takes a dict of the inputs first, second\."):
        two_in_two_out().predict(dict.fromkeys(keys, np.ones((2, 3))))


def test_a_tuple_of_other_inputs_is_refused():
    with pytest.raises(ValueError, match="tuple of 1 arrays; model forked has 2 inputs"):
        two_in_two_out().predict(iter([(np.ones((2, 3)),)]))


def test_several_outputs_go_into_a_list_of_out():
    model = two_in_two_out()
    x = [np.ones((5, 3)), np.ones((5, 4))]
    out = [np.empty((5, 2), "f4"), Sliced(np.empty((5, 3), "f4"))]
    got = model.predict(x, 2, out=out)
    assert got[0] is out[0]
    assert got[1] is out[1]
    for written, wanted in zip([out[0], out[1].array], model(x), strict=True):
        assert_same_bits(written, wanted)
    with pytest.raises(ValueError, match="Model forked has 2 outputs; `out` has 1 arrays"):
        model.predict(x, out=out[:1])


@pytest.mark.parametrize(
    ("shape", "dtype", "error", "message"),
    [
        ((17, 3), "f8", TypeError, "out has dtype float64; expected float32"),
        ((16, 3), "f4", ValueError, r"out has shape \(16, 3\); expected \(17, "),
    ],
)
def test_an_out_in_a_file_that_does_not_fit_is_refused(model, x, shape, dtype, error, message):
    with pytest.raises(error, match=message):
        model.predict(x, out=Sliced(np.empty(shape, dtype)))


def test_a_part_of_an_array_is_written_in_place(model, x):
    wide = np.full((17, *(2 * size for size in model.output_shape[1:])), 7, np.float32)
    out = wide[(slice(None), *[slice(None, None, 2)] * (wide.ndim - 1))]
    assert model.predict(x, 3, out=out) is out
    assert_same_bits(out, model(x))


class Lazy:
    """An array as dask has it: slices are lazy too, chunks are the sizes along each axis."""

    def __init__(self, array, computed):
        self.array, self.computed = array, computed
        self.shape, self.ndim, self.dtype = array.shape, array.ndim, array.dtype
        self.chunks = ((8, len(array) - 8), *((size,) for size in array.shape[1:]))

    def __len__(self):
        return len(self.array)

    def __getitem__(self, rows):
        return Lazy(self.array[rows], self.computed)

    def __array__(self, dtype=None, copy=None):
        self.computed.append(len(self.array))
        return np.array(self.array, dtype)


@pytest.mark.parametrize("batch_size", [None, 1, 3, 17])
def test_a_lazy_array_gives_the_bits_of_an_array(model, x, batch_size):
    computed = []
    assert_same_bits(model.predict(Lazy(x, computed), batch_size), model(x))
    assert sum(computed) == 17  # each row once
    assert_same_bits(model(Lazy(x, computed)), model(x))


def test_a_lazy_array_of_integers_is_computed_once():
    inputs = lcfast.Input((2,), dtype="int32")
    model = lcfast.Model(inputs, lcfast.Embedding(9, 2)(inputs))
    computed, x = [], np.arange(18.0).reshape(9, 2) % 9
    assert_same_bits(model.predict(Lazy(x, computed), 4), model(x))
    assert sum(computed) == 9


def test_a_dask_array_gives_the_bits_of_an_array(model, x):
    array = pytest.importorskip("dask.array").from_array(x, chunks=(5, 11, 9, 2))
    for batch_size in (None, 3):
        assert_same_bits(model.predict(array, batch_size), model(x))


class Sink:
    """Keeps copies of the outputs that predict writes."""

    def __init__(self):
        self.written = []

    def write(self, outputs):
        self.written.append([y.copy() for y in outputs])


@pytest.mark.parametrize("batch_size", [None, 1, 3, 17])
@pytest.mark.parametrize("iterates", [False, True])
def test_a_sink_gets_the_outputs_of_each_block(model, x, batch_size, iterates):
    sink, counts = Sink(), []
    given = iter([x[:9], x[9:]]) if iterates else x
    assert model.predict(given, batch_size, out=sink, progress=counts.append) is sink
    assert [len(y) for (y,) in sink.written] == counts
    assert_same_bits(np.concatenate([y for (y,) in sink.written]), model(x))


def test_a_sink_gets_several_outputs_in_a_list():
    model, sink = two_in_two_out(), Sink()
    x = [np.ones((5, 3)), np.arange(20).reshape(5, 4)]
    assert model.predict(x, 2, out=sink) is sink
    for pieces, wanted in zip(zip(*sink.written, strict=True), model(x), strict=True):
        assert_same_bits(np.concatenate(pieces), wanted)


def test_a_sink_gets_nothing_from_an_iterator_without_a_block(model):
    sink = Sink()
    assert model.predict(iter([]), out=sink) is sink
    assert sink.written == []


def test_what_is_neither_an_array_nor_a_sink_is_refused(model, x):
    with pytest.raises(TypeError, match="str"):
        model.predict(x, out="scores.npy")


@pytest.mark.parametrize("batch_size", [None, 1, 4, 17])
def test_a_profile_observes_predict(model, x, batch_size):
    profile, sink, calls = Profile(model), Sink(), -(-17 // (batch_size or 17))
    assert_same_bits(profile.predict(x, batch_size=batch_size), model(x))
    first = profile.costs[0]
    assert first.weights_read == calls * blocks.weight_bytes(model.layers[0].record())
    assert profile.costs[-1].output_written == model(x).nbytes
    assert sum(cost.seconds for cost in profile.costs) > 0
    assert all(cost.seconds >= 0 for cost in profile.costs)  # Flatten does nothing
    profile.predict(iter([x]), out=sink)
    assert profile.costs[-1].output_written == 2 * model(x).nbytes
    assert_same_bits(sink.written[0][0], model(x))


# ---------------------------------------------------------------- how many rows at once


def test_blocks_fill_the_cache_or_weigh_as_much_as_the_weights(monkeypatch):
    narrow = lcfast.Sequential([lcfast.Dense(512, input_shape=(512,))])
    graph, record = narrow.graph_of_layers(), narrow.record()
    assert blocks.row_bytes(graph, [(None, 512)]) == 4096
    assert blocks.rows_at_once(graph, record, [(7, 512)]) == blocks.CACHE_BYTES // 4096 // 48 * 48
    wide = lcfast.Sequential([lcfast.Dense(4096, input_shape=(4096,))])
    assert blocks.weight_bytes(wide.record()) == 4 * (4096 * 4096 + 4096)
    monkeypatch.setattr(blocks, "MOST_MULTIPLICATIONS", 1 << 40)
    rows = blocks.rows_at_once(wide.graph_of_layers(), wide.record(), [(7, 4096)])
    assert rows == (4096 + 1) // 2 // 48 * 48


def test_the_weights_of_layers_that_hold_others_count():
    for held in (
        lcfast.TimeDistributed(lcfast.Dense(4), input_shape=(5, 3)),
        lcfast.Bidirectional(lcfast.LSTM(2), input_shape=(5, 3)),
    ):
        model = lcfast.Sequential([held])
        size = 4 * model.count_params()
        assert blocks.weight_bytes(model.record()) == size
        assert [layer["weight_bytes"] for layer in summary_data(model)["layers"]] == [size]


def test_blocks_keep_to_the_memory_and_to_one_row_at_least():
    model = lcfast.Sequential([lcfast.Flatten(input_shape=(1 << 22, 4))])
    assert blocks.rows_at_once(model.graph_of_layers(), model.record(), [(9, 1 << 22, 4)]) == 1
    small = lcfast.Sequential([lcfast.Flatten(input_shape=(1,))])
    rows = blocks.rows_at_once(small.graph_of_layers(), small.record(), [(9, 1)])
    assert rows == blocks.MOST_ROWS // 48 * 48


def most_multiplications(*layers):
    model = lcfast.Sequential(list(layers))
    return blocks.row_multiplications(model.graph_of_layers(), [model.input_shape])


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: lcfast.Dense(8, use_bias=False, input_shape=(4,)), 32),
        (lambda: lcfast.Dense(8, use_bias=False, input_shape=(5, 4)), 5 * 32),
        (lambda: lcfast.Dense(8, use_bias=False, input_shape=(4,), dtype="float64"), 2 * 32),
        (lambda: lcfast.LocallyConnected1D(2, 3, input_shape=(10, 4)), 8 * 12 * 2),
        (lambda: lcfast.LocallyConnected1D(2, 3, implementation=2, input_shape=(10, 4)), 192),
        (lambda: lcfast.LocallyConnected1D(2, 3, implementation=3, input_shape=(10, 4)), 192),
        (lambda: lcfast.Conv1D(2, 3, use_bias=False, input_shape=(10, 4)), 10 * 12 * 2),
        (
            lambda: lcfast.Conv2D(
                2, 3, use_bias=False, data_format="channels_first", input_shape=(4, 10, 9)
            ),
            90 * 36 * 2,
        ),
        (lambda: lcfast.SimpleRNN(3, use_bias=False, input_shape=(10, 4)), 10 * (12 + 9)),
        (
            lambda: lcfast.TimeDistributed(lcfast.LocallyConnected1D(2, 3), input_shape=(7, 10, 4)),
            7 * 192,
        ),
        (lambda: lcfast.Sequential([lcfast.LocallyConnected1D(2, 3, input_shape=(10, 4))]), 192),
        (lambda: lcfast.Flatten(input_shape=(10, 4)), 0),
    ],
)
def test_the_multiplications_of_a_row_are_those_of_its_greatest_layer(make, expected):
    assert most_multiplications(make()) == expected
    small = [lcfast.Flatten(), lcfast.Dense(1, use_bias=False)]
    assert most_multiplications(make(), *small) >= expected


def test_blocks_are_so_short_that_an_interrupt_does_not_wait(monkeypatch):
    model = lcfast.Sequential([lcfast.Dense(512, use_bias=False, input_shape=(512,))])
    graph, record = model.graph_of_layers(), model.record()
    monkeypatch.setattr(blocks, "MOST_MULTIPLICATIONS", 100 << 18)
    assert blocks.rows_at_once(graph, record, [(7, 512)]) == 96
    monkeypatch.setattr(blocks, "MOST_MULTIPLICATIONS", 1)
    assert blocks.rows_at_once(graph, record, [(7, 512)]) == 1


def test_values_count_while_they_are_needed():
    chain = lcfast.Sequential([lcfast.Dense(n, input_shape=(10,)) for n in (10, 40, 30)])
    assert blocks.row_bytes(chain.graph_of_layers(), [(None, 10)]) == 4 * (40 + 30)
    of_any_size = lcfast.Sequential([lcfast.Conv1D(2, 2, input_shape=(None, 3))])
    assert blocks.row_bytes(of_any_size.graph_of_layers(), [(None, 11, 3)]) == 4 * (33 + 20)


def test_the_bits_are_those_of_small_blocks_by_default(monkeypatch):
    model = lcfast.load_model(goldens.model_path("deepface_small"))
    x = np.random.default_rng(3).standard_normal((130, *model.input_shape[1:]))
    expected = model.predict(x, batch_size=1)
    told = []
    assert_same_bits(model.predict(x), expected)
    monkeypatch.setattr(blocks, "CACHE_BYTES", 1 << 12)
    assert_same_bits(model.predict(x, progress=told.append), expected)
    assert sum(told) == 130


# ---------------------------------------------------------------- threads and memory


def test_threads_are_those_of_this_call_alone(model, x, threads_for_any_work):
    used = []
    for number in (1, 3):
        note = lambda rows: used.append(threads.threads_for(10**9))  # noqa: E731
        assert_same_bits(model.predict(x, 9, num_threads=number, progress=note), model(x))
    assert used == [1, 1, 3, 3]
    assert threads.threads_for(10**9) == lcfast.get_num_threads()
    with pytest.raises(ValueError, match="must be from 1 to 4096, not 0"):
        model.predict(x, num_threads=0)


MEASURED = """
import resource, sys
import h5py, lcfast, numpy as np
model = lcfast.Sequential([lcfast.LocallyConnected1D(2, 3, input_shape=(1000, 1))])
with h5py.File(sys.argv[1], "w") as file:
    x = file.create_dataset("x", ({rows}, 1000, 1), "i1", chunks=(512, 1000, 1))
    y = file.create_dataset("y", ({rows}, 998, 2), "f4", chunks=(512, 998, 2), compression="lzf")
    model.predict(x[:512])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    model.predict(x, out=y)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_scoring_a_file_takes_the_memory_of_a_block(tmp_path):
    rows = 40_000  # 40 MB as they lie, 160 MB converted; 320 MB of answers
    code = MEASURED.format(rows=rows)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "rows.h5")],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert int(done.stdout) < 40_000  # KB


def test_scoring_imports_nothing_that_it_does_not_need():
    code = (
        "import sys, lcfast, numpy as np; model = lcfast.load_model(sys.argv[1]); "
        "model.predict(np.zeros((1, *model.input_shape[1:]))); print(*sys.modules)"
    )
    path = str(goldens.model_path("sequential_2d"))
    command = [sys.executable, "-c", code, path]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    modules = set(done.stdout.split())
    assert "lcfast.models.scoring" in modules
    assert not modules & {"click", "tqdm", "scipy", "lcfast.rows", "lcfast.cli", "matplotlib"}
