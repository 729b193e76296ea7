"""Refuse graphs in which a Keras mask would change a result; lcfast does not support masks.

A mask says which steps of a sequence count.  `Masking` and `Embedding(mask_zero=True)` create one.
Some layers pass it on, some use it, all others drop it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from lcfast.layers.core.layer import Layer
from lcfast.layers.core.symbolic import Node

# Classes of Keras, by name; a subclass does what its base does.
PASS_ON = frozenset(
    {
        *("Activation", "ELU", "LeakyReLU", "PReLU", "ReLU", "ThresholdedReLU"),
        *("Dense", "BatchNormalization", "LayerNormalization", "ActivityRegularization"),
        *("Dropout", "GaussianNoise", "GaussianDropout", "AlphaDropout"),
        *("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate"),
    }
)
USE = frozenset(
    {
        *("GlobalAveragePooling1D", "Softmax", "TimeDistributed", "Bidirectional", "RNN", "LSTM"),
        *("GRU", "SimpleRNN", "ConvLSTM1D", "ConvLSTM2D", "Model"),
    }
)


def check_masks(nodes: Sequence[Node], given: Collection[Node]) -> None:
    """Raise ValueError where a layer would use a mask; nodes are in topological order."""
    masked: dict[Node, Layer] = {}  # the layer that created the mask of the node's output
    for node in nodes:
        if node in given:
            continue
        layer = node.layer
        maker = next((masked[x.node] for x in node.inputs if x.node in masked), None)
        if maker is not None and _uses_mask(layer):
            raise ValueError(
                f"Layer {layer.name} ({type(layer).__name__}) would use the mask that layer "
                f"{maker.name} ({type(maker).__name__}) makes; lcfast does not support masks and "
                "would compute as if every step counted."
            )
        inner = next((part for part in layer.flat_layers() if _makes_mask(part)), None)
        if inner is not None:
            masked[node] = inner
        elif maker is not None and _names(layer) & PASS_ON:
            masked[node] = maker


def _makes_mask(layer: Layer) -> bool:
    return "Masking" in _names(layer) or bool(getattr(layer, "mask_zero", False))


def _uses_mask(layer: Layer) -> bool:
    return bool(_names(layer) & USE) or (layer._computes_by_call and "mask" in layer._call_takes)


def _names(layer: Layer) -> set[str]:
    return {kind.__name__ for kind in type(layer).__mro__}
