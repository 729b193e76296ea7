"""The layout of weights in .h5 files of Keras 1 and 2: lists of names as attributes.

root                     attribute  layer_names
dense                  attribute  weight_names
dense/kernel:0       a dataset
"""

from __future__ import annotations

import h5py

from lcfast.errors import quoted
from lcfast.io.hdf5_file import check_sizes, has_member, location_of, member, names, resolve
from lcfast.io.reading import refusal

_OF_NO_LAYER = "top_level_model_weights"  # Keras's group for weights of the model itself


def find(root: h5py.Group) -> tuple[dict[str, tuple[str, ...]], dict[str, h5py.Dataset]]:
    """Find the names of each layer's weights and their datasets, and check the sizes."""
    layer_weights: dict[str, tuple[str, ...]] = {}
    datasets: dict[str, h5py.Dataset] = {}
    text, file_size = 0, root.file.id.get_filesize()
    for layer in _layer_names(root):
        if layer in layer_weights:
            raise refusal(f"{location_of(root)} names layer {quoted(layer)} twice")
        group = resolve(root, layer, h5py.Group)
        weights = names(group, "weight_names")
        text += sum(map(len, weights))
        if text > file_size:  # many names may link to one group
            raise refusal(f"{location_of(root)} names more weights than the file can hold")
        layer_weights[layer] = tuple(f"{layer}/{weight}" for weight in weights)
        for weight, full_name in zip(weights, layer_weights[layer], strict=True):
            if full_name in datasets:
                raise refusal(f"{location_of(group)} names weight {quoted(weight)} twice")
            datasets[full_name] = resolve(group, weight, h5py.Dataset)
    check_sizes(root, datasets)
    return layer_weights, datasets


def _layer_names(root: h5py.Group) -> list[str]:
    layers = names(root, "layer_names")
    if _OF_NO_LAYER not in layers and has_member(root, _OF_NO_LAYER):
        group = member(root, _OF_NO_LAYER, h5py.Group)
        if names(group, "weight_names"):
            layers.append(_OF_NO_LAYER)
    return layers
