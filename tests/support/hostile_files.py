"""Files that refer to other files, or claim far more data than they hold; all are harmless.

Each function writes a file into an empty directory and says which function reads it. `outside` is a
directory that nothing may touch.
"""

import io
import json
import os
import pickle
import stat
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np

from tests.support import checkpoint_files, goldens
from tests.support.checkpoint_files import message
from tests.support.hostile_configs import LARGE, dense, sequential

Request = tuple[str, Path]  # the name of the reading function, such as load_model; the file
Built = tuple[Request, str]  # and a part of its error message
NUMBERS = np.arange(6, dtype=np.float32).reshape(3, 2)
KERNEL = "model_weights/attack/attack/kernel:0"
OF_KERAS = "layers/dense/vars/0"


class Leaves:
    """Unpickling this creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


# ---------------------------------------------------------------- a config in every container


def text_of(config: object) -> str:
    return json.dumps(config).replace('"@deep"', "[" * 100_000 + "]" * 100_000)


def as_json(config: object, directory: Path) -> Request:
    path = directory / "model.json"
    path.write_text(text_of(config))
    return "model_from_json", path


def as_h5(config: object, directory: Path) -> Request:
    path = directory / "model.h5"
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = text_of(config)
        file.attrs["keras_version"] = "2.15.0"
        file.create_group("model_weights").attrs["layer_names"] = np.array([], "S")
    return "load_model", path


def as_keras(config: object, directory: Path) -> Request:
    return write_archive(directory, {**parts(), "config.json": text_of(config)})


def as_saved_model(config: dict[str, object], directory: Path, older: bool = False) -> Request:
    path = directory / "model"
    (path / "variables").mkdir(parents=True)
    checkpoint_files.write_arrays(
        path / "variables" / "variables",
        {"variables/0": NUMBERS},
        [
            checkpoint_files.tracked_object({"layer-0": 1}),
            checkpoint_files.tracked_object({"0": 2}),
            checkpoint_files.tracked_object(key="variables/0", name="kernel"),
        ],
    )
    root = {"name": "model", **config, "keras_version": "2.9.0"}
    text = text_of(root)
    if older:
        described = message((4, message((1, "_tf_keras_model"), (3, text))))
        graph = message((2, message((2, b"graph"), (7, message((1, described))))))
        (path / "saved_model.pb").write_bytes(graph)
    else:
        node = message((2, 0), (3, "root"), (4, "_tf_keras_model"), (5, text))
        (path / "keras_metadata.pb").write_bytes(message((1, node)))
        (path / "saved_model.pb").write_bytes(message((1, 1)))
    return "load_model", path


def as_older_saved_model(config: dict[str, object], directory: Path) -> Request:
    return as_saved_model(config, directory, older=True)


CONTAINERS: dict[str, Callable[[dict[str, object], Path], Request]] = {
    "json": as_json,
    "h5": as_h5,
    "keras": as_keras,
    "saved_model": as_saved_model,
    "older_saved_model": as_older_saved_model,
}


def parts() -> dict[str, bytes]:
    with zipfile.ZipFile(goldens.DIRECTORY / "container_sequential.keras") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_archive(
    directory: Path,
    members: dict[str, bytes] | list[tuple[str | zipfile.ZipInfo, bytes]],
    name: str = "model.keras",
    packing: int = zipfile.ZIP_STORED,
) -> Request:
    pairs = members.items() if isinstance(members, dict) else members
    path = directory / name
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", packing) as archive:
        warnings.simplefilter("ignore")  # zipfile warns of duplicate names
        for member, content in pairs:
            archive.writestr(member, content)
    return ("load_model" if name.endswith(".keras") else "read_weights"), path


# ---------------------------------------------------------------- HDF5


def hdf5_files(directory: Path, outside: Path) -> Iterator[tuple[str, Callable[[h5py.File], None]]]:
    """What replaces a kernel, by name; the name starts with a part of the error message."""
    secret = str(outside / "secret")
    other = str(outside / "other.h5")

    def virtual(file: h5py.File) -> None:
        layout = h5py.VirtualLayout((3, 2), "f4")
        layout[:] = h5py.VirtualSource(other, "x", (3, 2), "f4")
        file.create_virtual_dataset(KERNEL, layout)

    def gzip_bomb(file: h5py.File) -> None:
        packer = zlib.compressobj()
        block = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
        made = file.create_dataset(KERNEL, (3, 2), "f4", chunks=(3, 2), compression="gzip")
        made.id.write_direct_chunk((0, 0), block[:2] + block[2:] * 2048)  # two gigabytes

    def lzf_bomb(file: h5py.File) -> None:
        made = file.create_dataset(KERNEL, (3, 2), "f4", chunks=(3, 2), compression="lzf")
        made.id.write_direct_chunk((0, 0), b"\0\0" + b"\xe0\xff\0" * 1000)

    def packed_twice(file: h5py.File) -> None:
        layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        layout.set_chunk((3, 2))
        layout.set_deflate(9)
        layout.set_deflate(9)
        links = h5py.h5p.create(h5py.h5p.LINK_CREATE)
        links.set_create_intermediate_group(True)
        space = h5py.h5s.create_simple((3, 2))
        kind = h5py.h5t.IEEE_F32LE
        made = h5py.h5d.create(file.id, KERNEL.encode(), kind, space, layout, lcpl=links)
        made.write(h5py.h5s.ALL, h5py.h5s.ALL, NUMBERS)

    def link(target: object) -> Callable[[h5py.File], None]:
        return lambda file: file.__setitem__(KERNEL, target)

    def dataset(*given: object, **options: object) -> Callable[[h5py.File], None]:
        return lambda file: file.create_dataset(KERNEL, *given, **options)

    yield "CVE-2025-12058 external link", link(h5py.ExternalLink(other, "x"))
    yield "CVE-2025-12058 soft link", link(h5py.SoftLink("/elsewhere"))
    yield "CVE-2025-12058 external storage", dataset((3, 2), "f4", external=[(secret, 0, 24)])
    yield "CVE-2025-12058 virtual dataset", virtual
    yield "terabytes", dataset((10**6, 10**6), "f4")
    yield "terabytes in chunks", dataset((10**6, 10**6), "f4", chunks=(10, 10), compression="gzip")
    yield "a chunk of gigabytes", dataset((3, 2), "f4", chunks=(30000, 30000), maxshape=(None,) * 2)
    yield "gzip bomb", gzip_bomb
    yield "lzf bomb", lzf_bomb
    yield "packed twice", packed_twice


SAID = {
    "CVE-2025-12058 external link": "a soft or external link, which lcfast never follows",
    "CVE-2025-12058 soft link": "a soft or external link, which lcfast never follows",
    "CVE-2025-12058 external storage": "in another file, which lcfast never opens",
    "CVE-2025-12058 virtual dataset": "in another file, which lcfast never opens",
    "terabytes": "bytes of numbers, but 0 are stored",
    "terabytes in chunks": "bytes of numbers, but 0 are stored",
    "a chunk of gigabytes": "bytes of numbers, but 0 are stored",
    "gzip bomb": "24 bytes of a chunk",
    "lzf bomb": "24 bytes of a chunk",
    "packed twice": " 2 times",
}


def write_h5(path: Path, write: Callable[[h5py.File], None]) -> Path:
    """A model of one Dense layer whose kernel is written by `write`."""
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(sequential(dense(use_bias=False)))
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = np.array([b"attack"])
        group = weights.create_group("attack")
        group.attrs["weight_names"] = np.array([b"attack/kernel:0"])
        file.create_group("elsewhere")
        file.require_group(KERNEL.rpartition("/")[0])
        write(file)
    return path


def write_weights_h5(path: Path, write: Callable[[h5py.File], None]) -> Path:
    """A weights file in the layout of Keras 3, with the same replacement of a kernel."""
    with h5py.File(path, "w") as file:
        file.require_group(KERNEL.rpartition("/")[0])
        write(file)
        file.require_group(OF_KERAS.rpartition("/")[0])
        file.move(KERNEL, OF_KERAS)
        del file["model_weights"]
    return path


def length_of_text(path: Path, length: int) -> Path:
    """A model file whose variable-length config claims another length."""
    text = json.dumps(sequential(dense()))
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = text
        file.create_group("model_weights").attrs["layer_names"] = np.array([], "S")
    data = path.read_bytes()
    reference = struct.pack("<IQ", len(text), data.index(b"GCOL"))
    assert data.count(reference) == 1
    path.write_bytes(data.replace(reference, struct.pack("<I", length) + reference[4:]))
    return path


def shared_text(path: Path) -> Path:
    """Four thousand names that share one string of a heap: 4 GB in total in a file of 1 MB."""
    with h5py.File(path, "w") as file:
        kind = h5py.string_dtype()
        file.attrs.create("layer_names", np.array(["a" * 10**6], object), dtype=kind)
        file.attrs.create("other_names", np.array([""] * 4000, object), dtype=kind)
    data = path.read_bytes()
    reference = struct.pack("<IQI", 10**6, data.index(b"GCOL"), 1)
    name = data.index(b"other_names\0")
    sizes = struct.unpack_from("<HHH", data, name - 6)
    at = name + sum(size + -size % 8 for size in sizes)
    data = data[:at] + reference * 4000 + data[at + 4000 * 16 :]
    path.write_bytes(data.replace(b"layer_names\0", b"first_names\0").replace(b"other_", b"layer_"))
    return path


def linked_many_times(path: Path) -> Path:
    """One group with many links to it: each weight name counts once per link."""
    layers = [f"l{i}".encode() for i in range(2000)]
    weights = [f"w{i}".ljust(900, "x").encode() for i in range(60)]
    with h5py.File(path, "w") as file:
        group = file.create_group("l0")
        group.attrs["weight_names"] = np.array(weights)
        for name in weights:
            if "w0" not in group:
                group.create_dataset("w0", (0,), "f4")
            group[name] = group["w0"]
        for name in layers[1:]:
            file[name] = group
        file.attrs["layer_names"] = np.array(layers)
    return path


def group_in_itself(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file.create_group("layers/dense/vars")
        file["layers/dense/vars/again"] = file["layers"]
    return path


def deep_groups(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file.create_group("layers/" + "a/" * 3000 + "vars")
    return path


# ---------------------------------------------------------------- archives of arrays


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def pickled(outside: Path) -> np.ndarray:
    array = np.empty(1, object)
    array[0] = Leaves(outside / "owned")
    return array


def symbolic_link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


# ---------------------------------------------------------------- every file


def _h5(name: str, path: Path, outside: Path, whole: bool) -> Request:
    write = dict(hdf5_files(path.parent, outside))[name]
    if whole:
        return "load_model", write_h5(path, write)
    return "read_weights", write_weights_h5(path, write)


def _in_keras(name: str, directory: Path, outside: Path) -> Request:
    path = _h5(name, directory / "inner.h5", outside, whole=False)[1]
    request = write_archive(directory, {**parts(), "model.weights.h5": path.read_bytes()})
    path.unlink()
    return request


def _saved_model_with_link(directory: Path, outside: Path, place: str) -> Request:
    request = as_saved_model(sequential(dense()), directory)
    target = request[1] / place
    if target.is_dir():
        for file in target.iterdir():
            file.unlink()
        target.rmdir()
    else:
        target.unlink()
    target.symlink_to(outside / ("variables" if place == "variables" else "secret"))
    return request


def _checkpoint(directory: Path, **changes: object) -> Request:
    data = NUMBERS.tobytes()
    entries = {"kernel": checkpoint_files.entry(data, (3, 2), **changes)}
    prefix = checkpoint_files.write_checkpoint(directory / "weights", entries, data)
    return "read_weights", Path(prefix)


def _pickle(directory: Path, outside: Path) -> Request:
    (directory / "model.pkl").write_bytes(pickle.dumps(Leaves(outside / "owned")))
    return "load_model", directory / "model.pkl"


def _npz(directory: Path, members: object, packing: int = zipfile.ZIP_STORED) -> Request:
    return write_archive(directory, members, "weights.npz", packing)


Builder = Callable[[Path, Path], Request]
_NO_WAY_OUT = "has a name that leads out of the archive"
_FINE = npy(NUMBERS)

FILES: dict[str, tuple[Builder, str]] = {
    **{f"h5: {n}": (lambda d, o, n=n: _h5(n, d / "m.h5", o, True), SAID[n]) for n in SAID},
    **{
        f"weights.h5: {n}": (lambda d, o, n=n: _h5(n, d / "m.weights.h5", o, False), SAID[n])
        for n in SAID
    },
    **{f"keras: {n}": (lambda d, o, n=n: _in_keras(n, d, o), SAID[n]) for n in SAID},
    "h5: text of 4 GB": (
        lambda d, _: ("load_model", length_of_text(d / "m.h5", 2**32 - 1)),
        "declares more text than the file holds",
    ),
    **{
        f"{container}: {name}": (lambda d, _, w=write, c=config: w(c, d), "needs weights of shapes")
        for name, config in LARGE.items()
        for container, write in CONTAINERS.items()
        if container in ("h5", "keras")
    },
    "h5: one text as four thousand names": (
        lambda d, _: ("read_weights", shared_text(d / "m.h5")),
        "declares more text than the file holds",
    ),
    "h5: one group of many names": (
        lambda d, _: ("read_weights", linked_many_times(d / "m.h5")),
        "names more weights than the file can hold",
    ),
    "weights.h5: a group in itself": (
        lambda d, _: ("read_weights", group_in_itself(d / "m.weights.h5")),
        "twice",
    ),
    "weights.h5: groups 3000 deep": (
        lambda d, _: ("read_weights", deep_groups(d / "m.weights.h5")),
        "deeper than 64 groups",
    ),
    **{
        f"keras: CVE-2025-12060 {name!r}": (
            lambda d, o, name=name: write_archive(
                d, {**parts(), name.replace("@", str(o)): b"owned"}
            ),
            _NO_WAY_OUT,
        )
        for name in ("../owned", "@/owned", "a/../../owned", "C:\\owned", "\\\\host\\x")
    },
    **{
        f"npz: CVE-2025-12060 {name!r}": (
            lambda d, o, name=name: _npz(d, {"a.npy": _FINE, name.replace("@", str(o)): _FINE}),
            _NO_WAY_OUT,
        )
        for name in ("../owned.npy", "@/owned.npy", "C:\\owned.npy")
    },
    "keras: CVE-2025-12060 symbolic link": (
        lambda d, o: write_archive(
            d, [*parts().items(), (symbolic_link("assets"), str(o).encode())]
        ),
        "is a symbolic link, which lcfast never follows",
    ),
    "npz: CVE-2025-12060 symbolic link": (
        lambda d, o: _npz(d, [(symbolic_link("a.npy"), str(o / "secret").encode())]),
        "is a symbolic link, which lcfast never follows",
    ),
    "keras: a name that is there twice": (
        lambda d, _: write_archive(d, [*parts().items(), ("config.json", b"{}")]),
        "member 'config.json' is there twice",
    ),
    "npz: a name that is there twice": (
        lambda d, _: _npz(d, [("a.npy", _FINE), ("a.npy", _FINE)]),
        "member 'a.npy' is there twice",
    ),
    "keras: a name with a newline": (
        lambda d, _: write_archive(d, {**parts(), "a\nb": b""}),
        r"member 'a\nb' has a name that holds",
    ),
    "npz: a name with a newline": (
        lambda d, _: _npz(d, {"a\nb.npy": _FINE}),
        r"member 'a\nb.npy' has a name that holds",
    ),
    "keras: a name with NUL": (
        lambda d, _: _with_nul(write_archive(d, {**parts(), "config.json@.txt": b"{}"})),
        _NO_WAY_OUT,
    ),
    "npz: a name with NUL": (
        lambda d, _: _with_nul(_npz(d, {"a.npy": _FINE, "b.npy@.npy": _FINE})),
        _NO_WAY_OUT,
    ),
    **{
        f"keras: a bomb as {name}": (
            lambda d, _, name=name: write_archive(
                d, {**parts(), name: bytes(7 * 10**7)}, packing=zipfile.ZIP_DEFLATED
            ),
            "to 70000000",
        )
        for name in ("config.json", "metadata.json", "model.weights.h5", "assets/x")
    },
    "npz: a bomb": (
        lambda d, _: _npz(d, {"a.npy": npy(np.zeros(9 * 10**6))}, zipfile.ZIP_DEFLATED),
        "to 72000128",
    ),
    "npz: a pickle": (
        lambda d, o: _npz(d, {"a.npy": npy(pickled(o))}),
        "holds values of type object",
    ),
    "npy: a pickle": (
        lambda d, o: _written(d / "w.npy", npy(pickled(o))),
        "which is not the signature",
    ),
    "pickle": (_pickle, "looks like a Python pickle, which lcfast never opens"),
    "npz: terabytes": (
        lambda d, _: _npz(d, {"a.npy": _FINE.replace(b"(3, 2), }", b"(9999999,999999)}")}),
        "declares an array of shape",
    ),
    "checkpoint: numbers beyond the file": (
        lambda d, _: _checkpoint(d, offset=10**12),
        "which has 24",
    ),
    "checkpoint: terabytes": (
        lambda d, _: _checkpoint(d, size=4 * 10**12),
        "with 4000000000000 bytes for shape (3, 2)",
    ),
    "checkpoint: another data file": (lambda d, _: _checkpoint(d, shard=7), "in data file 7 of 1"),
    "checkpoint: other numbers than the checksum says": (
        lambda d, _: _checkpoint(d, crc=1),
        "do not have the checksum",
    ),
    **{
        f"saved_model: {place} is a link": (
            lambda d, o, place=place: _saved_model_with_link(d, o, place),
            "is a link out of the directory",
        )
        for place in (
            "saved_model.pb",
            "keras_metadata.pb",
            "variables",
            "variables/variables.index",
            "variables/variables.data-00000-of-00001",
        )
    },
}


def _with_nul(request: Request) -> Request:
    data = request[1].read_bytes()
    request[1].write_bytes(data.replace(b"@.", b"\0."))
    return request


def _written(path: Path, content: bytes) -> Request:
    path.write_bytes(content)
    return "read_weights", path
