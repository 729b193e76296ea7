"""The layout of weights in .weights.h5 files and .keras archives: a tree of groups.

    layers                   `_layer_checkpoint_dependencies` in the first version of the format
      dense                  named after the class of the layer, not after the layer
        vars
          0                  a dataset; trainable weights first, as get_weights() has them
      dense_1
      sequential             a model within the model has `layers` of its own
      time_distributed       another layer that holds layers names them: layer, cell, ...
    optimizer                not a weight, and neither are metrics and seeds

Layers of one class are numbered in the order of the model's config. Nothing else connects a group
with a layer, so the config is needed to know the names of the layers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import h5py

from lcfast.io.hdf5_file import check_sizes, has_member, location_of, members
from lcfast.io.reading import as_model_file_error, in_natural_order, layer_name, refusal, snake_case

_VARS = "vars"
_LAYERS = "layers"
_FIRST_LAYERS = "_layer_checkpoint_dependencies"
_CONTAINERS = (_LAYERS, _FIRST_LAYERS)
# Training state beside the weights: at the root, and seeds in any layer that uses random numbers.
_OF_TRAINING = {"optimizer", "_optimizer", "metrics", "_metrics", "loss_tracker", "_loss_tracker"}
_SEEDS = "seed_generator"
# The layers inside a layer whose weights come first; the others are in alphabetical order.
_FIRST_HELD = ("forward_layer", "backward_layer")
_DEEPEST = 64  # groups within groups

Tree = dict[str, Any]  # a group: Tree by name; a weight: its path


def is_root(file: h5py.File) -> bool:
    """Whether a file has the groups of this layout at its root."""
    return any(has_member(file, name) for name in (*_CONTAINERS, _VARS))


def find(root: h5py.Group) -> dict[str, h5py.Dataset]:
    """Find the dataset of every weight by its path, such as layers/dense/vars/0, sizes checked."""
    datasets = dict(_walk(root))
    check_sizes(root, datasets)
    return datasets


def _walk(root: h5py.Group) -> Iterator[tuple[str, h5py.Dataset]]:
    seen: set[int] = set()
    waiting: list[tuple[str, h5py.Group | h5py.Dataset]] = [("", root)]
    while waiting:
        path, found = waiting.pop()
        steps = path.split("/")
        if isinstance(found, h5py.Dataset):
            if steps[-2:-1] != [_VARS]:
                raise refusal(f"{location_of(found)} is not in a group '{_VARS}', as weights are")
            yield path, found
            continue
        if not isinstance(found, h5py.Group):
            raise refusal(f"{path!r} is neither a group nor a dataset")
        with as_model_file_error(location_of(found)):
            address = h5py.h5o.get_info(found.id).addr
        if address in seen or len(steps) > _DEEPEST:
            what = (
                "is linked twice" if address in seen else f"is nested deeper than {_DEEPEST} groups"
            )
            raise refusal(f"{location_of(found)} {what}")
        seen.add(address)
        left_out = {_SEEDS} if path else {_SEEDS, *_OF_TRAINING}
        inner = {name: held for name, held in members(found).items() if name not in left_out}
        for name in sorted(inner, key=_rank_in_group, reverse=True):
            waiting.append((f"{path}/{name}" if path else name, inner[name]))


def _rank_in_group(name: str) -> tuple[int, list[Any]]:
    order = (_VARS, *_FIRST_HELD)
    return order.index(name) if name in order else len(order), in_natural_order(name)


def by_layer(paths: Iterable[str], config: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Find the weights of each layer of a Sequential or functional model.

    Parameters
    ----------
    paths : iterable of str
        The paths of all weights, as `find` orders them.
    config : mapping
        The config of the model. If it lists no layers, nothing is found.

    Returns
    -------
    dict of str to tuple of str
        The paths of each layer's weights by the layer's name, in the order of get_weights(); and
        those of groups that belong to no layer, by the path of the group.

    Examples
    --------
    >>> layers = [{"class_name": "Dense", "config": {"name": name}} for name in ("hidden", "out")]
    >>> paths = ["layers/dense/vars/0", "layers/dense_1/vars/0", "layers/dense_2/vars/0"]
    >>> for name, weights in by_layer(paths, {"config": {"layers": layers}}).items():
    ...     print(name, weights)
    hidden ('layers/dense/vars/0',)
    out ('layers/dense_1/vars/0',)
    layers/dense_2 ('layers/dense_2/vars/0',)
    """
    tree: Tree = {}
    for path in paths:
        *groups, last = path.split("/")
        branch = tree
        for group in groups:
            branch = branch.setdefault(group, {})
        branch[last] = path
    entries = _entries(config.get("config"))
    container = _FIRST_LAYERS if _FIRST_LAYERS in tree else _LAYERS
    branch = tree.get(container, {})
    pairs = _pairs(branch, entries, container)
    found = {
        name: tuple(_below(branch.get(group, {}), entry.get("config")))
        for entry, group in pairs
        if isinstance(name := layer_name(entry), str)
    }
    known = {f"{container}/{group}" for _, group in pairs}
    for container in _CONTAINERS:
        for group, held in tree.get(container, {}).items():
            if (path := f"{container}/{group}") not in known:
                found[path] = tuple(_below(held, None))
    if _VARS in tree:
        found[_VARS] = tuple(_below(tree[_VARS], None))
    return found


def _entries(config: Any) -> list[dict[str, Any]]:
    """The layers that a model's config lists; loading reports entries that are not layers."""
    layers = config.get("layers") if isinstance(config, dict) else config
    every = layers if isinstance(layers, list) else []
    return [entry for entry in every if isinstance(entry, dict)]


def _pairs(
    branch: Tree, entries: Sequence[dict[str, Any]], container: str
) -> list[tuple[dict[str, Any], str]]:
    """(layer, name of its group) of each layer of a config, in its order."""
    group_of: dict[int, str] = {}
    kinds: dict[str, list[int]] = {}
    for i, entry in enumerate(entries):
        kinds.setdefault(str(entry.get("class_name")), []).append(i)
    numbered = _by_stem(branch) if container == _FIRST_LAYERS else {}
    for kind, of_kind in kinds.items():
        stem = snake_case(kind)
        groups = [f"{stem}_{number}" if number else stem for number in range(len(of_kind))]
        # That version sometimes counted a layer twice: dense, dense_2, dense_4, ...
        if len(numbered.get(stem, ())) == len(of_kind):
            groups = sorted(numbered[stem], key=in_natural_order)
        group_of.update(zip(of_kind, groups, strict=True))
    return [(entry, group_of[i]) for i, entry in enumerate(entries)]


def _by_stem(groups: Iterable[str]) -> dict[str, list[str]]:
    """Groups by their names, and by their names without a number: dense and dense_2 by dense."""
    found: dict[str, list[str]] = {}
    for group in groups:
        found.setdefault(group, []).append(group)
        if match := re.fullmatch(r"(.+)_[0-9]+", group):
            found.setdefault(match[1], []).append(group)
    return found


def _below(tree: Tree, config: Any) -> list[str]:
    """The paths of all weights of a layer, its own first, then those of the layers it holds."""
    found: list[str] = []
    entries = _entries(config) if isinstance(config, dict) else []
    for name, held in tree.items():  # in the order of `find`
        if isinstance(held, str):
            found.append(held)
        elif name in _CONTAINERS and entries:
            pairs = _pairs(held, entries, name)
            for entry, group in pairs:
                found += _below(held.get(group, {}), entry.get("config"))
            known = {group for _, group in pairs}
            for group in held:
                found += [] if group in known else _below(held[group], None)
        else:
            inner = config.get(name) if isinstance(config, dict) else None
            found += _below(held, inner.get("config") if isinstance(inner, dict) else None)
    return found
