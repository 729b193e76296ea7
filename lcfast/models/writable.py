"""The part of a model that describes it: its configuration and files."""

from __future__ import annotations

import os
from typing import Any

from lcfast.models import configs, saving, weight_mapping
from lcfast.models.structure import Form, ModelStructure


class WritableModel(ModelStructure):
    """The part of a model that returns its configuration and saves it."""

    def config_in(self, form: Form) -> dict[str, Any]:
        """The configuration in one of the forms of `lcfast.models.configs`."""
        return configs.functional_config(self, form)

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it into HDF5 files.

        Raises
        ------
        ValueError
            If layers cannot be described; the message lists all of them.

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
        """Return the class, configuration and version of the model as JSON.

        Parameters
        ----------
        **options
            Options of `json.dumps`, such as indent.

        Returns
        -------
        str
            `lcfast.model_from_json` and that of tf_keras rebuild the model from it, with new
            weights.

        Raises
        ------
        ValueError
            If layers cannot be described; the message lists all of them.
        TypeError
            If the model is an instance of a user's subclass.

        References
        ----------
        https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/Model#to_json

        Examples
        --------
        >>> import lcfast
        >>> model = lcfast.Sequential([lcfast.Dense(2, input_shape=(3,))])
        >>> lcfast.model_from_json(model.to_json()).output_shape
        (None, 2)
        """
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
        """Save the model, config and weights, in a file that Keras 2 and lcfast read.

        The file is written atomically: after an error, an older file is unchanged.

        Parameters
        ----------
        filepath : str or os.PathLike
            ".h5" and ".hdf5" select the HDF5 file of all versions of Keras 2, ".keras" the zip
            archive of tf_keras.
        overwrite : bool
            Whether an existing file may be replaced.
        save_format : str, optional
            "h5" or "keras", for a path with another extension.
        include_optimizer, save_traces : bool
            Accepted for compatibility with Keras, without effect.

        Raises
        ------
        ValueError
            If the extension is unknown or contradicts `save_format`, the model is not built, or
            layers cannot be described; the message lists all of them.
        TypeError
            If the model is an instance of a user's subclass.
        FileExistsError
            If the file exists and `overwrite` is False.
        OSError
            If the file cannot be written.

        References
        ----------
        https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/Model#save

        Examples
        --------
        >>> import os, tempfile
        >>> import lcfast
        >>> path = os.path.join(tempfile.mkdtemp(), "model.h5")
        >>> model = lcfast.Sequential([lcfast.Dense(2, input_shape=(3,))])
        >>> model.save(path)
        >>> lcfast.load_model(path).output_shape
        (None, 2)
        """
        saving.save_model(self, filepath, overwrite, save_format)

    def save_weights(
        self,
        filepath: str | os.PathLike[str],
        overwrite: bool = True,
        save_format: str | None = None,
    ) -> None:
        """Save the weights in a file that Keras 2 and lcfast read, atomically.

        Parameters
        ----------
        filepath : str or os.PathLike
            ".weights.h5" selects the newer format of tf_keras, other ".h5" and ".hdf5" that of
            all versions of Keras 2.
        overwrite : bool
            Whether an existing file may be replaced.
        save_format : str, optional
            "h5", for a path with another extension.

        Raises
        ------
        ValueError
            If the extension is unknown or contradicts `save_format`, or the model is not built.
        FileExistsError
            If the file exists and `overwrite` is False.
        OSError
            If the file cannot be written.

        References
        ----------
        https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/Model#save_weights

        Examples
        --------
        >>> import os, tempfile
        >>> import lcfast
        >>> path = os.path.join(tempfile.mkdtemp(), "weights.h5")
        >>> model = lcfast.Sequential([lcfast.Dense(2, input_shape=(3,), name="dense")])
        >>> model.save_weights(path)
        >>> list(lcfast.read_weights(path))
        ['dense/dense/kernel:0', 'dense/dense/bias:0']
        """
        saving.save_weights(self, filepath, overwrite, save_format)

    def load_weights(self, filepath: str | os.PathLike[str]) -> None:
        """Set all weights to those in a file; if one does not fit, none is changed.

        Parameters
        ----------
        filepath : str or os.PathLike
            A file of weights or of a model that Keras wrote, the prefix of a checkpoint, or a
            SavedModel directory. Weights are matched by their order in the file, not by name, as
            in Keras; those of a .weights.h5 file by the paths of their layers.

        Raises
        ------
        ModelFileError
            If the file is corrupt, or its weights do not fit the model; the message lists all
            missing and surplus weights and wrong shapes, and the model is unchanged.
        OSError
            If the file cannot be read.

        References
        ----------
        https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/Model#load_weights

        Examples
        --------
        >>> import os, tempfile
        >>> import numpy as np, lcfast
        >>> path = os.path.join(tempfile.mkdtemp(), "weights.h5")
        >>> dense = lcfast.Dense(1, input_shape=(2,), weights=[[[3], [4]], [5]])
        >>> lcfast.Sequential([dense]).save_weights(path)
        >>> model = lcfast.Sequential([lcfast.Dense(1, input_shape=(2,))])
        >>> model.load_weights(path)
        >>> model(np.ones((1, 2)))
        array([[12.]], dtype=float32)
        """
        weight_mapping.load_weights(self, filepath)
