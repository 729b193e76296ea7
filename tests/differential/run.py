"""Compare random models of tf_keras with lcfast: `make differential`.

    LCFAST_KERAS_PYTHON=.../python python tests/differential/run.py --models 1000 --seed 0

tf_keras, in its own process, draws a model, saves it in every container and computes outputs and
gradients; lcfast loads each file, compares the results and writes it back; tf_keras loads that.
A failing model is reduced as long as it fails in the same way, and its recipe is written to the
folder --failures; `--recipe FILE` runs it again.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from comparing import compare
from recipes import Recipe, as_text, smaller

HERE = Path(__file__).parent
MODELS_OF_A_PROCESS = 100  # TensorFlow's memory grows with every model
MOST_SMALLER = 150  # tries to make a failing model smaller
SUBCLASS_OF_FAILURE = re.compile(r"[\d.e+-]+")


class Keras:
    """The process of tf_keras, restarted after a number of models."""

    def __init__(self, python: str) -> None:
        self.python, self.asked, self.process = python, 0, None

    def ask(self, **question: Any) -> dict[str, Any]:
        """The reply of the process; {"error": ...} if it failed or died."""
        if self.process is None or self.asked >= MODELS_OF_A_PROCESS:
            self.stop()
            self.start()
        self.asked += 1
        try:
            self.process.stdin.write(json.dumps(question) + "\n")
            self.process.stdin.flush()
            reply = self.process.stdout.readline()
        except BrokenPipeError:
            reply = ""
        if not reply:
            status = self.process.wait()
            self.process = None
            return {"error": f"the process of tf_keras ended with status {status}"}
        return json.loads(reply)

    def start(self) -> None:
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
        environment = {**os.environ, **quiet}
        environment.pop("PYTHONPATH", None)
        self.asked = 0
        self.process = subprocess.Popen(
            [self.python, HERE / "keras_models.py"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def stop(self) -> None:
        if self.process is not None:
            self.process.stdin.close()
            self.process.wait()
            self.process = None


def failures_of(keras: Keras, folder: Path) -> tuple[list[str], float]:
    """The differences for a model that Keras wrote to a folder, in both directions."""
    failures, worst = compare(folder)
    if (folder / "written.keras").exists():
        reply = keras.ask(read=str(folder))
        failures += reply.get("differences", [f"back: {reply.get('error')}"])
    return failures, worst


def kinds_of(failures: list[str]) -> set[str]:
    """The kinds of the failures: their texts without numbers."""
    return {SUBCLASS_OF_FAILURE.sub("#", failure)[:60] for failure in failures}


def made_smaller(keras: Keras, recipe: Recipe, seed: int, failures: list[str]) -> Recipe:
    """The smallest model found with a failure of the same kind."""
    tried = 0
    progress = True
    while progress:
        progress = False
        for candidate in smaller(recipe):
            tried += 1
            if tried > MOST_SMALLER:
                return recipe
            with tempfile.TemporaryDirectory() as folder:
                here = Path(folder, "smaller")
                if "error" in keras.ask(make=candidate, seed=seed, folder=str(here)):
                    continue
                found, _ = failures_of(keras, here)
            if kinds_of(found) & kinds_of(failures):
                recipe, failures, progress = candidate, found, True
                break
    return recipe


class Report:
    """What was drawn, and how often."""

    def __init__(self, kept: Path) -> None:
        self.kept, self.started = kept, time.monotonic()
        self.models = self.failed = 0
        self.worst = 0.0
        self.refusals: Counter[str] = Counter()
        self.layers: Counter[str] = Counter()

    def count(self, recipe: Recipe) -> None:
        for node in recipe["nodes"]:
            self.layers[node.get("layer", "a layer again")] += 1
            if "recipe" in node:
                self.count(node["recipe"])

    def keep(self, seed: int, recipe: Recipe, failures: list[str]) -> None:
        self.failed += 1
        self.kept.mkdir(parents=True, exist_ok=True)
        (self.kept / f"{seed}.json").write_text(json.dumps(recipe, indent=1))
        text = "\n".join([as_text(recipe), *failures])
        (self.kept / f"{seed}.txt").write_text(text + "\n")
        print(f"seed {seed} FAILED\n{text}\n", flush=True)

    def say(self) -> None:
        seconds = time.monotonic() - self.started
        print(f"{self.models} models in {seconds:.0f} s, {self.failed} failed", flush=True)
        print(f"largest error: {self.worst:.2f} of its tolerance")
        print("calls: " + ", ".join(f"{n} {name}" for name, n in self.layers.most_common()))
        for refusal, count in self.refusals.most_common(12):
            print(f"{count} drawn models not taken by Keras: {refusal}")


def run(keras: Keras, seeds: range, report: Report, shrink: bool) -> None:
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            reply = keras.ask(draw=seed, folder=folder)
            if "error" in reply:
                report.failed += 1
                print(f"seed {seed}: {reply['error']}\n{reply.get('where', '')}", flush=True)
                continue
            report.refusals.update(text[:90] for text in reply["refusals"])
            here = Path(reply["folder"])
            recipe = json.loads((here / "recipe.json").read_text())
            report.models += 1
            report.count(recipe)
            failures, worst = failures_of(keras, here)
        if report.models % 20 == 0:
            print(f"{report.models} models, {report.failed} failed", flush=True)
        if failures:
            least = made_smaller(keras, recipe, seed, failures) if shrink else recipe
            report.keep(seed, least, failures)
        else:
            report.worst = max(report.worst, worst)


def run_one(keras: Keras, file: Path, seed: int) -> bool:
    """Run a saved recipe; return whether it fails."""
    recipe = json.loads(file.read_text())
    folder = Path(tempfile.mkdtemp())
    reply = keras.ask(make=recipe, seed=seed, folder=str(folder / "model"))
    failures, worst = (
        ([reply["error"]], 0.0) if "error" in reply else failures_of(keras, folder / "model")
    )
    print(as_text(recipe), *failures, f"largest error: {worst:.2f} of its tolerance", sep="\n")
    shutil.rmtree(folder)
    return bool(failures)


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="of the first model")
    parser.add_argument("--failures", type=Path, default=Path("build/differential"))
    parser.add_argument("--recipe", type=Path, help="a recipe that was kept, alone")
    parser.add_argument("--as-drawn", action="store_true", help="do not make failing models small")
    options = parser.parse_args()
    python = os.environ.get("LCFAST_KERAS_PYTHON")
    if not python:
        print("LCFAST_KERAS_PYTHON must name a Python with tf_keras.", file=sys.stderr)
        return 2
    keras = Keras(python)
    try:
        if options.recipe is not None:
            return int(run_one(keras, options.recipe, options.seed))
        report = Report(options.failures)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that `finally` prints
        try:
            seeds = range(options.seed, options.seed + options.models)
            run(keras, seeds, report, shrink=not options.as_drawn)
        finally:
            report.say()
    finally:
        keras.stop()
    return int(report.failed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
