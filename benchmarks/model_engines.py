"""The engines that score whole models, each imported only in its own process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from benchmarks.answers import Weights
from benchmarks.cases import Case
from benchmarks.machine import usable_threads
from benchmarks.model_cases import LOCAL, Step, described
from benchmarks.peers.contract import NotOffered

Score = Callable[[np.ndarray], np.ndarray]
"""Rows in, scores out, as numpy arrays: what is timed."""
Makers = dict[str, Callable[[], Score]]


class Engine(Protocol):
    """What scores a described model in one or more ways."""

    def versions(self) -> dict[str, str]: ...

    def ways(self, folder: Path, rows: int) -> Makers: ...


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

        function = tf.function(
            self.loaded(folder) if implementation == 1 else self.rebuilt(folder, implementation)
        )

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


ENGINES: dict[str, type[Engine]] = {
    "lcfast": Lcfast, "tf_keras": TfKeras, "onnxruntime": OnnxRuntime, "openvino": OpenVino,
}  # fmt: skip


def case_of(step: Step) -> Case:
    """The geometry of a local layer."""
    config = step.config
    size, strides = tuple(config["kernel_size"]), tuple(config["strides"])
    return Case(step.name, step.input_shape, config["filters"], size, strides)


def graph_ways(folder: Path) -> list[str]:
    """The graphs that differ for this model."""
    from benchmarks import model_onnx

    steps, _ = described(folder)
    return [
        way for way in model_onnx.ORDERS if way != "slices" or any(map(model_onnx.can_slice, steps))
    ]


def graph_file(folder: Path, rows: int, way: str) -> str:
    """The ONNX file of a graph, written when it is first needed: both engines read it."""
    from benchmarks import model_onnx

    path = folder / f"{way.replace(' ', '_')}_{rows}.onnx"
    if not path.exists():
        partial = path.with_suffix(".partial")
        model_onnx.write(partial, *described(folder), rows, way)
        partial.rename(path)
    return str(path)
