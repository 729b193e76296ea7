"""Every input that fuzzing saved is read again, in a process with limits of memory and time."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def inputs_read():
    """How many inputs each reader read."""
    command = [sys.executable, "-m", "fuzz.replay"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = re.findall(r"^(\w+): (\d+) inputs$", done.stdout, re.MULTILINE)
    return {reader: int(count) for reader, count in counts}


def test_every_saved_input_is_read_or_refused_in_little_time_and_memory(inputs_read):
    assert len(inputs_read) >= 7
    assert all(count > 1 for count in inputs_read.values())


def test_every_saved_input_belongs_to_a_reader(inputs_read):
    folders = {path.name for path in (ROOT / "fuzz" / "corpus").iterdir()}
    assert folders <= inputs_read.keys()
