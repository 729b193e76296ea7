"""What fuzzing found, and inputs that reach far into the readers, are read again."""

import re
import subprocess
import sys
from pathlib import Path

from fuzz.readers import READERS
from fuzz.replay import CORPUS

ROOT = Path(__file__).parents[2]


def test_every_saved_input_is_read_or_refused_in_little_time_and_memory():
    command = [sys.executable, "-m", "fuzz.replay"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = dict(re.findall(r"^(\w+): (\d+) inputs$", done.stdout, re.MULTILINE))
    assert counts.keys() == READERS.keys()
    assert all(int(count) > 1 for count in counts.values())


def test_every_saved_input_belongs_to_a_reader():
    assert {path.name for path in CORPUS.iterdir()} <= READERS.keys()
