"""`predict`: rows are scored block by block, however many there are and wherever they lie."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from lcfast.layers.core import arguments, call_state
from lcfast.layers.core.layer import apart
from lcfast.local_conv import ops
from lcfast.local_conv.threads import limited_threads
from lcfast.models.blocks import MEMORY_BYTES, rows_at_once
from lcfast.models.graph import Graph
from lcfast.models.structure import ModelStructure


class Scoring(ModelStructure):
    """The part of a model that scores rows in blocks."""

    _gives_list: bool

    if TYPE_CHECKING:  # what Model defines

        def _rows(self, inputs: Any) -> list[Any]: ...
        def _arrays(self, inputs: Any) -> list[np.ndarray]: ...

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: int = 0,
        out: Any = None,
        num_threads: int | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> Any:
        """Score rows in blocks; the answer does not depend on `batch_size`, to the bit.

        What is read and converted at once is one block, so `x` and `out` may be larger than the
        memory.

        Parameters
        ----------
        x : array_like, shape (rows, ...)
            Any real dtype: an array, mapped into memory or not, or what has a shape, a dtype and
            slices as one has, such as the datasets of h5py and the arrays of zarr.  A list of
            them where the model has several inputs, or a dict by the names of its input layers.
            Or an iterator of blocks of rows, each an array, or a tuple of one for each input.
        batch_size : int, optional
            Rows of a block.  By default as many as fill 8 MiB with the values that the layers
            pass on, or as many bytes as the weights, where those are more, but at most 256 MiB
            and 16,384 rows.
        verbose : int
            1 shows a progress bar.
        out : ndarray, h5py.Dataset or zarr.Array, optional
            Where the output goes; a list of them where there are several outputs.
        num_threads : int, optional
            Threads of this call, at most; by default `lcfast.get_num_threads()`.
        progress : callable, optional
            Called with the number of rows after each block.

        Returns
        -------
        ndarray, or list of ndarray where there are several outputs
            `out`, where it is given.

        Raises
        ------
        TypeError, ValueError
            If an input or `out` has the wrong type, dtype, rank or shape.

        References
        ----------
        https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/Model#predict

        Examples
        --------
        >>> import numpy as np, lcfast
        >>> model = lcfast.Sequential([lcfast.Dense(2, input_shape=(3,))])
        >>> model.predict(np.zeros((4, 3)))
        array([[0., 0.],
               [0., 0.],
               [0., 0.],
               [0., 0.]], dtype=float32)

        Rows that are made, or read, while they are scored:

        >>> model.predict(np.full((2, 3), n, np.int8) for n in range(3)).shape
        (6, 2)
        """
        if batch_size is not None:
            batch_size = arguments.positive_int(batch_size, "batch_size", most=math.inf)
        with nullcontext() if num_threads is None else limited_threads(num_threads):
            if isinstance(x, Iterator):
                return self._predict_blocks(x, batch_size, verbose, out, progress)
            x = self._without_names(x)
            graph = self._graph_for(x)
            sources, record = self._rows(x), self.record()
            rows = len(sources[0])
            if batch_size is None:
                batch_size = (
                    rows_at_once(graph, record, [source.shape for source in sources])
                    if rows > 1
                    else 1
                )
            if rows <= batch_size and out is None and not verbose:
                answer = self._score_whole(record, sources)
                if progress is not None:
                    progress(rows)
                return answer
            answers = Answers(self.name, rows, out, self._gives_list)
            sources = [answers.apart_from(source) for source in sources]
            blocks = _read(sources, batch_size)
            return self._score(graph, record, blocks, batch_size, answers, verbose, progress)

    def _predict_blocks(
        self,
        given: Iterator[Any],
        batch_size: int | None,
        verbose: int,
        out: Any,
        progress: Callable[[int], object] | None,
    ) -> Any:
        first = next(given, None)
        if first is None:
            first = self._no_rows()
        graph = self._graph_for(self._of_block(first))
        answers = Answers(self.name, None, out, self._gives_list)
        blocks = map(self._rows, map(self._of_block, chain([first], given)))
        return self._score(graph, self.record(), blocks, batch_size, answers, verbose, progress)

    def _score(
        self,
        graph: Graph,
        record: Any,
        blocks: Iterable[list[Any]],
        batch_size: int | None,
        answers: Answers,
        verbose: int,
        progress: Callable[[int], object] | None,
    ) -> Any:
        """Score blocks, cut into ones of `batch_size` rows, and return all their answers."""
        with _bar(answers.rows) if verbose == 1 else nullcontext() as bar:
            for block in blocks:
                rows = len(block[0])
                most = batch_size or rows_at_once(graph, record, [part.shape for part in block])
                for start in range(0, max(rows, 1), most):
                    part = [array[start : start + most] for array in block]
                    arrays = self._arrays(part if len(part) > 1 else part[0])
                    done = len(arrays[0])
                    with call_state.without_losses():
                        outputs: Any = self.forward(record, arrays, out=answers.room_for(done))
                    answers.take(list(outputs) if self._gives_list else [outputs], arrays)
                    if progress is not None:
                        progress(done)
                    if bar is not None:
                        bar.update(done)
        return answers.whole()

    def _score_whole(self, record: Any, sources: list[Any]) -> Any:
        """The answer for rows that are one block: what a small model at batch 1 comes to."""
        whole = [s if type(s) is np.ndarray else s[0 : len(s)] for s in sources]
        arrays = self._arrays(whole if len(whole) > 1 else whole[0])
        with call_state.without_losses():
            outputs = self.forward(record, arrays)
        if not self._gives_list:
            return apart(outputs, arrays)
        return [apart(y, [*arrays, *outputs[:i]]) for i, y in enumerate(outputs)]

    def _of_block(self, block: Any) -> Any:
        """What an iterator gave as the model's inputs; a tuple has one array for each input."""
        if not isinstance(block, tuple):
            return self._without_names(block)
        if self.built and len(block) != len(self.inputs):
            raise ValueError(
                f"A block of the iterator is a tuple of {len(block)} arrays; model {self.name} has "
                f"{len(self.inputs)} inputs."
            )
        return block[0] if len(block) == 1 else list(block)

    def _no_rows(self) -> Any:
        """Inputs without any row, for an iterator without any block."""
        self.graph_of_layers()
        if any(None in tensor.shape[1:] for tensor in self.inputs):
            raise ValueError(
                f"The iterator gave no block, and model {self.name} takes inputs of any size, so "
                "the shape of the output is not known; give one block, of no rows if need be."
            )
        return tuple(np.empty((0, *t.shape[1:]), t.dtype) for t in self.inputs)


class Answers:
    """Where the rows of the outputs go, one block after the other.

    Parameters
    ----------
    model : str
        Name of the model, for errors.
    rows : int or None
        How many there will be, where that is known.
    out : array, list of them, or None
        Where the caller wants them.
    several : bool
        Whether the model has a list of outputs.
    """

    def __init__(self, model: str, rows: int | None, out: Any, several: bool) -> None:
        self.rows = rows
        self._model = model
        self._several = several
        self._done = 0
        self._pieces: list[list[np.ndarray]] = []  # of each output, while `rows` is not known
        self._targets: list[Any] | None = None
        self._given: list[Any] | None = None
        if out is not None:
            if several and not isinstance(out, list | tuple):
                raise ValueError(
                    f"Model {model} has a list of outputs; `out` takes one array for each, in a "
                    "list."
                )
            self._given = list(out) if several else [out]

    def apart_from(self, source: Any) -> Any:
        """`source`, or a copy where writing an answer could change it."""
        arrays = [target for target in self._given or () if isinstance(target, np.ndarray)]
        return apart(source, arrays) if isinstance(source, np.ndarray) and arrays else source

    def room_for(self, rows: int) -> np.ndarray | None:
        """The part of a lone output that the next rows may be computed right into."""
        if self._targets is None or len(self._targets) != 1:
            return None
        target = self._targets[0]
        place = slice(self._done, self._done + rows)
        if not isinstance(target, np.ndarray) or place.stop > len(target):
            return None
        return target[place].view(np.ndarray)

    def take(self, outputs: Sequence[np.ndarray], arrays: list[np.ndarray]) -> None:
        """Keep the outputs of the next rows, which were computed from `arrays`."""
        rows = len(arrays[0])
        if self._targets is None and (self.rows is not None or self._given is not None):
            self._targets = self._checked_targets(outputs)
        if self._targets is None:
            if not self._pieces:
                self._pieces = [[] for _ in outputs]
            for i, (pieces, y) in enumerate(zip(self._pieces, outputs, strict=True)):
                pieces.append(apart(y, [*arrays, *outputs[:i]]))
        else:
            place = slice(self._done, self._done + rows)
            for target, y in zip(self._targets, outputs, strict=True):
                if place.stop > len(target):
                    raise ValueError(
                        f"out has {len(target)} rows; the iterator gave more, {place.stop} so far."
                    )
                if not (isinstance(target, np.ndarray) and _is_part(y, target, place)):
                    target[place] = y
        self._done += rows

    def whole(self) -> Any:
        """The answers for all rows: one array, or a list of them."""
        if self._targets is None:
            wholes = [np.concatenate(p) if len(p) > 1 else p[0] for p in self._pieces]
        else:
            wholes = self._targets
            if len(wholes[0]) != self._done:
                raise ValueError(
                    f"out has {len(wholes[0])} rows; the iterator gave {self._done} in all."
                )
        return wholes if self._several else wholes[0]

    def _checked_targets(self, outputs: Sequence[np.ndarray]) -> list[Any]:
        given = self._given or [None] * len(outputs)
        if len(given) != len(outputs):
            raise ValueError(
                f"Model {self._model} has {len(outputs)} outputs; `out` has {len(given)} arrays."
            )
        return [_target(out, y, self.rows) for out, y in zip(given, outputs, strict=True)]


def _target(out: Any, first: np.ndarray, rows: int | None) -> Any:
    """`out`, checked against the first rows of an answer, or a new array."""
    if rows is None:
        rows = len(out) if hasattr(out, "__len__") else 0
    shape = (rows, *first.shape[1:])
    if out is None or isinstance(out, np.ndarray) or not _is_sliceable(out):
        return ops.as_output(out, shape, first.dtype)
    if out.dtype != first.dtype:
        raise TypeError(f"out has dtype {out.dtype}; expected {first.dtype}.")
    if tuple(out.shape) != shape:
        raise ValueError(f"out has shape {tuple(out.shape)}; expected {shape}.")
    return out


def as_rows(value: Any, what: str) -> Any:
    """`value`, where it has a shape, a dtype and slices as an array has, or an array of it."""
    if isinstance(value, np.ndarray) or _is_sliceable(value):
        return value
    try:
        return np.asarray(value)
    except ValueError as error:  # lists of different lengths
        raise TypeError(f"{what} cannot be made into an array: {error}.") from None


def _is_sliceable(value: Any) -> bool:
    # What has `iloc` is of pandas, whose slices are something else.
    has_all = all(hasattr(value, name) for name in ("shape", "ndim", "dtype", "__getitem__"))
    return has_all and not hasattr(value, "iloc") and not isinstance(value, np.generic)


def _read(sources: list[Any], batch_size: int) -> Iterator[list[Any]]:
    """Blocks of the rows of all sources; arrays in memory, or mapped into it, are one block."""
    if all(isinstance(source, np.ndarray) for source in sources):
        yield sources
        return
    rows, size = len(sources[0]), rows_to_read(sources, batch_size)
    for start in range(0, max(rows, 1), size):
        yield [source[start : start + size] for source in sources]


def rows_to_read(sources: Sequence[Any], batch_size: int) -> int:
    """Rows to read at once: whole chunks of a file, each of which is then unpacked only once."""
    chunks = [getattr(source, "chunks", None) for source in sources]
    chunk = max((sizes[0] for sizes in chunks if sizes), default=1)
    size = -(-batch_size // chunk) * chunk
    row = sum(math.prod(s.shape[1:]) * s.dtype.itemsize for s in sources)
    return size if size * row <= MEMORY_BYTES else batch_size


def _is_part(y: np.ndarray, target: np.ndarray, place: slice) -> bool:
    """Whether `y` lies where it belongs already."""
    part = target[place]
    return y.shape == part.shape and y.strides == part.strides and y.ctypes.data == part.ctypes.data


def _bar(rows: int | None) -> Any:
    from tqdm import tqdm  # here: `import lcfast` must stay fast

    return tqdm(total=rows, unit=" rows", unit_scale=True)
