#!/bin/sh
# Compile the kernels with every warning as an error, under each compiler that is installed.
set -eu
cd "$(dirname "$0")"
for compiler in gcc clang; do
    command -v "$compiler" >/dev/null || continue
    "$compiler" -std=c11 -O2 -ffp-contract=off -fno-math-errno -fno-trapping-math \
        -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -c kernels.c -o /dev/null
    echo "$compiler: no warnings"
done
