"""Watch a process that reads files: Python's audit events, and all access to a directory."""

import ctypes
import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_OPENED, _CHANGED = 0x20, 0x2 | 0x40 | 0x80 | 0x100 | 0x200  # inotify(7)
_IS_DIRECTORY = 0x40000000


def read_watched(
    requests: dict[str, tuple[str, Path]], warm_up: list[tuple[str, Path]], importable: Path
) -> dict[str, dict]:
    """Read every file in one process; return the outcome and the audit events of each."""
    asked = {
        "warm_up": [(call, str(path)) for call, path in warm_up],
        "requests": [(name, call, str(path)) for name, (call, path) in requests.items()],
    }
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "watched_process.py")],
        input=json.dumps(asked),
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(importable)])},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@contextmanager
def touched(directory: Path) -> Iterator[list[str]]:
    """Collect the names of files that any process opens, creates, writes or removes (inotify)."""
    system = ctypes.CDLL(None, use_errno=True)
    watch = system.inotify_init1(os.O_NONBLOCK)
    assert watch >= 0, os.strerror(ctypes.get_errno())
    names: list[str] = []
    try:
        added = system.inotify_add_watch(watch, bytes(directory), _OPENED | _CHANGED)
        assert added >= 0, os.strerror(ctypes.get_errno())
        yield names
        try:
            data = os.read(watch, 2**20)
        except BlockingIOError:
            return
        while data:
            _, kind, _, size = struct.unpack_from("iIII", data)
            if not (kind & _IS_DIRECTORY and kind & _OPENED):  # listing the directory
                names.append(data[16 : 16 + size].rstrip(b"\0").decode())
            data = data[16 + size :]
    finally:
        os.close(watch)
