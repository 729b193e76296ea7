"""Python interface of the extension; runner.py and the models are its callers."""

from collections.abc import Sequence

import numpy as np

from lcfast.program.schedule import Schedule
from lcfast.program.steps import Steps

class Program:
    steps: Steps
    def __init__(self, steps: Steps, path: int) -> None: ...
    def run(
        self,
        arrays: tuple[np.ndarray, ...],
        rows: int,
        threads: int,
        seconds: np.ndarray | None = None,
    ) -> None: ...
    def answer(self, x: np.ndarray, out: np.ndarray | None, threads: int) -> np.ndarray | None: ...
    def schedule(self, rows: int, threads: int) -> Schedule: ...
    def run_as(self, schedule: Sequence[int], rows: int, threads: int) -> None: ...
