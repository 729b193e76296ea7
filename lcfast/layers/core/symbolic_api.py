"""The symbolic side of a layer: what it was called on, and what came of it, node by node."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lcfast.layers.core import arguments
from lcfast.layers.core.symbolic import Node, SymbolicTensor

Tensors = SymbolicTensor | list[SymbolicTensor]


class SymbolicSide:
    """The part of a layer that remembers its symbolic calls; `Layer._connect` records them."""

    _nodes: list[Node]

    if TYPE_CHECKING:  # what Layer defines

        @property
        def name(self) -> str: ...  # noqa: D102

    @property
    def scope_name(self) -> str:
        """The first part of the names of the weights: the layer's name."""
        return self.name

    @property
    def graph(self) -> Any:
        """AttributeError: there is no TensorFlow graph.

        Raises
        ------
        AttributeError
            Always.
        """
        raise AttributeError(
            f"Layer {self.name} has no `graph`: lcfast computes with numpy arrays, there is no "
            "TensorFlow graph."
        )

    @property
    def input(self) -> Tensors:
        """The symbolic tensor that the layer was called on; a list where it takes several.

        Raises
        ------
        AttributeError
            If the layer was never called on a symbolic tensor, or on different ones.
        """
        missing = f"Layer {self.name} is not connected, no input to return."
        return self._only(_input, "input", missing)  # type: ignore[no-any-return]

    @property
    def output(self) -> Tensors:
        """The symbolic tensor that the layer returned.

        Raises
        ------
        AttributeError
            If the layer was never called on a symbolic tensor, or more than once.
        """
        missing = f"Layer {self.name} has no inbound nodes."
        return self._only(_output, "output", missing)  # type: ignore[no-any-return]

    @property
    def input_mask(self) -> None:
        """None, because there are no masks.

        Raises
        ------
        AttributeError
            If the layer was never called on a symbolic tensor.
        """
        self._only(_mask, "input mask", f"Layer {self.name} is not connected, no input to return.")

    @property
    def output_mask(self) -> None:
        """None, because there are no masks.

        Raises
        ------
        AttributeError
            If the layer was never called on a symbolic tensor.
        """
        self._only(_mask, "output mask", f"Layer {self.name} has no inbound nodes.")

    @property
    def input_shape(self) -> Any:
        """Shape of the symbolic input, batch first; a list of shapes where there are several.

        Raises
        ------
        AttributeError
            If the layer was never called on a symbolic tensor, or on ones of different shapes.
        """
        return self._only(_input_shape, "input shape", self._never_called("input shape"))

    @property
    def output_shape(self) -> Any:
        """Shape of the symbolic output, batch first.

        Raises
        ------
        AttributeError
            If the layer was never called on a symbolic tensor, or on ones of different shapes.
        """
        return self._only(_output_shape, "output shape", self._never_called("output shape"))

    def get_input_at(self, node_index: int) -> Tensors:
        """Return the symbolic tensor of one call of the layer; a list where it takes several.

        Parameters
        ----------
        node_index : int
            0 is the first symbolic call.

        Returns
        -------
        SymbolicTensor or list of SymbolicTensor

        Raises
        ------
        RuntimeError
            If the layer was never called on a symbolic tensor.
        ValueError
            If there are not so many calls.

        References
        ----------
        https://www.tensorflow.org/versions/r1.15/api_docs/python/tf/keras/layers/Layer

        Examples
        --------
        >>> import lcfast
        >>> layer, x = lcfast.Dense(2), lcfast.Input((3,))
        >>> y = layer(x)
        >>> layer.get_input_at(0) is x, layer.get_output_at(0) is y
        (True, True)
        """
        return self._at(node_index, _input, "input")  # type: ignore[no-any-return]

    def get_output_at(self, node_index: int) -> Tensors:
        """Return the symbolic tensor that one call of the layer returned; see `get_input_at`."""
        return self._at(node_index, _output, "output")  # type: ignore[no-any-return]

    def get_input_shape_at(self, node_index: int) -> Any:
        """Return the shape of the input of one call of the layer; see `get_input_at`.

        Examples
        --------
        >>> import lcfast
        >>> layer = lcfast.Dense(2)
        >>> y = layer(lcfast.Input((3,)))
        >>> layer.get_input_shape_at(0), layer.get_output_shape_at(0)
        ((None, 3), (None, 2))
        """
        return self._at(node_index, _input_shape, "input shape")

    def get_output_shape_at(self, node_index: int) -> Any:
        """Return the shape of the output of one call of the layer; see `get_input_at`."""
        return self._at(node_index, _output_shape, "output shape")

    def get_input_mask_at(self, node_index: int) -> None:
        """Return None, because there are no masks; the errors are those of `get_input_at`."""
        self._at(node_index, _mask, "input mask")

    def get_output_mask_at(self, node_index: int) -> None:
        """Return None, because there are no masks; the errors are those of `get_input_at`."""
        self._at(node_index, _mask, "output mask")

    def _symbolic_calls(self) -> list[tuple[Tensors, Tensors]]:
        """Input and output of each symbolic call; of an InputLayer both are its tensor."""
        calls: list[tuple[Tensors, Tensors]] = []
        for node in self._nodes:
            several = list(node.inputs or node.outputs)
            calls.append((several if len(several) > 1 else several[0], node.output))
        return calls

    def _at(self, node_index: int, part: Callable[[Any], Any], what: str) -> Any:
        calls = self._symbolic_calls()
        if not calls:
            raise RuntimeError(self._never_called(what))
        number = arguments.as_integer(node_index)
        if number is None:
            raise TypeError(f"The `node_index` must be an integer. Received: {node_index!r}.")
        if not -len(calls) <= number < len(calls):
            raise ValueError(
                f"Asked to get {what} at node {number}, but the layer has only {len(calls)} "
                "inbound nodes."
            )
        return part(calls[number])

    def _only(self, part: Callable[[Any], Any], what: str, missing: str) -> Any:
        """What all symbolic calls have in common."""
        found = [part(call) for call in self._symbolic_calls()]
        if not found:
            raise AttributeError(missing)
        if any(other != found[0] for other in found[1:]):
            kind = f'with different {what}s. Hence the notion of "{what}" is ill-defined'
            raise AttributeError(
                f'The layer "{self.name}" has multiple inbound nodes, {kind} for the layer. Use '
                f"`get_{what.replace(' ', '_')}_at(node_index)` instead."
            )
        return found[0]

    def _never_called(self, what: str) -> str:
        return f"The layer {self.name} has never been called and thus has no defined {what}."


def _input(call: tuple[Tensors, Tensors]) -> Tensors:
    return call[0]


def _output(call: tuple[Tensors, Tensors]) -> Tensors:
    return call[1]


def _mask(call: tuple[Tensors, Tensors]) -> None:
    return None


def _shape(tensors: Tensors) -> Any:
    return [t.shape for t in tensors] if isinstance(tensors, list) else tensors.shape


def _input_shape(call: tuple[Tensors, Tensors]) -> Any:
    return _shape(call[0])


def _output_shape(call: tuple[Tensors, Tensors]) -> Any:
    return _shape(call[1])
