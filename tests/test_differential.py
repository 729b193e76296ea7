"""A few random models of `make differential`, if LCFAST_KERAS_PYTHON has tf_keras."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import lcfast

SCRIPT = Path(__file__).parent / "differential" / "run.py"


@pytest.mark.slow
@pytest.mark.skipif(
    "LCFAST_KERAS_PYTHON" not in os.environ, reason="LCFAST_KERAS_PYTHON names no tf_keras"
)
def test_random_models_of_keras_are_the_same_models_here(tmp_path):
    done = subprocess.run(
        [sys.executable, SCRIPT, "--models", "5", "--seed", "3", "--failures", tmp_path],
        env={**os.environ, "PYTHONPATH": str(Path(lcfast.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 models" in done.stdout
