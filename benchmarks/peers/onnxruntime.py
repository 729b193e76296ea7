"""ONNX Runtime: a graph of Gather and MatMul, by columns or by rows of the input; Conv, Gemm."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from benchmarks.answers import Weights
from benchmarks.cases import CONV, DENSE, Case
from benchmarks.peers.contract import Way, Ways, unchanged

OPSET, IR = 17, 8


def versions() -> dict[str, str]:
    return {"onnxruntime": onnxruntime.__version__}


def session(nodes: list[Any], arrays: dict[str, np.ndarray], inputs: int, outputs: int) -> Any:
    """A session of x (of rank `inputs`) -> y (of rank `outputs`)."""

    def value(name: str, rank: int) -> Any:
        sizes = [f"{name}{axis}" for axis in range(rank)]
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes)

    graph = helper.make_graph(
        nodes, "layer", [value("x", inputs)], [value("y", outputs)],
        [numpy_helper.from_array(np.ascontiguousarray(a), name) for name, a in arrays.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = IR
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def take_columns(case: Case, weights: Weights) -> Any:
    """Gather im2col arrays along rows: (N, inputs) -> (N, P, K), then a product per position."""
    return session(
        [
            helper.make_node("Gather", ["x", "taps"], ["windows"], axis=1),
            helper.make_node("Transpose", ["windows"], ["patches"], perm=[1, 0, 2]),
            helper.make_node("MatMul", ["patches", "kernel"], ["product"]),
            helper.make_node("Add", ["product", "bias"], ["sum"]),
            helper.make_node("Transpose", ["sum"], ["y"], perm=[1, 0, 2]),
        ],
        {"taps": case.taps(), "kernel": weights.kernel, "bias": weights.bias[:, None, :]},
        2, 3,
    )  # fmt: skip


def take_rows(case: Case, weights: Weights) -> Any:
    """Gather from the transposed input, whole batches at a time: (P, K, N)."""
    return session(
        [
            helper.make_node("Transpose", ["x"], ["columns"], perm=[1, 0]),
            helper.make_node("Gather", ["columns", "taps"], ["windows"], axis=0),
            helper.make_node("MatMul", ["kernel", "windows"], ["product"]),
            helper.make_node("Add", ["product", "bias"], ["sum"]),
            helper.make_node("Transpose", ["sum"], ["y"], perm=[2, 0, 1]),
        ],
        {
            "taps": case.taps(),
            "kernel": weights.kernel.swapaxes(1, 2),
            "bias": weights.bias[:, :, None],
        },
        2, 3,
    )  # fmt: skip


def convolution(case: Case, weights: Weights) -> Any:
    kernel = weights.kernel.reshape(*case.kernel_size, case.channels, case.filters)
    node = helper.make_node("Conv", ["x", "kernel", "bias"], ["y"], strides=list(case.strides))
    arrays = {"kernel": np.moveaxis(kernel, (-1, -2), (0, 1)), "bias": weights.bias[0]}
    rank = len(case.kernel_size) + 2
    return session([node], arrays, rank, rank)


def dense(case: Case, weights: Weights) -> Any:
    node = helper.make_node("Gemm", ["x", "kernel", "bias"], ["y"])
    return session([node], {"kernel": weights.kernel[0], "bias": weights.bias[0]}, 2, 2)


def run_way(case: Case, made: Any) -> Way:
    """`session.run` on numpy arrays."""
    prepare, arrays = layout(case)

    def run(x: np.ndarray) -> np.ndarray:
        y: np.ndarray = made.run(None, {"x": x})[0]
        return y

    return Way(prepare, run, arrays, in_blocks=not case.shared)


def bound_way(case: Case, made: Any) -> Way:
    """Input and output bound before the clock, so that nothing is allocated or converted."""
    prepare, arrays = layout(case)

    def bind(x: np.ndarray) -> Any:
        x = prepare(x)
        shape = made.run(None, {"x": x})[0].shape
        binding = made.io_binding()
        binding.bind_ortvalue_input("x", onnxruntime.OrtValue.ortvalue_from_numpy(x))
        out = onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, np.float32)
        binding.bind_ortvalue_output("y", out)
        return binding, out

    def run(prepared: Any) -> Any:
        binding, out = prepared
        made.run_with_iobinding(binding)
        return out

    return Way(bind, run, lambda out: arrays(out.numpy()), in_blocks=not case.shared)


def layout(case: Case) -> tuple[Any, Any]:
    """The input and the output of a session, from and to ours."""
    if case.kind == CONV:
        return (
            lambda x: np.ascontiguousarray(np.moveaxis(x, -1, 1)),
            lambda y: np.moveaxis(y.reshape(*y.shape[:2], -1), 1, 2),
        )
    answer = (lambda y: y[:, None, :]) if case.kind == DENSE else unchanged
    return lambda x: x.reshape(len(x), -1), answer


def forward(case: Case, weights: Weights) -> Ways:
    if case.kind == CONV:
        makers = {"conv": convolution}
    elif case.kind == DENSE:
        makers = {"gemm": dense}
    else:
        makers = {"take rows": take_rows, "take columns": take_columns}
    made: dict[str, Any] = {}

    def once(name: str) -> Any:
        if name not in made:
            made[name] = makers[name](case, weights)
        return made[name]

    ways: Ways = {}
    for name in makers:
        ways[f"{name}, run"] = lambda n=name: run_way(case, once(n))  # type: ignore[misc]
        ways[f"{name}, bound"] = lambda n=name: bound_way(case, once(n))  # type: ignore[misc]
    return ways
