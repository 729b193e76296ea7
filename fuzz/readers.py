"""The readers under test: the seeds of each, and how it reads given bytes."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import lcfast
from fuzz import mutators
from lcfast.errors import ModelFileError
from lcfast.io import object_graph
from lcfast.io.reading import model_config
from lcfast.models.deserializing import Problems, model_of

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests" / "golden"
# The messages of Python, numpy and HDF5.
_OUT_OF_MEMORY = re.compile(r"MemoryError|nable to allocate|an't allocate|memory allocation failed")

Feed = Callable[[bytes, Path], None]


@dataclass(frozen=True)
class Reader:
    """One reader under test."""

    seeds: Callable[[], Iterator[bytes]]
    #: Reads the bytes as a file of its format, in an empty directory.
    feed: Feed
    mutate: mutators.Mutator


def run(feed: Feed, data: bytes, directory: Path) -> None:
    """Feed bytes to a reader; any error other than ModelFileError or OSError is a finding.

    Raises
    ------
    AssertionError
        If memory ran out: the reader must not allocate what a file only claims to hold.
    """
    try:
        feed(data, directory)
    except (ModelFileError, OSError) as error:
        chain: BaseException | None = error
        while chain is not None:
            found = f"{type(chain).__name__}: {chain}"
            if _OUT_OF_MEMORY.search(found):
                raise AssertionError(f"memory ran out: {found}") from error
            chain = chain.__cause__ or chain.__context__


def _attempt(*readings: Callable[[], object]) -> None:
    """Read in each way, even if an earlier one raised OSError; raise the last such error."""
    refused: Exception | None = None
    for reading in readings:
        try:
            run(lambda _, __, reading=reading: reading(), b"", Path())
        except OSError as error:
            refused = error
    if refused is not None:
        raise refused


def _file(name: str) -> Feed:
    def feed(data: bytes, directory: Path) -> None:
        path = directory / name
        path.write_bytes(data)
        _attempt(lambda: dict(lcfast.read_weights(path)), lambda: lcfast.load_model(path))

    return feed


def _checkpoint(data: bytes, directory: Path) -> None:
    """The bytes are the index; the data file is that of the golden."""
    prefix = directory / "weights"
    golden = GOLDEN / "checkpoint_sequential" / "weights.data-00000-of-00001"
    shutil.copy(golden, directory / golden.name)
    Path(f"{prefix}.index").write_bytes(data)
    _attempt(lambda: dict(lcfast.read_weights(prefix)), lambda: _find_layers(prefix))


def _find_layers(prefix: Path) -> None:
    with lcfast.io.open_weights(prefix) as file:
        file.find_layers()


def _object_graph(data: bytes, _: Path) -> None:
    objects = object_graph.read_object_graph(memoryview(data))
    object_graph.weight_names(objects)
    for number in range(min(len(objects), 20)):
        _attempt(lambda number=number: object_graph.keys_in_order(objects, number))


def _saved_model(data: bytes, directory: Path) -> None:
    """The first byte says what the others are: the Keras metadata, or the older graph."""
    name, source = ("keras_metadata.pb", "saved_model_functional")
    if data[:1] == b"g":
        name, source = ("saved_model.pb", "saved_model_older")
    shutil.copytree(GOLDEN / source, directory / "model")
    (directory / "model" / name).write_bytes(data[1:])
    _attempt(lambda: lcfast.load_model(directory / "model"))


def _json(data: bytes, _: Path) -> None:
    """The bytes are the config of a model, which is built without weights."""
    text = data.decode(errors="replace")
    problems = Problems()
    model_of(model_config(text, "the text"), "the text", problems)
    problems.stop_if_any("the text")


def _files(*patterns: str) -> Callable[[], Iterator[bytes]]:
    def seeds() -> Iterator[bytes]:
        for pattern in patterns:
            for path in sorted(GOLDEN.glob(pattern)):
                if path.stat().st_size <= mutators.LARGEST:
                    yield path.read_bytes()

    return seeds


def _hdf5_files() -> Iterator[bytes]:
    yield from _files("*.h5")()
    for name in ("model_*1d*.h5", "container_*1d.weights.h5"):
        yield from (mutators.in_newest_layout(seed) for seed in _files(name)())


def _archives() -> Iterator[bytes]:
    yield from _files("container_*.keras")()
    yield from (mutators.packed(seed) for seed in _files("container_*.keras")())
    yield from (mutators.with_newest_layout(seed) for seed in _files("container_*1d.keras")())


def _metadata() -> Iterator[bytes]:
    yield from (b"m" + seed for seed in _files("saved_model_*/keras_metadata.pb")())
    yield from (b"g" + seed for seed in _files("saved_model_older/saved_model.pb")())


def _graphs() -> Iterator[bytes]:
    prefixes = [GOLDEN / "checkpoint_sequential" / "weights"]
    prefixes += [path / "variables" / "variables" for path in GOLDEN.glob("saved_model_*")]
    for prefix in sorted(prefixes):
        yield mutators.graph_of_checkpoint(prefix)


def _configs() -> Iterator[bytes]:
    import h5py

    for path in sorted(GOLDEN.glob("*.h5")):
        with h5py.File(path) as file:
            if "model_config" in file.attrs:
                text = file.attrs["model_config"]
                yield text if isinstance(text, bytes) else text.encode()
    for archive in _files("container_*.keras")():
        yield json.dumps(json.loads(mutators.members(archive)["config.json"])).encode()


READERS: dict[str, Reader] = {
    "hdf5": Reader(_hdf5_files, _file("model.h5"), mutators.hdf5),
    "keras": Reader(_archives, _file("model.keras"), mutators.archive),
    "npz": Reader(
        _files("container_weights_network-0.npz", "adapt.npz"), _file("w.npz"), mutators.archive
    ),
    "checkpoint": Reader(_files("*/*.index", "*/*/*.index"), _checkpoint, mutators.table),
    "object_graph": Reader(_graphs, _object_graph, mutators.message),
    "saved_model": Reader(_metadata, _saved_model, mutators.tagged_message),
    "json": Reader(_configs, _json, mutators.config),
}
