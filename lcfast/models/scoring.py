"""`predict`: rows are scored block by block, from arrays, files or iterators."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from itertools import chain
from typing import Any

import numpy as np

from lcfast.layers.core import arguments, call_state
from lcfast.layers.core.layer import apart
from lcfast.local_conv import ops
from lcfast.local_conv.threads import limited_threads
from lcfast.models.blocks import rows_at_once, rows_of_program, rows_to_read
from lcfast.models.compiling import compiled, compiled_run, quick_answer, remember
from lcfast.models.execution import Observer
from lcfast.models.inputs import as_arrays, in_order, is_sliceable
from lcfast.models.structure import ModelStructure, as_list, may_fit


def predict(
    model: ModelStructure,
    x: Any,
    batch_size: int | None = None,
    verbose: int = 0,
    out: Any = None,
    num_threads: int | None = None,
    progress: Callable[[int], object] | None = None,
    observe: Observer | None = None,
) -> Any:
    """Score rows in blocks: `Model.predict`, with an observer of each step of the graph."""
    if num_threads is not None:
        with limited_threads(num_threads):
            return predict(model, x, batch_size, verbose, out, None, progress, observe)
    if type(x) is np.ndarray and verbose != 1 and observe is None:
        y = quick_answer(model, x, batch_size, out)
        if y is not None:
            if progress is not None:
                progress(len(y))
            return y
    if batch_size is not None:
        batch_size = arguments.positive_int(batch_size, "batch_size", most=math.inf)
    return _predict_blocks(model, x, batch_size, verbose, out, progress, observe)


def _predict_blocks(
    model: ModelStructure,
    x: Any,
    batch_size: int | None,
    verbose: int,
    out: Any,
    progress: Callable[[int], object] | None,
    observe: Observer | None,
) -> Any:
    """Score rows that must be read, converted, collected or reported."""
    if isinstance(x, Iterator):
        answers = Answers(model, None, out)
        blocks: Iterator[list[Any]] = (_block_in_order(model, block) for block in x)
        first = next(blocks, None)  # builds a model that waits for its input shape
        if first is None and answers.sink is not None:
            return out
        blocks = chain([_no_rows(model) if first is None else first], blocks)
        record = model.record()
    else:
        sources = in_order(model, x)
        rows, record = len(sources[0]), model.record()
        progresses = verbose == 1 or progress is not None
        most = batch_size or _rows_at_once(model, record, sources, progresses)
        batch_size = min(most, max(rows, 1))
        if rows <= batch_size and out is None and verbose != 1:  # quicker than to collect
            parts = [s if type(s) is np.ndarray else s[:rows] for s in sources]
            arrays = as_arrays(model, parts)
            outputs = apart(_outputs(model, record, arrays, None, observe), arrays)
            if progress is not None:
                progress(rows)
            return outputs if model._gives_list else outputs[0]
        answers = Answers(model, rows, out)
        blocks = _read([answers.without_overlap(source) for source in sources], batch_size)
    with _bar(answers.rows) if verbose == 1 else nullcontext() as bar:
        for arrays in _batches(model, record, blocks, batch_size):
            count = len(arrays[0])
            outputs = _outputs(model, record, arrays, answers.next_rows(count), observe)
            answers.take(outputs, arrays)
            if progress is not None:
                progress(count)
            if bar is not None:
                bar.update(count)
    return answers.all()


def _batches(
    model: ModelStructure, record: Any, blocks: Iterator[list[Any]], batch_size: int | None
) -> Iterator[list[np.ndarray]]:
    """The blocks as arrays of at most `batch_size` rows."""
    for block in blocks:
        size = batch_size or _rows_at_once(model, record, block, False)
        for start in range(0, max(len(block[0]), 1), size):
            yield as_arrays(model, [values[start : start + size] for values in block])


def _rows_at_once(
    model: ModelStructure, record: Any, block: list[Any], progresses: bool = True
) -> int:
    if len(block[0]) <= 1:
        return 1
    shapes = [values.shape for values in block]
    if not model._computes_by_call and all(map(may_fit, _row_shapes(model), shapes)):
        program = compiled(*model.scoring_graph(record), [shape[1:] for shape in shapes]).whole
        if program is not None:
            ready = all(
                isinstance(values, np.ndarray) and values.dtype == program.runner.steps.dtype
                for values in block
            )
            return rows_of_program(program.runner.steps, ready, progresses)
    return rows_at_once(model.graph_of_layers(), record, shapes)


def _row_shapes(model: ModelStructure) -> list[Any]:
    return [tensor.shape for tensor in model.inputs]


def _outputs(
    model: ModelStructure,
    record: Any,
    arrays: list[np.ndarray],
    out: np.ndarray | None,
    observe: Observer | None,
) -> list[np.ndarray]:
    with call_state.without_losses():
        if model._computes_by_call:
            return as_list(model.compute(record, arrays))
        graph, records = model.scoring_graph(record)
        outputs = compiled_run(graph, records, arrays, out, observe)
        remember(model, record, graph, records, arrays)
        return outputs


def _block_in_order(model: ModelStructure, block: Any) -> list[Any]:
    """What an iterator gave, in the model's order; a tuple has one array for each input."""
    if isinstance(block, tuple):
        if model.built and len(block) != len(model.inputs):
            raise ValueError(
                f"A block of the iterator is a tuple of {len(block)} arrays; model {model.name} "
                f"has {len(model.inputs)} inputs."
            )
        block = block[0] if len(block) == 1 else list(block)
    return in_order(model, block)


def _no_rows(model: ModelStructure) -> list[Any]:
    """Inputs without rows, for an iterator without blocks."""
    model.graph_of_layers()
    if any(None in tensor.shape[1:] for tensor in model.inputs):
        raise ValueError(
            f"The iterator gave no block, and model {model.name} takes inputs of any size, so "
            "the shape of the output is not known; give one block, with 0 rows if need be."
        )
    return [np.empty((0, *tensor.shape[1:]), tensor.dtype) for tensor in model.inputs]


class Answers:
    """Collects the outputs of one block after the other, in the arrays or sink of the caller.

    Parameters
    ----------
    model : ModelStructure
        What scores.
    rows : int or None
        How many there will be, where that is known.
    out : array, list of arrays, sink or None
        The argument of `predict`; None makes new arrays.
    """

    def __init__(self, model: ModelStructure, rows: int | None, out: Any) -> None:
        self.sink = out if hasattr(out, "write") and not is_sliceable(out) else None
        self.rows = rows
        self._name, self._several = model.name, model._gives_list
        self._done = 0
        self._pieces: list[list[np.ndarray]] = []  # of each output, while `rows` is not known
        self._targets: list[Any] | None = None
        self._given: list[Any] | None = None
        if out is not None and self.sink is None:
            if self._several and not isinstance(out, list | tuple):
                raise ValueError(
                    f"Model {self._name} has a list of outputs; `out` takes one array for each, "
                    "in a list."
                )
            self._given = list(out) if self._several else [out]

    def without_overlap(self, source: Any) -> Any:
        """`source`, or a copy where writing an answer could change it."""
        arrays = [target for target in self._given or () if isinstance(target, np.ndarray)]
        return apart(source, arrays) if isinstance(source, np.ndarray) and arrays else source

    def next_rows(self, count: int) -> np.ndarray | None:
        """The part of a lone output array that the next rows may be computed into."""
        if self._targets is None or len(self._targets) != 1:
            return None
        target, end = self._targets[0], self._done + count
        if not isinstance(target, np.ndarray) or end > len(target):
            return None
        return target[self._done : end].view(np.ndarray)

    def take(self, outputs: Sequence[np.ndarray], arrays: list[np.ndarray]) -> None:
        """Keep the outputs of the next rows, which were computed from `arrays`."""
        if self.sink is not None:
            self.sink.write(list(outputs))
            return
        if self._targets is None and (self.rows is not None or self._given is not None):
            self._targets = self._checked_targets(outputs)
        if self._targets is None:
            if not self._pieces:
                self._pieces = [[] for _ in outputs]
            for pieces, y in zip(self._pieces, apart(list(outputs), arrays), strict=True):
                pieces.append(y)
            return
        rows = slice(self._done, self._done + len(arrays[0]))
        for target, y in zip(self._targets, outputs, strict=True):
            if rows.stop > len(target):
                raise ValueError(
                    f"out has {len(target)} rows; the iterator gave more, {rows.stop} so far."
                )
            if not (isinstance(target, np.ndarray) and _is_same_memory(y, target[rows])):
                target[rows] = y
        self._done = rows.stop

    def all(self) -> Any:
        """The answers for all rows: one array, or a list of them; the sink where there is one."""
        if self.sink is not None:
            return self.sink
        if self._targets is None:
            found = [np.concatenate(p) if len(p) > 1 else p[0] for p in self._pieces]
        else:
            found = self._targets
            if len(found[0]) != self._done:
                raise ValueError(
                    f"out has {len(found[0])} rows; the iterator gave {self._done} in all."
                )
        return found if self._several else found[0]

    def _checked_targets(self, outputs: Sequence[np.ndarray]) -> list[Any]:
        given = self._given or [None] * len(outputs)
        if len(given) != len(outputs):
            raise ValueError(
                f"Model {self._name} has {len(outputs)} outputs; `out` has {len(given)} arrays."
            )
        return [_target(out, y, self.rows) for out, y in zip(given, outputs, strict=True)]


def _target(out: Any, first: np.ndarray, rows: int | None) -> Any:
    """`out`, checked against the first rows of an answer, or a new array."""
    if rows is None:
        rows = len(out) if hasattr(out, "__len__") else 0
    shape = (rows, *first.shape[1:])
    if out is None or isinstance(out, np.ndarray) or not is_sliceable(out):
        return ops.as_output(out, shape, first.dtype)
    if out.dtype != first.dtype:
        raise TypeError(f"out has dtype {out.dtype}; expected {first.dtype}.")
    if tuple(out.shape) != shape:
        raise ValueError(f"out has shape {tuple(out.shape)}; expected {shape}.")
    return out


def _read(sources: list[Any], batch_size: int) -> Iterator[list[Any]]:
    """Blocks of the rows of all sources; arrays in memory, or mapped into it, are one block."""
    if all(isinstance(source, np.ndarray) for source in sources):
        yield sources
        return
    row_bytes = sum(math.prod(s.shape[1:]) * s.dtype.itemsize for s in sources)
    size = rows_to_read(batch_size, max(map(_rows_of_chunk, sources)), row_bytes)
    for start in range(0, max(len(sources[0]), 1), size):
        yield [source[start : start + size] for source in sources]


def _rows_of_chunk(source: Any) -> int:
    """Rows that a source stores together; 1 where it does not say."""
    sizes = getattr(source, "chunks", None)
    if not sizes:
        return 1
    # h5py and zarr give the shape of a chunk, dask the sizes of all chunks along each axis.
    return max(sizes[0], default=1) if isinstance(sizes[0], tuple | list) else int(sizes[0])


def _is_same_memory(y: np.ndarray, part: np.ndarray) -> bool:
    return y.shape == part.shape and y.strides == part.strides and y.ctypes.data == part.ctypes.data


def _bar(rows: int | None) -> Any:
    from tqdm import tqdm  # here: `import lcfast` must stay fast

    return tqdm(total=rows, unit=" rows", unit_scale=True)
