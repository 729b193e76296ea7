"""The part of a model that is written down: its configuration, its files."""

from __future__ import annotations

import os
from typing import Any

from lcfast.models import configs, saving
from lcfast.models.structure import Form, ModelStructure


class WritableModel(ModelStructure):
    """The part of a model that describes it and writes it into files."""

    def config_in(self, form: Form) -> dict[str, Any]:
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
        """Return the class, configuration and version of the model as JSON.

        Parameters
        ----------
        **options
            Those of `json.dumps`, such as indent.

        Returns
        -------
        str
            What `lcfast.model_from_json` and tf_keras's make the model of, with other weights.

        Raises
        ------
        ValueError
            If a layer cannot be described; then every one of them is listed.
        TypeError
            If the model is of a class of the user's.

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
        """Write a whole model, config and weights, into a file that Keras 2 and lcfast read.

        The file appears when it is whole: an error, a full disk too, leaves an older one as it was.

        Parameters
        ----------
        filepath : str or os.PathLike
            The file. ".h5" and ".hdf5" make the HDF5 file of every Keras 2, ".keras" the zip
            archive of tf_keras.
        overwrite : bool
            Whether a file that is there already may be replaced.
        save_format : str, optional
            "h5" or "keras", for a name with another ending.
        include_optimizer, save_traces : bool
            As in Keras; there is neither here, so they change nothing.

        Raises
        ------
        ValueError
            If the ending is unknown or contradicts `save_format`, the model is not built, or a
            layer cannot be described; then every one of them is listed.
        TypeError
            If the model is of a class of the user's.
        FileExistsError
            If the file is there and `overwrite` is False.
        OSError
            If the system cannot write the file.

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
        """Write the weights of a model into a file that Keras 2 and lcfast read.

        Parameters
        ----------
        filepath : str or os.PathLike
            The file. ".weights.h5" makes the file of tf_keras's newer form, another ".h5" or
            ".hdf5" that of every Keras 2.
        overwrite : bool
            Whether a file that is there already may be replaced.
        save_format : str, optional
            "h5", for a name with another ending.

        Raises
        ------
        ValueError
            If the ending is unknown or contradicts `save_format`, or the model is not built.
        FileExistsError
            If the file is there and `overwrite` is False.
        OSError
            If the system cannot write the file.

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
        """Set all weights to those in a file: all of them, or none where one does not fit.

        Parameters
        ----------
        filepath : str or os.PathLike
            A file of weights, or of a whole model, that Keras wrote; the prefix of a checkpoint,
            or a SavedModel directory. Weights are taken in their order in the file, whatever they
            are called, as Keras does; those of a .weights.h5 file by the places of their layers.

        Raises
        ------
        ModelFileError
            If the file is damaged, or its weights are not those of the model; then every one that
            is missing, surplus or misshapen is listed, and the model is as it was.
        OSError
            If the system cannot give the file.

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
        saving.load_weights(self, filepath)
