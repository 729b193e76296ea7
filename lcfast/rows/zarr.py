"""Rows in arrays of zarr, an optional dependency."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from lcfast.rows.stored_rows import NOTHING, Output, Reached, StoredRows, sliced


def zarr_array(path: str, member: str | None) -> StoredRows:
    """The rows of an array; None is the only one in a group."""
    zarr = _zarr(path)
    os.stat(path)  # raises OSError with the path, which zarr's error lacks
    try:
        found = zarr.open(path, mode="r")
        names = sorted(found.array_keys()) if hasattr(found, "array_keys") else []
        if names or member:
            name = names[0] if member is None and len(names) == 1 else (member or "").strip("/")
            found = found[name] if name else None
    except Exception as error:  # zarr's own errors differ from version to version
        raise ValueError(f"{path}: cannot be read as zarr: {error}") from None
    if found is None or not hasattr(found, "chunks"):
        raise ValueError(
            f"{path}: contains the arrays {', '.join(names) or 'none'}; name one, as in "
            f"{path}:{names[0] if names else 'NAME'}"
        )
    if not found.shape:
        raise ValueError(f"{path}: contains a single number; rows are needed")
    shape, dtype = tuple(found.shape), np.dtype(found.dtype)
    read = sliced(found, shape[0])
    address = path if member is None else f"{path}:{member}"
    return StoredRows(address, shape[1:], dtype, shape[0], read, int(found.chunks[0]))


def _zarr(path: str) -> Any:
    try:
        import zarr
    except ImportError:
        raise ValueError(
            f"{path}: needs the package zarr; install it with `pip install zarr`"
        ) from None
    return zarr


class ZarrWriter:
    """Writes the rows of each output into an array of the output's name, in one group.

    Parameters
    ----------
    path : str
        The directory.
    outputs : sequence of Output
        The outputs to write.
    rows : int or None
        The number of rows, if known.
    chunk : int
        The rows of a chunk; blocks of this size are written without reading chunks again.
    reached : Reached
        What the directory already contains.
    """

    def __init__(
        self,
        path: str,
        outputs: Sequence[Output],
        rows: int | None,
        chunk: int,
        reached: Reached = NOTHING,
    ) -> None:
        self.reached = reached
        self._grows = rows is None
        group = _zarr(path).open_group(path, mode="r+" if reached.rows else "w")
        if not reached.rows:
            create = getattr(group, "create_array", None) or group.create_dataset
            for name, row_shape, dtype in outputs:
                shape, chunks = (rows or 0, *row_shape), (max(chunk, 1), *row_shape)
                create(name=name, shape=shape, chunks=chunks, dtype=dtype)
        self._arrays = [group[output.name] for output in outputs]

    def write(self, blocks: list[np.ndarray]) -> None:
        """Write the next rows."""
        start, end = self.reached.rows, self.reached.rows + len(blocks[0])
        for array, block in zip(self._arrays, blocks, strict=True):
            if self._grows:
                array.resize((end, *array.shape[1:]))
            array[start:end] = block
        self.reached = Reached(end)

    def flush(self) -> None:
        """Do nothing: each block is already in its files."""

    def close(self) -> None:
        """Do nothing: there is no open file."""
