"""One engine in its own process: reads cells as JSON lines, checks the scores, then times them.

    python -m benchmarks.model_peers NAME GIGABYTES

A line in: {"folder" (a described model), "rows", "seconds", "ways" (names, or null for all),
"memory" (true: lcfast only, instead of times)}.  The lines out are those of
benchmarks.peers.worker, with the largest difference of the scores from the expected ones.
"""

from __future__ import annotations

import gc
import math
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.answers import Weights, WrongAnswerError
from benchmarks.cases import Case
from benchmarks.clock import timed
from benchmarks.machine import usable_threads
from benchmarks.model_cases import LOCAL, Step, described
from benchmarks.peers.contract import NotOffered
from benchmarks.peers.worker import HOPELESS, limited_process, reason, serve

Score = Callable[[np.ndarray], np.ndarray]
Makers = dict[str, Callable[[], Score]]

TOLERANCE = 1e-3
"""Largest difference of a score, as a share of the largest score."""


class Lcfast:
    """`predict` with its defaults, and on one thread."""

    def versions(self) -> dict[str, str]:
        import lcfast
        from lcfast.local_conv import dispatch

        return {"lcfast": lcfast.__version__, "kernel path": dispatch.active_path()}

    def ways(self, folder: Path, rows: int) -> Makers:
        import lcfast

        model = lcfast.load_model(folder / "model.h5")
        return {
            "predict": lambda: model.predict,
            "one thread": lambda: lambda x: model.predict(x, num_threads=1),
        }


class TfKeras:
    """A tf.function of the model; its local layers by one of Keras's three implementations."""

    def versions(self) -> dict[str, str]:
        from benchmarks.peers import tf_keras

        return tf_keras.versions()

    def ways(self, folder: Path, rows: int) -> Makers:
        return {
            f"implementation {number}": lambda n=number: self.traced(folder, n)  # type: ignore[misc]
            for number in (1, 2, 3)
        }

    def traced(self, folder: Path, implementation: int) -> Score:
        import tensorflow as tf

        if implementation == 1:
            model = self.loaded(folder)
        else:
            model = self.rebuilt(folder, implementation)
        function = tf.function(model)

        def score(x: np.ndarray) -> np.ndarray:
            y: np.ndarray = function(tf.constant(x)).numpy()
            return y

        return score

    def loaded(self, folder: Path) -> Callable[[Any], Any]:
        """The file as tf_keras reads it."""
        import tf_keras

        from benchmarks.peers.tf_keras import MOST_POSITIONS

        for step in described(folder)[0]:
            if step.kind in LOCAL and case_of(step).positions > MOST_POSITIONS:
                raise NotOffered(f"implementation 1 is tried up to {MOST_POSITIONS} positions")
        model = tf_keras.models.load_model(folder / "model.h5", compile=False)
        return lambda x: model(x, training=False)

    def rebuilt(self, folder: Path, implementation: int) -> Callable[[Any], Any]:
        """The same layers; the weights of the local ones in the layout of an implementation."""
        import tensorflow as tf
        import tf_keras

        from benchmarks.peers.tf_keras import local_layer

        steps, weights = described(folder)
        layers: dict[str, Any] = {}
        for step in steps[1:]:
            if step.kind in LOCAL:
                kernel, bias = weights[step.name]
                case = case_of(step)
                canonical = Weights(kernel, bias.reshape(case.positions, case.filters))
                inner = local_layer(case, canonical, implementation)
                activate = tf_keras.activations.get(step.config["activation"])
                shape = (-1, *case.output_size, case.filters)
                layers[step.name] = lambda x, f=inner, a=activate, s=shape: a(tf.reshape(f(x), s))
                continue
            layer = tf_keras.layers.deserialize({"class_name": step.kind, "config": step.config})
            if step.name in weights:
                layer.build((None, *step.input_shape))
                layer.set_weights(weights[step.name])
            layers[step.name] = layer

        def call(x: Any) -> Any:
            values = {steps[0].name: x}
            for step in steps[1:]:
                given = [values[name] for name in step.inputs]
                values[step.name] = layers[step.name](given if len(given) > 1 else given[0])
            return values[steps[-1].name]

        return call


class OnnxRuntime:
    """`run` of each graph of model_graph, with all optimizations and as many threads as cores."""

    def versions(self) -> dict[str, str]:
        import onnxruntime

        return {"onnxruntime": onnxruntime.__version__}

    def ways(self, folder: Path, rows: int) -> Makers:
        return {way: lambda w=way: self.session(folder, rows, w) for way in graph_ways(folder)}  # type: ignore[misc]

    def session(self, folder: Path, rows: int, way: str) -> Score:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = usable_threads()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        session = onnxruntime.InferenceSession(
            graph_file(folder, rows, way), options, providers=["CPUExecutionProvider"]
        )

        def score(x: np.ndarray) -> np.ndarray:
            y: np.ndarray = session.run(None, {"x": x})[0]
            return y

        return score


class OpenVino:
    """The same graphs, for latency, in float32; input and output are shared, not copied."""

    def versions(self) -> dict[str, str]:
        import openvino

        return {"openvino": openvino.__version__.partition("-")[0]}

    def ways(self, folder: Path, rows: int) -> Makers:
        return {way: lambda w=way: self.request(folder, rows, w) for way in graph_ways(folder)}  # type: ignore[misc]

    def request(self, folder: Path, rows: int, way: str) -> Score:
        import openvino

        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": usable_threads(),
        }
        model = openvino.Core().compile_model(graph_file(folder, rows, way), "CPU", settings)
        request = model.create_infer_request()

        def score(x: np.ndarray) -> np.ndarray:
            y: np.ndarray = request.infer({0: x}, share_inputs=True, share_outputs=True)[0]
            return y

        return score


ENGINES = {
    "lcfast": Lcfast, "tf_keras": TfKeras, "onnxruntime": OnnxRuntime, "openvino": OpenVino,
}  # fmt: skip


def case_of(step: Step) -> Case:
    """The geometry of a local layer."""
    config = step.config
    size, strides = tuple(config["kernel_size"]), tuple(config["strides"])
    return Case(step.name, step.input_shape, config["filters"], size, strides)


def graph_ways(folder: Path) -> list[str]:
    """The graphs that differ for this model."""
    from benchmarks import model_graph

    steps, _ = described(folder)
    return [
        way for way in model_graph.WAYS if way != "slices" or any(map(model_graph.can_slice, steps))
    ]


def graph_file(folder: Path, rows: int, way: str) -> str:
    """The ONNX file of a graph, written when it is first needed: both engines read it."""
    from benchmarks import model_graph

    path = folder / f"{way.replace(' ', '_')}_{rows}.onnx"
    if not path.exists():
        partial = path.with_suffix(".partial")
        model_graph.write(partial, *described(folder), rows, way)
        partial.rename(path)
    return str(path)


class Bench:
    """The cells of one engine; what was built for a cell is kept until the next model."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self.folder = ""
        self.made: dict[tuple[int, str], Score | Exception] = {}
        self.offered: dict[int, Makers] = {}

    def answers(self, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Check and time every way of a cell that was asked for, one after the other."""
        folder, rows = Path(request["folder"]), request["rows"]
        if request["folder"] != self.folder:
            self.made.clear()
            self.offered.clear()
            gc.collect()
            self.folder = request["folder"]
        x = np.load(folder / f"x_{rows}.npy")
        expected = np.load(folder / f"y_{rows}.npy")
        if request.get("memory"):
            yield {"way": "memory", "bytes": scratch_bytes(folder, x, expected)}
            return
        if rows not in self.offered:
            self.offered[rows] = self.engine.ways(folder, rows)
        best = math.inf
        for name in request["ways"] or self.offered[rows]:
            try:
                score = self.way(rows, name)
                worst = difference(score(x), expected)
                timing = timed(lambda: score(x), request["seconds"], HOPELESS * best)  # noqa: B023
                best = min(best, timing.best)
                found = {**timing._asdict(), "difference": worst}
            except Exception as error:  # an engine may fail with any error; the run continues
                found = {"failed": reason(error)}
            yield {"way": name, **found}

    def way(self, rows: int, name: str) -> Score:
        """The way of this name, made once; a failure is remembered too."""
        key = rows, name
        if key not in self.made:
            try:
                self.made[key] = self.offered[rows][name]()
            except Exception as error:
                self.made[key] = error
        made = self.made[key]
        if isinstance(made, Exception):
            raise made
        return made


def difference(scores: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, as a share of the largest expected score.

    Raises
    ------
    WrongAnswerError
        If it is more than TOLERANCE, or a score is not finite.
    """
    apart = np.abs(scores.reshape(expected.shape) - expected)
    share = float(apart.max() / np.abs(expected).max())
    if not share <= TOLERANCE:
        raise WrongAnswerError(f"the scores differ by {share:.1e} of the largest")
    return share


def scratch_bytes(folder: Path, x: np.ndarray, expected: np.ndarray) -> int:
    """What `predict` holds at its peak beyond input, output and weights, as Linux reports it."""
    import lcfast
    from benchmarks.held_memory import status

    model = lcfast.load_model(folder / "model.h5")
    out = np.ones_like(expected)
    model.predict(x[:1])  # starts the threads and lays out the weights
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = status("VmRSS")
    model.predict(x, out=out)
    peak = status("VmHWM") - before
    difference(out, expected)
    return peak


def main() -> None:
    """Answer the lines of standard input."""
    name, gigabytes = sys.argv[1:]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    replies = limited_process(gigabytes)
    engine = ENGINES[name]()
    serve(replies, {"versions": engine.versions(), "kinds": []}, Bench(engine).answers)


if __name__ == "__main__":
    main()
