"""The models and layers to time, on each engine, and their inputs."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lcfast.bench.workloads import WORKLOADS, workload_of
from lcfast.layers import LocallyConnected1D, LocallyConnected2D
from lcfast.layers.core import call_state
from lcfast.layers.locally_connected_base import LocallyConnected
from lcfast.local_conv import ops
from lcfast.local_conv.geometry import Geometry
from lcfast.local_conv.memory import available_memory, check_memory
from lcfast.local_conv.sparse import SparseKernel
from lcfast.models import Model, Sequential, load_model
from lcfast.models.execution import run
from lcfast.models.graph import Graph

ENGINES = ("direct", "sparse")
BATCHES = (1, 32, 512)

Engines = dict[str, LocallyConnected]  # the same layer, by engine


def model_of(target: str) -> Model:
    """Load a model file, or build a model of one layer from a workload.

    Parameters
    ----------
    target : str
        The name of a workload, the path of a file, or the shapes of a workload, such as
        ``32x32x3:64:3x3:1x1``; tried in this order.

    Returns
    -------
    Model

    Raises
    ------
    OSError, ModelFileError
        If the file cannot be read or holds no valid model.
    ValueError
        If there is neither such a file nor such a workload, or its sizes do not fit together.
    MemoryError
        If the weights of a workload do not fit into free memory.

    Examples
    --------
    >>> from lcfast.bench.subjects import model_of
    >>> model_of("10x32:64:3").output_shape
    (None, 8, 64)
    """
    if is_file(target):
        return load_model(target)
    if target not in WORKLOADS and ":" not in target:
        raise ValueError(f"{target}: is neither a file nor a workload; {_near(Path(target))}")
    workload = workload_of(target)
    kind = LocallyConnected1D if len(workload.kernel_size) == 1 else LocallyConnected2D
    layer = kind(
        workload.filters,
        workload.kernel_size,
        strides=workload.strides,
        data_format="channels_last",
        name=target,
        input_shape=workload.input_shape,
    )
    layer.await_weights()  # draw them only after checking that they fit
    model = Sequential([layer])
    check_weights_fit([layer])
    layer.initialize_weights()
    return model


def is_file(target: str) -> bool:
    """Whether `model_of` reads a file."""
    return target not in WORKLOADS and Path(target).exists()


def _near(path: Path) -> str:
    """Suggest names similar to a path that does not exist."""
    beside = list(path.parent.iterdir()) if path.parent.is_dir() else []
    files = {file.name: str(file) for file in beside if file.is_file()}
    near = difflib.get_close_matches(path.name, [*WORKLOADS, *files], cutoff=0.5)
    if near:
        return f"did you mean {' or '.join(files.get(name, name) for name in near)}?"
    return f"the workloads are {', '.join(WORKLOADS)}, and literals such as 32x32x3:64:3x3:1x1."


def local_layers(model: Model) -> list[LocallyConnected]:
    """Return the locally connected layers of a model.

    Raises
    ------
    ValueError
        If the model has none.

    Examples
    --------
    >>> from lcfast.bench.subjects import local_layers, model_of
    >>> [layer.name for layer in local_layers(model_of("examples/digits.h5"))]
    ['locally_connected2d', 'locally_connected2d_1']
    """
    found = [layer for layer in model.layers if isinstance(layer, LocallyConnected)]
    if not found:
        kinds = ", ".join(sorted({type(layer).__name__ for layer in model.layers}))
        raise ValueError(
            f"Model {model.name} has no locally connected layer, so there is no engine to choose. "
            f"Its layers are: {kinds}."
        )
    return found


def on_each_engine(layer: LocallyConnected) -> Engines:
    """Return the layer on each engine, with an implementation that runs it by default if possible.

    Examples
    --------
    >>> from lcfast.bench.subjects import local_layers, model_of, on_each_engine
    >>> engines = on_each_engine(*local_layers(model_of("10x2:4:3")))
    >>> {engine: layer.implementation for engine, layer in engines.items()}
    {'direct': 1, 'sparse': 3}
    """
    return {
        engine: layer.with_implementation(max(default_of(engine, [layer]), default=3), engine)
        for engine in ENGINES
    }


def default_of(engine: str, layers: Sequence[LocallyConnected]) -> tuple[int, ...]:
    """The implementations that run this engine by default and that all these layers allow."""
    if engine == "sparse":
        return (2, 3)
    return (1,) if engine == "direct" and all(one.padding == "valid" for one in layers) else ()


def weight_bytes(layer: LocallyConnected) -> int:
    """Bytes of the weights in the layout of the layer's engine, including a sparse pattern."""
    kernel, *rest = layer.record()
    arrays = [kernel, *rest]
    if isinstance(kernel, SparseKernel):
        arrays = [kernel.numbers, kernel.pattern.starts, kernel.pattern.indices, *rest]
    return sum(array.nbytes for array in arrays)


def batches_that_fit(model: Model, batches: Sequence[int]) -> list[int]:
    """Return, in ascending order, the batch sizes whose values fit into half of the free memory.

    Raises
    ------
    MemoryError
        If none fits.

    Examples
    --------
    >>> from lcfast.bench.subjects import batches_that_fit, model_of
    >>> batches_that_fit(model_of("10x2:4:3"), [32, 1, 10**15])
    [1, 32]
    """
    graph = model.graph_of_layers()
    sizes = [math.prod(_known(value.shape[1:])) for value in graph.values]
    itemsize = max(np.dtype(value.dtype).itemsize for value in graph.values)
    # All values of the model, and copies of the largest while results are compared.
    row = itemsize * (sum(sizes) + 6 * max(sizes))
    available = available_memory()
    fitting = sorted({n for n in batches if available is None or n * row <= available / 2})
    if not fitting:
        check_memory(2 * row * min(batches), f"A batch of {min(batches):,}", "give a smaller one")
    return fitting


def model_inputs(model: Model, batch: int, rows: np.ndarray | None) -> list[np.ndarray]:
    """One batch for each input of the model: the given rows, or random ones."""
    if rows is not None:
        dtype = np.dtype(model.inputs[0].dtype)
        return [ops.as_array(rows[np.arange(batch) % len(rows)], dtype, "The input")]
    random = np.random.default_rng(0)
    return [
        random.standard_normal((batch, *_known(tensor.shape[1:]))).astype(tensor.dtype)
        for tensor in model.inputs
    ]


def layer_inputs(
    graph: Graph, record: Sequence[Any], inputs: Any, layers: Sequence[LocallyConnected]
) -> list[np.ndarray]:
    """The input of each layer's first call when the model is called on `inputs`."""
    wanted = []
    for layer in layers:
        step = next(one for one in graph.steps if graph.layers[one.layer] is layer)
        wanted.append(step.inputs[0])
    kept = tuple(replace(step, last_use_of=()) for step in graph.steps)
    with call_state.without_losses():
        values = run(replace(graph, steps=kept, outputs=tuple(wanted)), record, inputs)
    return [
        ops.as_array(value, np.dtype(layer.dtype), f"The input of layer {layer.name}")
        for value, layer in zip(values, layers, strict=True)
    ]


def _known(sizes: Sequence[int | None]) -> list[int]:
    if None in sizes:
        raise ValueError(
            f"The model has values of shape {tuple(sizes)} per row, of unknown size; only models "
            "with fixed sizes can be timed."
        )
    return [size for size in sizes if size is not None]


def check_weights_fit(layers: Sequence[LocallyConnected]) -> None:
    """Raise MemoryError if the weights for both engines, and their conversion, do not fit."""
    size = 0
    for layer in layers:
        each = 3 * np.dtype(layer.dtype).itemsize + 12  # kernel, vector, copy; indices, positions
        size += each * math.prod(geometry_of(layer).kernel_shape)
    names = ", ".join(layer.name for layer in layers)
    check_memory(size, f"Timing every engine of {names}", "time a smaller layer")


def geometry_of(layer: LocallyConnected) -> Geometry:
    """The geometry of a built layer."""
    if layer.geometry is None:
        raise ValueError(f"Layer {layer.name} is not built; build its model first.")
    return layer.geometry
