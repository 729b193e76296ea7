#!/bin/sh
# Compile the kernels with warnings as errors, with each installed compiler.
set -eu
cd "$(dirname "$0")"
for compiler in gcc clang; do
    command -v "$compiler" >/dev/null || continue
    for file in *.c; do
        "$compiler" -std=c11 -O2 -ffp-contract=off -fno-math-errno -fno-trapping-math \
            -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -c "$file" -o /dev/null
    done
    echo "$compiler: no warnings"
done
