"""Every allocation of the loops fails once: MemoryError, no leak, correct results afterwards."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ROOT.parent / "lcfast" / "local_conv"
SHIM = ROOT / "c" / "failing_allocations.c"
COMPILER = (os.environ.get("CC") or "cc").split()
ALLOCATION = re.compile(r"\b(?:malloc|calloc|realloc|aligned_alloc|posix_memalign)\s*\(")
COMMENT = re.compile(r"#.*")  # of Cython

pytestmark = pytest.mark.skipif(
    not (shutil.which(COMPILER[0]) and sys.platform == "linux"),
    reason="needs a C compiler and a loader that knows LD_PRELOAD",
)

# Runs in a separate process: each operation, with each of its allocations failing in turn.
FAILING = r"""
import ctypes, json, pathlib
import numpy as np
from lcfast.local_conv import _sparse, ops, sparse
from lcfast.local_conv.geometry import Geometry

shim = ctypes.CDLL(None)
shim.watch.argtypes = ctypes.c_void_p, ctypes.c_void_p
folder = str(pathlib.Path(_sparse.__file__).parent)
for line in open("/proc/self/maps"):
    if folder in line:
        start, end = line.split()[0].split("-")
        shim.watch(int(start, 16), int(end, 16))

STEPS = "dense in steps: forward" # without memory it is computed in another way

def numbers(shape, dtype, seed):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)

def operations(dtype):
    options = ops.ComputeOptions("direct", 2)
    for name, rows, geometry in (
        ("packed filters", 8, Geometry((1,), 300, 200, (1,), (1,))),
        ("batch", 64, Geometry((9,), 2, 3, (2,), (2,))),
        ("positions", 2, Geometry((70,), 1, 1, (3,), (1,))),
        ("filters and packed rows", 8, Geometry((8,), 16, 64, (3,), (1,))),
    ):
        x = numbers((rows, *geometry.input_shape), dtype, 1)
        kernel = numbers(geometry.kernel_shape, dtype, 2)
        dy = numbers((rows, *geometry.output_shape), dtype, 3)
        yield f"{name}: forward", lambda: ops.forward(x, kernel, None, geometry, options=options)
        yield f"{name}: input gradient", lambda: ops.input_gradient(dy, kernel, geometry, options)
        yield f"{name}: kernel gradient", lambda: ops.kernel_gradient(x, dy, geometry, options)
    wide = Geometry((1,), 8200, 256, (1,), (1,))
    row, kernel = numbers((1, 1, 8200), dtype, 1), numbers(wide.kernel_shape, dtype, 2)
    yield STEPS, lambda: ops.forward(row, kernel, None, wide, options=options)
    pattern = sparse.pattern_of(geometry)
    vector = numbers(geometry.connections, dtype, 4)
    matrix = sparse.connected(geometry, vector)

    def cut():
        _sparse.Matrix(pattern.starts, pattern.indices, pattern.shape[1])
        return vector

    yield "cutting of a sparse matrix", cut
    pattern.cut  # lives as long as its geometry
    options = ops.ComputeOptions("sparse", 2)
    yield "sparse: forward", lambda: ops.forward(x, matrix, None, geometry, options=options)
    xs, dys = (np.repeat(array, 70, axis=0) for array in (x, dy))
    yield "sparse: kernel gradient", lambda: ops.kernel_gradient(xs, dys, geometry, options)

found = {}
for dtype in ("float32", "float64"):
    for name, compute in operations(dtype):
        shim.fail(0)
        expected = compute()
        shim.fail(0)
        assert np.array_equal(compute(), expected)
        count = shim.allocations()
        before = shim.unfreed()
        for n in range(1, count + 1):
            shim.fail(n)
            try:
                got = compute()
            except MemoryError as error:
                assert str(error).startswith("no memory for "), error
            else:
                assert name == STEPS, f"{name}, {dtype}: allocation {n} failed without an error"
                assert np.array_equal(got, expected)
            assert shim.unfreed() == before, f"{name}, {dtype}: allocation {n} leaked"
        shim.fail(0)
        assert np.array_equal(compute(), expected), f"{name}, {dtype}: other results afterwards"
        found[f"{name}, {dtype}"] = count
    del compute
print(json.dumps({"allocations": found, "sites": shim.call_sites()}))
"""


def allocations_of_sources():
    """How often each file allocates."""
    sources = [*SOURCES.glob("*.pyx"), *SOURCES.glob("*.pxd"), *SOURCES.glob("c/*.[ch]")]
    texts = {path.name: COMMENT.sub("", path.read_text()) for path in sources}
    return {name: len(ALLOCATION.findall(text)) for name, text in texts.items()}


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    library = tmp_path_factory.mktemp("shim") / "failing_allocations.so"
    options = ["-shared", "-fPIC", "-O1", "-fno-builtin", str(SHIM), "-o", str(library)]
    made = subprocess.run([*COMPILER, *options], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"the shim needs glibc: {made.stderr.splitlines()[:1]}")
    return library


def test_each_allocation_that_fails_is_a_memory_error_and_leaves_nothing(shim):
    environment = {**os.environ, "LD_PRELOAD": str(shim)}
    run = subprocess.run(
        [sys.executable, "-c", FAILING], env=environment, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert sum(found["allocations"].values()) >= 28
    # All but the two of a sparse matrix are compiled for either real type.
    assert found["sites"] >= 2 * sum(allocations_of_sources().values()) - 2


def test_the_tiles_in_c_allocate_nothing():
    found = {name: n for name, n in allocations_of_sources().items() if name.endswith((".c", ".h"))}
    assert "tile.template.h" in found
    assert not any(found.values())
