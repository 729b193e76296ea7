"""Builds the extension modules.  Metadata lives in pyproject.toml.

The environment variable LCFAST_OPENMP=0 builds without threads; LCFAST_OPTIONS has further options
of compiler and linker, a sanitizer's for example.
"""

import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

C_DIRECTORY = "lcfast/local_conv/c"
# No contraction: the kernels fuse through LC_FMA alone, so that every compiler gives the same
# bits.  The other two only free the compiler from errno and trap flags that nobody reads.
FLAGS = "-std=c11 -O3 -ffp-contract=off -fno-math-errno -fno-trapping-math -fvisibility=hidden"

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
    return threads < 1 || lets_go();
}
"""
NOTHING = "static int lets_go(void) { return 0; }"
BEFORE_FORKS = """
#include <pthread.h>
static void let_go(void) { omp_pause_resource_all(omp_pause_hard); }
static int lets_go(void) { let_go(); return pthread_atfork(let_go, NULL, NULL); }
"""


def runs_with_openmp(lets_go: str = NOTHING) -> bool:
    """Whether a program with a parallel region, and a function after it, compiles and runs."""
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()
    with tempfile.TemporaryDirectory() as directory:
        source, program = Path(directory, "probe.c"), Path(directory, "probe")
        source.write_text(PROBE % lets_go)
        try:
            command = [*compiler, "-fopenmp", str(source), "-o", str(program)]
            subprocess.run(command, check=True, capture_output=True, timeout=120)
            subprocess.run([str(program)], check=True, capture_output=True, timeout=20)
        except (OSError, subprocess.SubprocessError):
            return False
    return True


def openmp_options() -> tuple[list[str], list[tuple[str, str]]]:
    """Compiler flags and macros for what this compiler and this machine really can do."""
    if os.environ.get("LCFAST_OPENMP") == "0" or not runs_with_openmp():
        print("lcfast: no OpenMP here; building for one thread", file=sys.stderr)
        return [], []
    pause = runs_with_openmp(BEFORE_FORKS)
    return ["-fopenmp"], [("LC_OPENMP", "1"), *[("LC_OPENMP_PAUSE", "1")] * pause]


openmp_flags, openmp_macros = openmp_options()
options = openmp_flags + os.environ.get("LCFAST_OPTIONS", "").split()


def extension(name: str, *c_sources: str) -> Extension:
    """The extension module of lcfast/local_conv/NAME.pyx."""
    return Extension(
        f"lcfast.local_conv.{name}",
        sources=[f"lcfast/local_conv/{name}.pyx", *c_sources],
        depends=[str(path) for path in Path(C_DIRECTORY).glob("*.[ch]")],
        include_dirs=[C_DIRECTORY],
        define_macros=openmp_macros,
        extra_compile_args=FLAGS.split() + options,
        extra_link_args=options,
    )


OTHERS = sorted({path.stem for path in Path("lcfast/local_conv").glob("*.pyx")} - {"_direct"})
modules = [extension("_direct", f"{C_DIRECTORY}/kernels.c"), *map(extension, OTHERS)]
setup(ext_modules=cythonize(modules, build_dir="build"))
