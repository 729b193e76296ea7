"""The threads of libgomp spin briefly, unless the user says something else."""

import os
import subprocess
import sys

import pytest

CODE = """
import os
import lcfast
from lcfast.versions import versions
print(versions()["waiting"])
print(sorted(name for name in os.environ if name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")))
"""


def told(**settings):
    environment = dict(os.environ)
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-c", CODE], env={**environment, **settings}, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    return done.stdout.splitlines()


def test_the_count_is_set_while_openmp_is_loaded_and_then_removed():
    waiting, left = told()
    assert waiting.startswith(("GOMP_SPINCOUNT=1000", "the default"))
    assert left == "[]"


@pytest.mark.parametrize(
    ("name", "value"), [("GOMP_SPINCOUNT", "7"), ("OMP_WAIT_POLICY", "active")]
)
def test_a_setting_of_the_user_stays(name, value):
    waiting, left = told(**{name: value})
    assert waiting.startswith(f"{name}={value}")
    assert left == f"['{name}']"
