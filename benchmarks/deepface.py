"""Time a full-size model: DeepFace, from a file of 550 MB to the scores of 32 faces.

    python -m benchmarks.deepface --python tf_keras=keras-env/bin/python --python onnxruntime=...

Each engine loads the same file in its own process; the results must agree before times are printed.
The table is in Markdown, for docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ENGINES = ("lcfast", "tf_keras", "onnxruntime")
SHAPE, BATCH = (152, 152, 3), 32
FIRST, CLASSES = 32, 8631
TOLERANCE = 1e-5  # of probabilities


def built_model() -> Any:
    """DeepFace in lcfast, with random weights that keep the numbers of every layer near 1."""
    import lcfast

    layers = [
        lcfast.Conv2D(FIRST, 11, activation="relu", input_shape=SHAPE),
        lcfast.MaxPooling2D(3, strides=2, padding="same"),
        lcfast.Conv2D(16, 9, activation="relu"),
        lcfast.LocallyConnected2D(16, 9, activation="relu"),
        lcfast.LocallyConnected2D(16, 7, strides=2, activation="relu"),
        lcfast.LocallyConnected2D(16, 5, activation="relu"),
        lcfast.Flatten(),
        lcfast.Dense(4096, activation="relu"),
        lcfast.Dense(CLASSES, activation="softmax"),
    ]
    made = lcfast.Sequential(layers, name="deepface")
    rng = np.random.default_rng(2014)
    for layer in layers:
        if not layer.weight_shapes():
            continue
        kernel, bias = layer.weight_shapes()
        local = isinstance(layer, lcfast.LocallyConnected2D)
        taps = kernel[1] if local else int(np.prod(kernel[:-1]))
        spread = np.float32((2 / taps) ** 0.5)
        values = rng.standard_normal(kernel, np.float32) * spread, np.full(bias, 0.01, np.float32)
        layer.set_weights(values)
    return made


def best(call: Callable[[], Any], seconds: float) -> float:
    """The shortest time in seconds of as many calls as fit the budget, after one untimed call."""
    call()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def lcfast_calls(path: str) -> Callable[[], Callable[[Any], Any]]:
    """Return a function that loads the model; what it returns scores."""
    import lcfast

    def load() -> Callable[[Any], Any]:
        return lcfast.load_model(path).predict

    return load


def tf_keras_calls(path: str) -> Callable[[], Callable[[Any], Any]]:
    """The same; the model is a tf.function, as `predict` would make it, without its overhead."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf
    import tf_keras

    def load() -> Callable[[Any], Any]:
        model = tf_keras.models.load_model(path, compile=False)
        traced = tf.function(lambda x: model(x, training=False))
        return lambda x: traced(tf.constant(x)).numpy()

    return load


def onnxruntime_calls(path: str) -> Callable[[], Callable[[Any], Any]]:
    """The same, from the weights of the file: Conv, MaxPool, Gather and MatMul, Gemm."""
    import h5py
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper
    from onnx.external_data_helper import convert_model_to_external_data

    def load() -> Callable[[Any], Any]:
        nodes: list[Any] = [helper.make_node("Transpose", ["x"], ["first"], perm=[0, 3, 1, 2])]
        arrays: dict[str, np.ndarray] = {}
        with h5py.File(path) as file:
            groups = file["model_weights"]
            weights = {}
            for name in groups.attrs["layer_names"]:
                group = groups[name]
                parts = [group[part][()] for part in group.attrs["weight_names"]]
                weights[name.decode()] = parts
        conv = [name for name in weights if name.startswith("conv2d")]
        local = [name for name in weights if name.startswith("locally_connected2d")]
        dense = [name for name in weights if name.startswith("dense")]
        value = "first"

        def node(kind: str, inputs: list[str], **attributes: Any) -> str:
            name = f"v{len(nodes)}"
            nodes.append(helper.make_node(kind, inputs, [name], **attributes))
            return name

        def constant(array: np.ndarray) -> str:
            name = f"c{len(arrays)}"
            arrays[name] = np.ascontiguousarray(array)
            return name

        for name, pooled in zip(conv, (True, False), strict=True):
            kernel, bias = weights[name]
            value = node("Conv", [value, constant(kernel.transpose(3, 2, 0, 1)), constant(bias)])
            value = node("Relu", [value])
            if pooled:
                value = node("MaxPool", [value], kernel_shape=[3, 3], strides=[2, 2],
                             auto_pad="SAME_UPPER")  # fmt: skip
        value = node("Transpose", [value], perm=[2, 3, 1, 0])  # the batch innermost
        size = 63
        for name, (edge, stride) in zip(local, ((9, 1), (7, 2), (5, 1)), strict=True):
            kernel, bias = weights[name]
            out = (size - edge) // stride + 1
            cells = np.arange(size * size * 16).reshape(size, size, 16)
            windows = np.lib.stride_tricks.sliding_window_view(cells, (edge, edge), axis=(0, 1))
            taps = windows[::stride, ::stride].transpose(0, 1, 3, 4, 2).reshape(out * out, -1)
            value = node("Reshape", [value, constant(np.array([size * size * 16, -1]))])
            value = node("Gather", [value, constant(taps)], axis=0)
            value = node("MatMul", [constant(kernel.transpose(0, 2, 1)), value])
            value = node("Add", [value, constant(bias.reshape(out * out, 16, 1))])
            value = node("Relu", [value])
            size = out
        value = node("Reshape", [value, constant(np.array([size * size * 16, -1]))])
        value = node("Transpose", [value], perm=[1, 0])
        for name, after in zip(dense, ("Relu", "Softmax"), strict=True):
            kernel, bias = weights[name]
            value = node("Gemm", [value, constant(kernel), constant(bias)])
            value = node(after, [value])
        graph = helper.make_graph(
            nodes, "deepface",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *SHAPE])],
            [helper.make_tensor_value_info(value, TensorProto.FLOAT, ["batch", CLASSES])],
            [numpy_helper.from_array(array, name) for name, array in arrays.items()],
        )  # fmt: skip
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 8
        with tempfile.TemporaryDirectory() as directory:
            convert_model_to_external_data(model, location="weights")
            import onnx

            onnx.save_model(model, f"{directory}/model.onnx")
            session = onnxruntime.InferenceSession(
                f"{directory}/model.onnx", providers=["CPUExecutionProvider"]
            )
        return lambda x: session.run(None, {"x": x})[0]

    return load


CALLS = {"lcfast": lcfast_calls, "tf_keras": tf_keras_calls, "onnxruntime": onnxruntime_calls}


def work(engine: str, path: str, folder: str) -> None:
    """Run one engine in this process: write its result to a file, print its times."""
    x = np.load(f"{folder}/x.npy")
    load = CALLS[engine](path)
    start = time.perf_counter()
    score = load()
    loaded = time.perf_counter() - start
    np.save(f"{folder}/{engine}.npy", score(x))
    one = x[:1]
    times = {"load": loaded, "batch": best(lambda: score(x), 6), "one": best(lambda: score(one), 3)}
    print(json.dumps(times))


def reading(path: Path) -> float:
    """Seconds to read the file from the page cache."""
    return best(lambda: np.fromfile(path, np.uint8), 2)


def main() -> None:
    """Write the model, run every engine, compare, print."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.deepface", description=__doc__)
    options.add_argument("--python", action="append", default=[], metavar="ENGINE=PYTHON")
    options.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.work:
        work(*chosen.work)
        return
    pythons = {"lcfast": sys.executable, **dict(pair.split("=", 1) for pair in chosen.python)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "deepface.h5")
        built_model().save(path)
        faces = np.random.default_rng(1).random((BATCH, *SHAPE), np.float32)
        np.save(f"{folder}/x.npy", faces)
        plain = reading(path)
        rows: dict[str, dict[str, float]] = {}
        for engine in ENGINES:
            if engine not in pythons:
                continue
            command = [pythons[engine], "-m", "benchmarks.deepface", "--work", engine, str(path)]
            runs = [
                json.loads(
                    subprocess.run([*command, folder], check=True, stdout=subprocess.PIPE)
                    .stdout.decode().splitlines()[-1]
                )
                for _ in range(2)
            ]  # fmt: skip
            rows[engine] = {key: min(run[key] for run in runs) for key in runs[0]}
        answers = {engine: np.load(f"{folder}/{engine}.npy") for engine in rows}
        for engine, answer in answers.items():
            worst = float(np.abs(answer - answers["lcfast"]).max())
            assert worst < TOLERANCE, f"{engine} differs by {worst}"
        print(f"file {path.stat().st_size / 1e6:.0f} MB, read in {plain:.2f} s\n")
        print("| engine | load (s) | batch of 32 (ms) | one face (ms) |\n|---|---|---|---|")
        for engine, times in rows.items():
            print(
                f"| {engine} | {times['load']:.2f} | {times['batch'] * 1e3:.0f} | "
                f"{times['one'] * 1e3:.1f} |"
            )


if __name__ == "__main__":
    main()
