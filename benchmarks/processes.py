"""Run each peer in its own process: start it, send requests, stop it if it takes too long."""

from __future__ import annotations

import json
import os
import select
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from benchmarks.compiling import ROOT

START_SECONDS = 120
PAUSE = 0.03
"""Seconds before a request, so that the previous peer's threads stop spinning."""
MOST_HELD = 1.5e9
"""Bytes that a peer may hold while others are timed; one that holds more is restarted."""


class PeerFailedError(Exception):
    """The process of a peer did not reply; the message says why."""


@dataclass
class PeerProcess:
    """One peer: which module for which worker, which Python, and the process while it lives."""

    name: str
    module: str
    python: str
    gigabytes: float
    cell_seconds: float
    environment: dict[str, str] = field(default_factory=dict)
    worker: str = "benchmarks.peers.worker"
    versions: dict[str, str] = field(default_factory=dict)
    kinds: list[str] = field(default_factory=list)
    unavailable: str | None = None
    process: subprocess.Popen[bytes] | None = None
    complaints: IO[bytes] | None = None
    received: bytes = b""

    def start(self) -> bool:
        """Whether the peer is installed; if not, `unavailable` says why."""
        if self.unavailable or self.process:
            return not self.unavailable
        self.complaints = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self.received = b""
        command = [self.python, "-m", self.worker, self.module, str(self.gigabytes)]
        try:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, **self.environment},
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.complaints,
            )  # fmt: skip
            hello = self._line(START_SECONDS)
        except (OSError, PeerFailedError) as error:
            self.end()
            self.unavailable = str(error)
            return False
        self.versions, self.kinds = hello["versions"], hello["kinds"]
        return True

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """The ways of one cell, by name; under "" why there are no more.

        The peer is started where needed.
        """
        if not self.start():
            return {"": {"failed": self.unavailable}}
        ways: dict[str, Any] = {}
        time.sleep(PAUSE)
        until = time.monotonic() + self.cell_seconds
        assert self.process
        assert self.process.stdin
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
            while "done" not in (answer := self._line(until - time.monotonic())):
                ways[answer.pop("way")] = answer
        except (OSError, PeerFailedError) as error:
            self.end()
            ways[""] = {"failed": str(error)}
        if self._held_bytes() > MOST_HELD:
            self.end()
        return ways

    def end(self) -> None:
        """Stop the process; the next request starts a new one."""
        if self.process:
            self.process.kill()
            self.process.communicate()
        if self.complaints:
            self.complaints.close()
        self.process = self.complaints = None

    def _line(self, seconds: float) -> dict[str, Any]:
        """The next line of the process as JSON."""
        assert self.process
        assert self.process.stdout
        until = time.monotonic() + seconds
        pipe = self.process.stdout.fileno()
        while b"\n" not in self.received:
            ready, _, _ = select.select([pipe], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                raise PeerFailedError(f"no answer within {self.cell_seconds:.0f} s")
            more = os.read(pipe, 1 << 16)
            if not more:
                raise PeerFailedError(self._last_complaint())
            self.received += more
        line, _, self.received = self.received.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _held_bytes(self) -> int:
        """Memory of the process; 0 if Linux does not report it."""
        if not self.process:
            return 0
        try:
            pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        except OSError:
            return 0
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def _last_complaint(self) -> str:
        assert self.process
        assert self.complaints
        status = self.process.wait()
        self.complaints.seek(0)
        lines = self.complaints.read().decode(errors="replace").strip().splitlines()
        ended = f"ended by signal {-status}" if status < 0 else f"ended with status {status}"
        return f"{ended}: {lines[-1][:200]}" if lines else ended
