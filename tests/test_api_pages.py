"""The examples of tf.keras's API pages of the two layers, verbatim.

LocallyConnected1D: TensorFlow r1.13; LocallyConnected2D: TensorFlow r1.4.
"""

import re
import textwrap

import numpy as np
import pytest

import lcfast

LOCALLY_CONNECTED_1D = """\
    # apply a unshared weight convolution 1d of length 3 to a sequence with
    # 10 timesteps, with 64 output filters
    model = Sequential()
    model.add(LocallyConnected1D(64, 3, input_shape=(10, 32)))
    # now model.output_shape == (None, 8, 64)
    # add a new conv1d on top
    model.add(LocallyConnected1D(32, 3))
    # now model.output_shape == (None, 6, 32)
"""

LOCALLY_CONNECTED_2D = """\
    # apply a 3x3 unshared weights convolution with 64 output filters on a
    32x32 image
    # with `data_format="channels_last"`:
    model = Sequential()
    model.add(LocallyConnected2D(64, (3, 3), input_shape=(32, 32, 3)))
    # now model.output_shape == (None, 30, 30, 64)
    # notice that this layer will consume (30*30)*(3*3*3*64) + (30*30)*64
    parameters

    # add a 3x3 unshared weights convolution on top, with 32 output filters:
    model.add(LocallyConnected2D(32, (3, 3)))
    # now model.output_shape == (None, 28, 28, 32)
"""

PAGES = {"1D": LOCALLY_CONNECTED_1D, "2D": LOCALLY_CONNECTED_2D}


def code_of(page):
    """The example as valid Python: on the page, two comments continue on a line without `#`."""
    lines = textwrap.dedent(PAGES[page]).splitlines()
    return "\n".join(
        "#" + line if line in ("32x32 image", "parameters") else line for line in lines
    )


def run(code):
    """The names that `code` defines, after `from lcfast import *`."""
    namespace = {}
    exec("from lcfast import *", namespace)
    exec(code, namespace)
    return namespace


@pytest.mark.parametrize("page", PAGES)
def test_the_example_of_a_page_runs_as_it_stands_there(page):
    model = run(code_of(page))["model"]
    assert isinstance(model, lcfast.Sequential)
    assert len(model.layers) == 2
    x = np.ones((2, *model.input_shape[1:]))
    assert model.predict(x).shape == (2, *model.output_shape[1:])


@pytest.mark.parametrize("page", PAGES)
def test_the_shapes_that_a_page_states_hold_where_it_states_them(page):
    checked, count = re.subn(r"# now (model\.output_shape == .*)", r"assert \1", code_of(page))
    assert count == 2
    run(checked)


def test_a_wrong_shape_in_a_page_would_be_found():
    with pytest.raises(AssertionError):
        run(code_of("1D").replace("# now", "assert").replace("(None, 6, 32)", "(None, 7, 32)"))


def test_the_layer_of_the_page_has_as_many_parameters_as_it_states():
    (stated,) = re.findall(r"will consume (.*)", LOCALLY_CONNECTED_2D)
    model = run(code_of("2D"))["model"]
    assert stated == "(30*30)*(3*3*3*64) + (30*30)*64"
    assert model.layers[0].count_params() == 30 * 30 * (3 * 3 * 3 * 64) + 30 * 30 * 64 == 1_612_800
    assert model.layers[1].count_params() == 28 * 28 * (3 * 3 * 64 * 32) + 28 * 28 * 32
    assert model.count_params() == sum(layer.count_params() for layer in model.layers)


def test_the_layers_of_the_1d_page_have_the_parameters_that_follow_from_its_text():
    model = run(code_of("1D"))["model"]
    kernels = [layer.weight_shapes()[0] for layer in model.layers]
    assert kernels == [(8, 3 * 32, 64), (6, 3 * 64, 32)]
    assert model.count_params() == 8 * 96 * 64 + 8 * 64 + 6 * 192 * 32 + 6 * 32
