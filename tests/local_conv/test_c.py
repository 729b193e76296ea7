"""The C kernels without Python: runs the checks of tests/c."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

RUN = Path(__file__).parents[1] / "c" / "run.sh"


@pytest.mark.thorough
@pytest.mark.skipif(
    not (shutil.which("sh") and shutil.which((os.environ.get("CC") or "cc").split()[0])),
    reason="there is no compiler here",
)
def test_the_kernels_agree_with_plain_loops_to_the_bit():
    run = subprocess.run(
        ["sh", str(RUN), "native"], capture_output=True, text=True, timeout=600, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.endswith("native: passed\n")
