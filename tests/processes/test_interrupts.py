"""KeyboardInterrupt ends a long predict within a second; predict can be called again."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="times are read in /proc"),
]
SECONDS, TRIES = 120, 2
# Each takes much longer than a second, with the default block size of `predict`.
MODELS = {
    "one wide layer": "[lcfast.Dense(8192, input_shape=(8192,))]",
    "wide layers": "[lcfast.Dense(4096, input_shape=(4096,)), lcfast.Dense(4096)]",
    "convolutions": "[lcfast.Conv2D(256, 3, input_shape=(64, 64, 64)), lcfast.Conv2D(256, 3)]",
    "local": "[lcfast.LocallyConnected2D(32, 7, input_shape=(56, 56, 16))]",
    "in parts": "[lcfast.Sequential([lcfast.Dense(8192, input_shape=(8192,))])]",
    "recurrent": "[lcfast.LSTM(512, input_shape=(100, 512))]",
}
SCRIPT = """
import sys, time, numpy as np, lcfast
model = lcfast.Sequential({layers})
# One row of numbers, repeated without memory of their own: the scores are not of interest.
x = np.broadcast_to(np.float32(0.5), (1 << 20, *model.input_shape[1:]))
print("begun", flush=True)
try:
    for _ in range(1000):
        model.predict(iter([x]), out=Nowhere(len(x), model))
except KeyboardInterrupt:
    print(time.process_time(), flush=True)
lcfast.set_num_threads(1)
assert np.isfinite(model.predict(x[:2])).all()
print("again", flush=True)
"""
NOWHERE = """
import numpy as np
class Nowhere:
    def __init__(self, rows, model):
        self.shape, self.dtype = (rows, *model.output_shape[1:]), np.dtype(np.float32)
        self.ndim = len(self.shape)
    def __len__(self):
        return self.shape[0]
    def __getitem__(self, place):
        raise AssertionError
    def __setitem__(self, place, value):
        pass
"""


def processor_time(process):
    """CPU seconds, which other processes do not affect, in steps of 0.01 s."""
    after_the_name = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, after_the_name[11:13])) / os.sysconf("SC_CLK_TCK")


def seconds_until_interrupted(layers, after):
    """CPU time that `predict` took after an interrupt at `after` seconds."""
    code = NOWHERE + SCRIPT.format(layers=layers)
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "LCFAST_NUM_THREADS": "1",
        },  # the slowest; one step is the resolution of the clock
    ) as process:
        try:
            assert process.stdout.readline() == "begun\n"
            time.sleep(after)
            sent = processor_time(process.pid)
            process.send_signal(signal.SIGINT)
            caught = float(process.stdout.readline())
            assert process.stdout.readline() == "again\n"
            assert process.wait(SECONDS) == 0
        finally:
            process.kill()
    return caught - sent


@pytest.mark.parametrize("layers", MODELS.values(), ids=MODELS)
def test_an_interrupt_ends_a_long_predict_within_a_second(layers):
    waits = [seconds_until_interrupted(layers, 0.3 + 0.17 * i) for i in range(TRIES)]
    assert max(waits) < 1
