"""Every golden container is read and predicts what Keras predicts; see docs/files.md."""

import numpy as np
import pytest

from lcfast.models.deserializing import LAYERS
from tests.support import containers_table, goldens
from tests.support.container_goldens import CONTAINERS, NO_PREDICTIONS, READINGS


@pytest.mark.parametrize("reading", READINGS, ids=lambda reading: reading.golden)
def test_a_model_from_every_container_predicts_what_keras_does(reading):
    x, expected = reading.arrays("x"), reading.arrays("y")
    y = reading.model().predict(x if len(x) > 1 else x[0])
    for got, right in zip(y if isinstance(y, list) else [y], expected, strict=True):
        np.testing.assert_allclose(got, right, rtol=2e-5, atol=1e-6)


def test_every_golden_of_a_container_is_read():
    patterns = (
        "model_*.h5",
        "companions_*.h5",
        "container_*.h5",
        "container_*.keras",
        "saved_model_*",
    )
    found = [path for pattern in patterns for path in goldens.DIRECTORY.glob(pattern)]
    found += [path.with_suffix("") for path in goldens.DIRECTORY.glob("checkpoint_*/*.index")]
    names = {path.relative_to(goldens.DIRECTORY).as_posix() for path in found}
    assert names == {*NO_PREDICTIONS, *(r.golden for r in READINGS if r.container != "JSON + npz")}
    assert {reading.container for reading in READINGS} == set(CONTAINERS)


def test_every_layer_is_read_from_a_container():
    assert set().union(*(reading.layers() for reading in READINGS)) == set(LAYERS)


def test_the_table_of_containers_is_made_from_the_goldens():
    text = containers_table.PAGE.read_text(encoding="utf-8")
    assert containers_table.with_table(text) == text, "run `make table`"
