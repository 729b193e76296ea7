"""What a call and a layer need beside their arrays, as the kernel of the system counts it.

Each test runs in a fresh process, because the most that a process ever had does not fall again.
"""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    not os.path.exists("/proc/self/status"), reason="memory is read from /proc/self/status"
)
MIB = 1 << 20
START = """
import gc
import numpy as np
import lcfast

def memory(key):
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith(key + ":"))
    return int(line.split()[1]) * 1024

lcfast.set_num_threads(2)
"""
GROWTH = """
layer = {layer}
layer.build((None, *{shape}))
x = np.ones(({batch}, *{shape}), "f4")
out = np.zeros(layer.compute_output_shape(x.shape), "f4")
out.fill(1)  # its pages are there
layer(x[:1], out=out[:1])
before = memory("VmHWM")
layer(x, out=out)
print(out.nbytes, memory("VmHWM") - before)
"""
HELD = """
before = memory("VmRSS")
layer = {layer}
layer.await_weights()
layer.build((None, *{shape}))
layer.set_weights([np.ones(shape, "f4") for shape in layer.weight_shapes()])
layer(np.ones((1, *{shape}), "f4"))
gc.collect()
stored = sum(weight.size * 4 for weight in layer.weights)
print(stored, memory("VmRSS") - before)
"""


def printed(script):
    # Freed memory goes back at once, so that what is left is what is held.
    environment = {**os.environ, "MALLOC_TRIM_THRESHOLD_": "0", "MALLOC_MMAP_THRESHOLD_": "65536"}
    found = subprocess.run(
        [sys.executable, "-c", START + script],
        env=environment, capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    return map(int, found.stdout.split())


@pytest.mark.parametrize("batch", [128, 512])
@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        ("lcfast.LocallyConnected2D(64, 3)", (32, 32, 3)),
        ("lcfast.LocallyConnected2D(12, 3, activation='tanh')", (64, 64, 4)),
        ("lcfast.LocallyConnected2D(12, 3, data_format='channels_first')", (4, 64, 64)),
        ("lcfast.LocallyConnected1D(100, 3)", (400, 8)),
        ("lcfast.Dense(40000)", (30,)),
    ],
    ids=["filters", "batch", "channels-first", "1d", "dense"],
)
def test_with_out_no_page_of_output_is_allocated_and_the_scratch_is_small(layer, shape, batch):
    output, growth = printed(GROWTH.format(layer=layer, shape=shape, batch=batch))
    assert output > 10 * MIB
    assert growth <= min(64 * MIB, max(output // 2, 16 * MIB))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        ("lcfast.LocallyConnected2D(64, 3)", (64, 64, 8)),
        ("lcfast.LocallyConnected1D(64, 9, data_format='channels_first')", (16, 2000)),
        ("lcfast.Dense(4000)", (5000,)),
    ],
    ids=["2d", "1d-channels-first", "dense"],
)
def test_a_layer_holds_its_weights_once(layer, shape):
    stored, held = printed(HELD.format(layer=layer, shape=shape))
    assert stored > 60 * MIB
    assert held <= 1.1 * stored
