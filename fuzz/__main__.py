"""Fuzz one reader: python -m fuzz hdf5 --seconds 600."""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["lcfast", "zipfile"]):
    import zipfile  # noqa: F401

    from fuzz.limits import LONGEST, limit_memory
    from fuzz.readers import READERS, Reader, run

HERE = Path(__file__).parent


def main() -> None:
    """Parse the command line, write the seeds, fuzz."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("reader", choices=READERS)
    parser.add_argument("--seconds", type=int, default=600, help="CPU time")
    parser.add_argument("--work", default=".fuzz", help="the folder for corpora and findings")
    options = parser.parse_args()
    reader = READERS[options.reader]
    corpus = Path(options.work) / options.reader
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(reader.seeds()):
        (corpus / f"seed_{number}").write_bytes(seed)
    with tempfile.TemporaryDirectory(dir=_memory_directory()) as directory:
        _fuzz(reader, corpus, Path(directory), options.reader, options.seconds)


def _fuzz(reader: Reader, corpus: Path, directory: Path, name: str, seconds: int) -> None:
    def one(data: bytes) -> None:
        if time.process_time() > seconds:
            shutil.rmtree(directory, ignore_errors=True)
            signal.raise_signal(signal.SIGUSR1)  # libFuzzer prints its statistics and stops
            return
        inside = directory / "input"
        shutil.rmtree(inside, ignore_errors=True)
        inside.mkdir()
        run(reader.feed, data, inside)

    def mutate(data: bytes, largest: int, seed: int) -> bytes:
        chance = random.Random(seed)
        if chance.random() < 0.3:
            return bytes(atheris.Mutate(data, largest))
        return reader.mutate(data, chance)[:largest]

    flags = [
        f"-timeout={LONGEST}",
        f"-dict={HERE / 'keras.dict'}",
        f"-artifact_prefix={corpus.parent}/finding-{name}-",
        "-max_len=80000",
        "-print_final_stats=1",
        "-rss_limit_mb=600",
        str(corpus),
        *(str(saved) for saved in [HERE / "corpus" / name] if saved.is_dir()),
    ]
    atheris.Setup([sys.argv[0], *flags], one, custom_mutator=mutate)
    limit_memory()
    atheris.Fuzz()


def _memory_directory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


if __name__ == "__main__":
    main()
