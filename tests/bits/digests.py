"""Compute the digests of all cases, on the SIMD path of this process.

    LCFAST_KERNEL=avx2 python tests/bits/digests.py

Prints "path NAME", then "case digest" for each case, or "case differs: ..." where the bits depend
on the threads or on how the batch is split, and at last "all digest"; needs lcfast alone.
"""

import hashlib
from typing import Any

import numpy as np
from digest_cases import CASES, DTYPES, Case, integers, numbers

import lcfast
from lcfast.local_conv import dispatch, threads

BLOCKS = (1, 3, 16)
"""Rows of the first parts that a batch is split into; the last part is all others."""
SHOWN = 16
"""Hexadecimal digits of a digest: an accident among these cases is out of the question."""


def as_list(arrays: Any) -> list[Any]:
    return list(arrays) if isinstance(arrays, list | tuple) else [arrays]


def built(case: Case, dtype: str) -> Any:
    """The layer or model of a case, with its weights."""
    subject = case.make(dtype)
    if not subject.built:
        subject.build((None, *case.shapes[0]))
    weights = [
        numbers(weight.shape, dtype, 100 + i) for i, weight in enumerate(subject.get_weights())
    ]
    if case.positive_weights:
        weights = [np.abs(weight) + weight.dtype.type(0.25) for weight in weights]
    subject.set_weights(weights)
    return subject


def inputs_of(case: Case, dtype: str) -> list[np.ndarray]:
    shapes = [(case.rows, *shape) for shape in case.shapes]
    if case.indices:
        return [
            (integers(shape, i) % np.uint64(case.indices)).astype(np.int32)
            for i, shape in enumerate(shapes, 1)
        ]
    return [numbers(shape, dtype, i) for i, shape in enumerate(shapes, 1)]


def upstream_of(subject: Any, inputs: list[np.ndarray]) -> list[np.ndarray]:
    """Gradients of the outputs."""
    outputs = as_list(subject(inputs if len(inputs) > 1 else inputs[0]))
    return [numbers(y.shape, y.dtype.name, 50 + i) for i, y in enumerate(outputs)]


def answers(
    subject: Any, inputs: list[np.ndarray], upstream: list[np.ndarray]
) -> tuple[list[Any], list[Any]]:
    """What there is for each row, outputs and gradients of the inputs; and those of the weights."""
    outputs, pullback = subject.vjp(inputs if len(inputs) > 1 else inputs[0])
    dx, dweights = pullback(upstream if isinstance(outputs, list) else upstream[0])
    of_rows = [*as_list(outputs), *as_list(dx)]
    return [array for array in of_rows if array is not None], as_list(dweights)


def digest_of(arrays: list[np.ndarray]) -> str:
    """One digest over dtypes, shapes and little-endian bytes."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(f"{array.dtype.name} {array.shape};".encode())
        total.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")))
    return total.hexdigest()[:SHOWN]


def parts_of(rows: int) -> list[slice]:
    """The whole batch, cut into a few parts of different sizes."""
    ends = [end for end in np.cumsum(BLOCKS).tolist() if end < rows]
    return [slice(first, end) for first, end in zip([0, *ends], [*ends, rows], strict=True)]


def digest_of_case(case: Case, dtype: str) -> str:
    """The digest of a case, the same for both numbers of threads, and for a batch in parts."""
    subject, inputs = built(case, dtype), inputs_of(case, dtype)
    upstream = upstream_of(subject, inputs)
    found = {}
    for count in (1, 2):
        lcfast.set_num_threads(count)
        of_rows, dweights = answers(subject, inputs, upstream)
        found[f"{count} threads"] = digest_of([*of_rows, *dweights])
        parts = [
            answers(subject, [x[rows] for x in inputs], [dy[rows] for dy in upstream])[0]
            for rows in parts_of(case.rows)
        ]
        joined = [np.concatenate(pieces) for pieces in zip(*parts, strict=True)]
        found[f"{count} threads, batch in parts"] = digest_of([*joined, *dweights])
    if len(set(found.values())) > 1:
        return f"differs: {found}"
    return found["1 threads"]


def main() -> None:
    threads.MULTIPLICATIONS_PER_THREAD = 1  # the second thread has its share of any work
    print(f"path {dispatch.active_path()}")
    total = hashlib.sha256()
    for name, case in CASES.items():
        for dtype in DTYPES:
            line = f"{name}-{dtype} {digest_of_case(case, dtype)}"
            total.update(line.encode())
            print(line, flush=True)
    print(f"all {total.hexdigest()[:SHOWN]}")


if __name__ == "__main__":
    main()
