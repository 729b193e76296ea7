"""The shared base class of LocallyConnected1D and LocallyConnected2D.

They differ only in the number of spatial dimensions and in default arguments.
"""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

import numpy as np

from lcfast.layers import activation_argument
from lcfast.layers.config_keras1 import in_keras_2
from lcfast.layers.core import arguments
from lcfast.layers.core.layer import Pullback
from lcfast.layers.core.symbolic import Shape
from lcfast.layers.core.weights import Record
from lcfast.layers.linear_base import LinearLayer
from lcfast.local_conv import sparse, weight_layouts
from lcfast.local_conv.geometry import (
    CHANNELS_FIRST,
    CHANNELS_LAST,
    Geometry,
    same_output_size,
    same_pads,
    valid_output_size,
)
from lcfast.local_conv.memory import check_memory
from lcfast.local_conv.ops import Activation
from lcfast.program.builder import ProgramBuilder
from lcfast.program.steps import Value
from lcfast.vocabulary import initializers

Self = TypeVar("Self", bound="LocallyConnected")


class LocallyConnected(LinearLayer):
    """A convolution whose filters are not shared between positions.

    The record holds the kernel in the engine's format: (P, K, F) for direct, a SparseKernel for
    sparse.  The arrays that Keras stores are computed from it on demand.
    """

    spatial_dimensions: ClassVar[int]

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        implementation: int = 1,
        engine: str | None = None,
        prune: bool = False,
        **kwargs: Any,
    ) -> None:
        self.geometry: Geometry | None = None
        number = arguments.as_integer(implementation)
        self.implementation: Any = implementation if number is None else number
        super().__init__(
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
            engine=engine,
            **kwargs,
        )
        dimensions = self.spatial_dimensions
        self.filters = arguments.positive_int(filters, "filters")
        self.kernel_size = arguments.positive_ints(kernel_size, dimensions, "kernel_size")
        self.strides = arguments.positive_ints(strides, dimensions, "strides")
        self.padding = arguments.checked_padding(padding)
        if self.padding != "valid" and self.implementation == 1:
            raise ValueError(
                f"Invalid border mode for {type(self).__name__} "
                f'(only "valid" is supported if implementation is 1): {padding}'
            )
        self.data_format = arguments.checked_data_format(data_format)
        self.prune = arguments.checked_flag(prune, "prune")
        if self.prune and self.chosen_engine() != "sparse":
            raise ValueError(
                f"Layer {self.name} has prune=True, which needs the sparse engine; give "
                "engine='sparse', or omit `prune`."
            )

    # ------------------------------------------------------------ shapes

    def build(self, input_shape: Any) -> None:
        """Create the weights for an input of this shape.

        Parameters
        ----------
        input_shape : tuple of int or None
            The batch (None if not fixed), then the sizes in the order of `data_format`.

        Raises
        ------
        ValueError
            If the rank is wrong, a size is unknown, the kernel does not fit into the input, or
            the implementation is not 1, 2 or 3.
        """
        if self.implementation not in (1, 2, 3) or isinstance(self.implementation, bool):
            raise ValueError(f"Unrecognized implementation mode: {self.implementation}.")
        size, channels = self._checked_sizes(input_shape)
        self._check_output_size(self._output_size(size), input_shape)
        pads: tuple[tuple[int, int], ...] = ()
        if self.padding == "same":
            dimensions = zip(size, self.kernel_size, self.strides, strict=True)
            pads = tuple(same_pads(n, k, s) for n, k, s in dimensions)
        self.geometry = Geometry(
            size, channels, self.filters, self.kernel_size, self.strides, self.data_format,
            pads=pads,
        )  # fmt: skip
        self._compute_options = self._compute_options._replace(engine=self.chosen_engine())
        self.build_kernel_and_bias(
            weight_layouts.stored_kernel_shape(self.geometry, self.implementation),
            weight_layouts.stored_bias_shape(self.geometry),
        )

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape of the output, batch first, for an input of `input_shape`."""
        size, _ = self._split(input_shape)
        output_size = self._output_size(size)
        self._check_output_size(output_size, input_shape)
        if self.data_format == CHANNELS_FIRST:
            return (input_shape[0], self.filters, *output_size)
        return (input_shape[0], *output_size, self.filters)

    def check_input_shape(self, shape: Any) -> None:
        """Raise ValueError unless the layer was built for `shape`."""
        geometry = self._built_geometry()
        if tuple(shape[1:]) != geometry.input_shape:
            expected = ", ".join(["batch", *map(str, geometry.input_shape)])
            raise ValueError(
                f"Layer {self.name} was built for inputs of shape ({expected}). "
                f"Received: {tuple(shape)}."
            )

    # ------------------------------------------------------------ computing

    def record_steps(self, program: ProgramBuilder, weights: Record, x: Any) -> Value | None:
        """Record the steps of `forward`."""
        geometry = self._built_geometry()
        x = program.reshaped(x, geometry.input_shape)
        bias = weights[1] if self.use_bias else None

        def product(activation: Activation) -> Value:
            return program.product(x, weights[0], bias, geometry, activation)

        return activation_argument.record_steps(self.activation, program, product)

    def linearize(self, weights: Any, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """The output, and the function (dy) -> (dx, [dkernel, dbias])."""
        return self.linearize_rows(weights, inputs, self._built_geometry())

    def chosen_engine(self) -> str:
        """The engine in use; None follows the implementation, "auto" the geometry."""
        if self.engine == "auto":
            return fastest_engine(self.geometry) if self.geometry else "direct"
        return self.engine or ("direct" if self.implementation == 1 else "sparse")

    # ------------------------------------------------------------ weights

    def pack(self, stored: Record) -> Any:
        """Return the record: the kernel in the engine's format, the bias flat."""
        geometry = self._built_geometry()
        kernel: Any
        if self._compute_options.engine == "sparse":
            vector = weight_layouts.vector_of_stored(stored[0], geometry, self.implementation)
            kernel = sparse.connected(geometry, read_only(vector), self.prune)
        else:
            kernel = read_only(
                weight_layouts.kernel_of_stored(stored[0], geometry, self.implementation)
            )
        return (kernel, *stored[1:])

    def unpack(self, record: Any) -> Record:
        """Return kernel and bias as Keras stores them.

        Raises
        ------
        MemoryError
            If the dense tensor of implementation 2 does not fit into the free memory.
        """
        if not record:
            return ()
        kernel = record[0]
        if isinstance(kernel, sparse.SparseKernel):
            kernel = kernel.vector(self._built_geometry().connections)
        return (self._stored_kernel(kernel), *record[1:])

    def initialize_weights(self) -> None:
        """Draw new values of all weights; for implementation 2 only the connected ones."""
        kernel = self._slots[0]
        draw = initializers.independent(kernel.initializer, kernel.shape)
        if self.implementation != 2 or draw is None:
            super().initialize_weights()
            return
        geometry, dtype = self._built_geometry(), np.dtype(self.dtype)
        vector = draw((geometry.connections,), dtype)
        rest = [slot.initial_value(dtype) for slot in self._slots[1:]]
        self.swap_own_record((self._kernel_of_vector(vector), *rest))

    def stored_gradients(self, gradients: list[np.ndarray]) -> list[np.ndarray]:
        """The gradients of kernel and bias in the shapes that Keras stores."""
        shapes = self.weight_shapes()
        return [self._stored_kernel(gradients[0])] + [
            dw.reshape(shape) for dw, shape in zip(gradients[1:], shapes[1:], strict=True)
        ]

    def to_sparse(self) -> Any:
        """Return the layer's kernel as a matrix, (inputs x outputs), in CSR form.

        `x.reshape(len(x), -1) @ matrix + bias.ravel()` is the flattened output before the
        activation.

        Returns
        -------
        scipy.sparse.csr_array
            A copy; with `prune`, without the weights that are zero.

        Examples
        --------
        >>> import lcfast
        >>> layer = lcfast.LocallyConnected1D(2, 3, implementation=2, input_shape=(6, 1))
        >>> layer.build((None, 6, 1))
        >>> layer.to_sparse().shape
        (6, 8)
        """
        geometry = self._built_geometry()
        kernel = self.own_record()[0]
        if not isinstance(kernel, sparse.SparseKernel):
            kernel = sparse.connected(geometry, weight_layouts.vector_of_kernel(kernel, geometry))
        pattern, numbers = kernel.transposed
        return pattern.matrix(numbers).copy()  # other layers share its index arrays

    def with_implementation(self: Self, implementation: int, engine: str | None = None) -> Self:
        """Return an equivalent layer with the weights of another implementation.

        The unconnected weights that implementation 2 stores are dropped.

        Parameters
        ----------
        implementation : int
            1, 2 or 3.
        engine : str, optional
            As in the constructor; None follows the implementation.

        Returns
        -------
        LocallyConnected1D or LocallyConnected2D

        Raises
        ------
        ValueError
            If the layer is not built, or for implementation 1 with padding "same", which Keras
            does not have.

        Examples
        --------
        >>> import lcfast
        >>> layer = lcfast.LocallyConnected1D(2, 3)
        >>> layer.build((None, 6, 1))
        >>> [w.shape for w in layer.with_implementation(3).get_weights()]
        [(24,), (4, 2)]
        """
        vector, rest = self._vector_and_rest()
        changes = {"implementation": implementation, "engine": engine}
        return self._converted(changes, vector, rest)

    def with_data_format(self: Self, data_format: str) -> Self:
        """Return an equivalent layer for inputs and outputs in another data format.

        Parameters
        ----------
        data_format : str
            "channels_last" or "channels_first".

        Returns
        -------
        LocallyConnected1D or LocallyConnected2D

        Raises
        ------
        ValueError
            If the layer is not built, or its activation is softmax, whose axis would change.

        Examples
        --------
        >>> import lcfast
        >>> layer = lcfast.LocallyConnected2D(4, 3, data_format="channels_last")
        >>> layer.build((None, 5, 6, 2))
        >>> layer.with_data_format("channels_first").compute_output_shape((None, 2, 5, 6))
        (None, 4, 3, 4)
        """
        target = arguments.checked_data_format(data_format)
        geometry = self._built_geometry()
        changes: dict[str, Any] = {"data_format": target, "engine": self.engine}
        vector, rest = self._vector_and_rest()
        if target != self.data_format:
            if activation_argument.runs_over_an_axis(self.activation):
                raise ValueError(
                    f"Layer {self.name} applies {self.activation.name}, which may run over the "
                    f"last axis; with data_format={target!r} that is a different axis."
                )
            if self.batch_input_shape is not None:
                changes["batch_input_shape"] = _moved_shape(self.batch_input_shape, target)
            vector = weight_layouts.vector_in_format(vector, geometry, target)
            rest = [read_only(weight_layouts.bias_in_format(bias, geometry)) for bias in rest]
        return self._converted({**changes, "prune": self.prune}, vector, rest)

    def _converted(self: Self, changes: dict[str, Any], vector: np.ndarray, rest: Any) -> Self:
        """A copy of the layer with changed arguments and these weights."""
        unchanged = {**super().get_config(), **self._shape_config(), **self.linear_arguments()}
        layer = type(self)(**{**unchanged, **changes})
        layer.await_weights()
        geometry = self._built_geometry()
        shape = (None, *geometry.input_shape)
        moved = layer.data_format != self.data_format
        layer.build(_moved_shape(shape, layer.data_format) if moved else shape)
        layer.swap_record((layer._kernel_of_vector(vector), *rest))
        return layer

    def _vector_and_rest(self) -> tuple[np.ndarray, Any]:
        """The vector of all connected weights, and the bias, from one record."""
        geometry = self._built_geometry()
        kernel, *rest = self.own_record()
        if isinstance(kernel, sparse.SparseKernel):
            return kernel.vector(geometry.connections), rest
        return weight_layouts.vector_of_kernel(kernel, geometry), rest

    def _kernel_of_vector(self, vector: np.ndarray) -> Any:
        """The engine's format of the vector of all connected weights."""
        geometry = self._built_geometry()
        if self._compute_options.engine == "sparse":
            return sparse.connected(geometry, read_only(vector), self.prune)
        return read_only(weight_layouts.kernel_of_vector(vector, geometry))

    def _stored_kernel(self, kernel: np.ndarray) -> np.ndarray:
        """The array that Keras stores, from a kernel or the vector of all connected weights."""
        geometry = self._built_geometry()
        if self.implementation == 2:
            check_memory(
                weight_layouts.dense_bytes(geometry, kernel.dtype),
                f"The kernel of layer {self.name} as implementation 2 stores it",
                "use layer.with_implementation(1) or layer.with_implementation(3), which store the "
                "connected weights only",
            )
        if self._compute_options.engine == "sparse":
            return weight_layouts.stored_of_vector(kernel, geometry, self.implementation)
        return weight_layouts.stored_of_kernel(kernel, geometry, self.implementation)

    # ------------------------------------------------------------ configuration

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Make a layer from a config of `get_config`, or one that uses Keras 1's argument names."""
        return super().from_config(in_keras_2(config, cls.spatial_dimensions))

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it; `engine` and `prune` are not part."""
        return {**super().get_config(), **self._shape_config(), **self.linear_config()}

    def _shape_config(self) -> dict[str, Any]:
        """The config entries that determine the weights."""
        return {
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
            "implementation": self.implementation,
        }

    def _built_geometry(self) -> Geometry:
        if self.geometry is None:
            raise ValueError(
                f"Layer {self.name} is not built yet: call `layer.build(input_shape)` first."
            )
        return self.geometry

    def _output_size(self, size: Shape) -> Shape:
        dimensions = zip(size, self.kernel_size, self.strides, strict=True)
        if self.padding == "same":
            return tuple(None if n is None else same_output_size(n, s) for n, _, s in dimensions)
        return tuple(None if n is None else valid_output_size(n, k, s) for n, k, s in dimensions)

    def _split(self, shape: Any) -> tuple[Shape, int | None]:
        """Spatial sizes and channels of a shape with the batch first."""
        checked = arguments.checked_shape(shape, "input_shape")
        if len(checked) != self.spatial_dimensions + 2:
            raise ValueError(
                f"Layer {self.name} ({type(self).__name__}) needs an input of "
                f"{self.spatial_dimensions + 2} dimensions, the batch first. Received: {checked}."
            )
        if self.data_format == CHANNELS_FIRST:
            return checked[2:], checked[1]
        return checked[1:-1], checked[-1]

    def _checked_sizes(self, input_shape: Any) -> tuple[tuple[int, ...], int]:
        size, channels = self._split(input_shape)
        if None in size:
            raise ValueError(
                f"The spatial dimensions of the inputs to a {type(self).__name__} layer should "
                f"be fully-defined, but layer {self.name} received the inputs shape "
                f"{tuple(input_shape)}."
            )
        if not channels:
            raise ValueError(
                f"The channel dimension of the inputs to layer {self.name} should be defined and "
                f"positive, but the layer received the inputs shape {tuple(input_shape)}."
            )
        return tuple(n for n in size if n is not None), channels

    def _check_output_size(self, output_size: Shape, input_shape: Any) -> None:
        if any(n is not None and n <= 0 for n in output_size):
            raise ValueError(
                "One of the dimensions in the output is <= 0 due to downsampling in "
                f"{self.name}. Consider increasing the input size. Received input shape "
                f"{tuple(input_shape)} which would produce output shape with a zero or negative "
                "value in a dimension."
            )


def fastest_engine(geometry: Geometry) -> str:
    """The engine of "auto": a function of the geometry only, so results stay bit-identical.

    With one or two filters and no padding, direct was 1.0 to 2.5 times as fast as sparse for
    forward and both gradients together (mean; 3 to 400 taps, batch 1, 32 and 512).
    """
    padded = geometry.padded is not geometry
    return "sparse" if geometry.filters <= 2 and padded else "direct"


def read_only(array: np.ndarray) -> np.ndarray:
    """`array`, made read-only."""
    array.flags.writeable = False
    return array


def _moved_shape(shape: Shape, data_format: str) -> Shape:
    """A shape (batch first) converted from the other data format to `data_format`."""
    if data_format == CHANNELS_LAST:
        return (shape[0], *shape[2:], shape[1])
    return (shape[0], shape[-1], *shape[1:-1])
