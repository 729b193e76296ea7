"""Programs: where values lie, how rows are cut, and that neither changes a bit of the result."""

import numpy as np
import pytest

import lcfast
from lcfast.local_conv.compute_options import DEFAULT_OPTIONS
from lcfast.models.compiling import compiled
from lcfast.models.execution import run
from lcfast.program import schedule as schedules
from lcfast.program import stages as stages_of
from lcfast.program.builder import ProgramBuilder
from lcfast.program.layout import ARENA, places
from lcfast.program.runner import Runner
from lcfast.program.schedule import Schedule, schedule

PATH = DEFAULT_OPTIONS.path()


def random(*shape):
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)


def model():
    inputs = lcfast.Input((14, 12, 3))
    x = lcfast.Conv2D(8, 3, padding="same", activation="relu")(inputs)
    y = lcfast.BatchNormalization()(x)
    x = lcfast.MaxPooling2D(2)(lcfast.Add()([x, y]))
    x = lcfast.LocallyConnected2D(5, 2, activation="tanh")(x)
    x = lcfast.Concatenate()([lcfast.Flatten()(x), lcfast.GlobalAveragePooling2D()(x)])
    return lcfast.Model(inputs, lcfast.Dense(7, activation="softmax")(x))


def runner_of(made, x):
    graph, records = made.scoring_graph(made.record())
    (part,) = compiled(graph, records, [x.shape[1:]]).parts
    return part.runner, run(graph, records, [x])[0]


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize("block_rows", [1, 2, 7, 20, 50])
def test_no_schedule_changes_the_result(block_rows, within, threads):
    x = random(50, 14, 12, 3)
    runner, expected = runner_of(model(), x)
    program = runner.program
    program.run_as(Schedule(block_rows, within, threads), 50, 2)
    out = np.empty_like(expected)
    seconds = np.zeros((threads, len(runner.steps.steps)))
    program.run((x, out), 50, 2, seconds)
    assert out.tobytes() == expected.tobytes()
    assert seconds.sum() > 0
    assert (seconds >= 0).all()


def test_values_that_are_alive_at_the_same_time_do_not_overlap():
    steps = runner_of(model(), random(1, 14, 12, 3))[0].steps
    where, size = places(steps)
    last_use = {v.slot: n for n, step in enumerate(steps.steps) for v in step.inputs}
    first_use = {}
    for n, step in enumerate(steps.steps):
        first_use.setdefault(step.output.slot, n)
    in_arena = [slot for slot in first_use if where[slot][0] == ARENA]
    assert len(in_arena) > 5
    for a in in_arena:
        begin, end = where[a][1], where[a][1] + 4 * steps.sizes[a]
        assert end <= size
        for b in in_arena:
            # An element-wise step may write over the input that it is the last to read.
            apart = last_use[a] <= first_use[b] or last_use[b] <= first_use[a]
            if a < b and not apart:
                other = where[b][1], where[b][1] + 4 * steps.sizes[b]
                assert end <= other[0] or other[1] <= begin


def test_the_arena_does_not_grow_with_the_rows():
    steps = runner_of(model(), random(1, 14, 12, 3))[0].steps
    row_bytes = schedules.bytes_of_row(steps)
    for rows in (100, 10_000, 10_000_000):
        how = schedule(steps, row_bytes, rows, 2)
        assert how.block_rows * row_bytes <= schedules.SHARED_BYTES
        assert how.threads == 2


def test_little_work_uses_one_thread():
    steps = runner_of(model(), random(1, 14, 12, 3))[0].steps
    assert schedule(steps, schedules.bytes_of_row(steps), 1, 8).threads == 1


@pytest.mark.parametrize("rows", [1, 9, 40])
def test_stages_have_the_bits_of_the_whole(rows, monkeypatch):
    monkeypatch.setattr(stages_of, "HEAVY_BYTES", 8000)
    monkeypatch.setattr(stages_of, "MOST_CACHED_WEIGHTS", 0)
    monkeypatch.setattr("lcfast.program.runner.SHARED_BYTES", 8000)  # several chunks
    x = random(rows, 14, 12, 3)
    runner, expected = runner_of(model(), x)
    assert len(runner.programs) == 2
    assert runner.program is None
    for threads in (1, 2):
        (found,), _ = runner([x], None, threads)
        assert found.tobytes() == expected.tobytes()


def test_a_copy_moves_what_numpy_moves():
    x = random(3, 4, 5, 6)
    builder = ProgramBuilder(np.float32)
    value = builder.input((4, 5, 6))
    moved = builder.transposed(value, (2, 0, 1))
    padded = builder.placed(
        value, (6, 5, 8), [slice(1, 5), slice(None), slice(2, 8)], [slice(None)] * 3, fill=-2.0
    )
    inner = [slice(1, 3), slice(None), slice(3)]
    cropped = builder.placed(value, (2, 5, 3), [slice(None)] * 3, inner)
    joined = builder.concatenated([value, value, cropped_to(builder, value)], 1)
    repeated = builder.repeated(value, (4, 2, 30), (30, 0, 1))
    wanted = [moved, padded, cropped, joined, repeated]
    found, _ = Runner(builder.finished(wanted), PATH, {})([x], None, 1)
    full = np.full((3, 6, 5, 8), -2, np.float32)
    full[:, 1:5, :, 2:] = x
    expected = [
        x.transpose(0, 3, 1, 2),
        full,
        x[:, 1:3, :, :3],
        np.concatenate([x, x, x[:, :, :2]], axis=2),
        np.repeat(x.reshape(3, 4, 1, 30), 2, axis=2),
    ]
    for got, array in zip(found, expected, strict=True):
        assert np.array_equal(got, array)


def cropped_to(builder, value):
    everything = slice(None)
    return builder.placed(value, (4, 2, 6), [everything] * 3, [everything, slice(2), everything])


def test_an_input_without_rows_gives_an_output_without_rows():
    made = model()
    assert made.predict(np.empty((0, 14, 12, 3), np.float32)).shape == (0, 7)
