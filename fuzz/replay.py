"""Read every seed and every saved input once; needs no atheris: python -m fuzz.replay."""

from __future__ import annotations

import faulthandler
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from fuzz.limits import LONGEST, limit_memory
from fuzz.readers import READERS, run

CORPUS = Path(__file__).parent / "corpus"


def inputs(reader: str) -> Iterator[tuple[str, bytes]]:
    """The seeds of a reader, made from the goldens, and its saved inputs."""
    for number, seed in enumerate(READERS[reader].seeds()):
        yield f"seed {number}", seed
    for path in sorted((CORPUS / reader).glob("*")):
        yield path.name, path.read_bytes()


def main() -> int:
    """Replay; print the number of inputs of each reader, and every finding."""
    limit_memory()
    findings = 0
    for reader in READERS:
        every = list(inputs(reader))
        for name, data in every:
            faulthandler.dump_traceback_later(LONGEST, exit=True)  # also interrupts loops in C
            with tempfile.TemporaryDirectory() as directory:
                try:
                    run(READERS[reader].feed, data, Path(directory))
                except Exception as error:
                    findings += 1
                    print(f"{reader}: {name}: {type(error).__name__}: {error}")
        faulthandler.cancel_dump_traceback_later()
        print(f"{reader}: {len(every)} inputs")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
