"""The part of a model that is written down: its configuration, its files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from lcfast.layers.base import Layer
from lcfast.layers.symbolic import SymbolicTensor
from lcfast.models import configs, saving
from lcfast.models.graph import Graph
from lcfast.models.weights import LayersOfGraph


class WritableModel(LayersOfGraph):
    """The part of a model that describes it and writes it into files."""

    if TYPE_CHECKING:  # what Model defines
        inputs: list[SymbolicTensor]
        outputs: list[SymbolicTensor]

        @property
        def layers(self) -> list[Layer]: ...  # noqa: D102
        def graph_of_layers(self) -> Graph: ...  # noqa: D102

    @property
    def class_name_in_files(self) -> str | None:
        """The class that a file names; None for a class of the user's, which no file can hold."""
        return None

    def config_in(self, form: configs.Form) -> dict[str, Any]:
        """The configuration in one of the forms of `lcfast.models.configs`."""
        return configs.functional_config(self, form)

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it into HDF5 files.

        Raises
        ------
        ValueError
            If a layer cannot be described; then every one of them is listed.

        Examples
        --------
        >>> import lcfast
        >>> inputs = lcfast.Input((3,), name="x")
        >>> model = lcfast.Model(inputs, lcfast.Dense(2, name="y")(inputs))
        >>> model.get_config()["layers"][1]["inbound_nodes"]
        [[['x', 0, 0, {}]]]
        """
        return self.config_in("plain")

    def to_json(self, **options: Any) -> str:
        """Return the configuration as JSON; see `lcfast.model_from_json`."""
        return saving.to_json(self, **options)

    def save(
        self,
        filepath: str | os.PathLike[str],
        overwrite: bool = True,
        save_format: str | None = None,
        *,
        include_optimizer: bool = True,
        save_traces: bool = True,
    ) -> None:
        """Write the whole model into a file that Keras reads; see `lcfast.models.saving`."""
        saving.save_model(self, filepath, overwrite, save_format)

    def save_weights(
        self,
        filepath: str | os.PathLike[str],
        overwrite: bool = True,
        save_format: str | None = None,
    ) -> None:
        """Write the weights alone into a file that Keras reads; see `lcfast.models.saving`."""
        saving.save_weights(self, filepath, overwrite, save_format)

    def load_weights(self, filepath: str | os.PathLike[str]) -> None:
        """Set all weights to those in a file; see `lcfast.models.saving`."""
        saving.load_weights(self, filepath)
