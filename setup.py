"""Builds the extension modules.  Metadata is in pyproject.toml.

The environment variable LCFAST_OPENMP=0 builds without threads; LCFAST_OPTIONS holds further
options for the compiler and the linker, such as a sanitizer's.
"""

import os
import subprocess
import sys
import sysconfig
import tempfile
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

PACKAGE = Path("lcfast/local_conv")
# No contraction: the kernels fuse only where they call LC_FMA, so every compiler gives the same
# bits.  The two -fno options drop errno and trap flags, which nobody reads.  Debug information
# would make up five sixths of the installed size.
FLAGS = "-std=c11 -O3 -g0 -ffp-contract=off -fno-math-errno -fno-trapping-math -fvisibility=hidden"

PROBE = """
#include <omp.h>
%s
int main(void) {
    int threads = 0;
    #pragma omp parallel num_threads(2)
    {
        #pragma omp atomic
        threads++;
    }
    return threads < 1 || register_guard();
}
"""
NO_FORK_GUARD = "static int register_guard(void) { return 0; }"
FORK_GUARD = """
#include <pthread.h>
static void release(void) { omp_pause_resource_all(omp_pause_hard); }
static int register_guard(void) { release(); return pthread_atfork(release, NULL, NULL); }
"""


def runs_with_openmp(fork_guard: str = NO_FORK_GUARD) -> bool:
    """Whether a program with a parallel region and this fork guard compiles and runs."""
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()
    with tempfile.TemporaryDirectory() as directory:
        source, program = Path(directory, "probe.c"), Path(directory, "probe")
        source.write_text(PROBE % fork_guard)
        try:
            command = [*compiler, "-fopenmp", str(source), "-o", str(program)]
            subprocess.run(command, check=True, capture_output=True, timeout=120)
            subprocess.run([str(program)], check=True, capture_output=True, timeout=20)
        except (OSError, subprocess.SubprocessError):
            return False
    return True


def openmp_options() -> tuple[list[str], list[tuple[str, str]]]:
    """Compiler flags and macros for the OpenMP that this compiler and machine have."""
    if os.environ.get("LCFAST_OPENMP") == "0" or not runs_with_openmp():
        print("lcfast: OpenMP is off or missing; building for one thread", file=sys.stderr)
        return [], []
    pause = runs_with_openmp(FORK_GUARD)
    return ["-fopenmp"], [("LC_OPENMP", "1"), *[("LC_OPENMP_PAUSE", "1")] * pause]


class ParallelBuild(build_ext):
    """Compiles the C sources of all extension modules in parallel, one per core."""

    def build_extensions(self) -> None:
        cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
        compile_files = self.compiler.compile
        with ThreadPool(cores) as pool:

            def compile_parallel(sources: list[str], **options: Any) -> list[str]:
                objects = pool.map(lambda source: compile_files([source], **options), sources, 1)
                return [name for names in objects for name in names]

            self.compiler.compile = compile_parallel
            self.parallel = len(self.extensions)  # each waits for its objects, then links them
            super().build_extensions()


openmp_flags, openmp_macros = openmp_options()
options = openmp_flags + os.environ.get("LCFAST_OPTIONS", "").split()


def extension(name: str) -> Extension:
    """The extension module of lcfast/local_conv/NAME.pyx; _simd_paths alone links the kernels."""
    kernels = sorted(PACKAGE.glob("c/*.c")) if name == "_simd_paths" else []
    headers = PACKAGE.glob("c/*.h" if kernels else "c/lc.h")
    return Extension(
        f"lcfast.local_conv.{name}",
        sources=[str(path) for path in (PACKAGE / f"{name}.pyx", *kernels)],
        depends=[str(path) for path in headers],
        include_dirs=[str(PACKAGE / "c")],
        define_macros=openmp_macros,
        extra_compile_args=FLAGS.split() + options,
        extra_link_args=options,
    )


# The kernels come first: they take the longest to compile.
others = sorted({path.stem for path in PACKAGE.glob("*.pyx")} - {"_simd_paths"})
modules = cythonize([extension(name) for name in ("_simd_paths", *others)], build_dir="build")
setup(ext_modules=modules, cmdclass={"build_ext": ParallelBuild})
