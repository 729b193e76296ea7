#!/bin/sh
# The kernels against plain loops, made by each compiler and for each architecture that can be had
# here; says what was skipped.  `run.sh native` is for the machine's own compiler alone, quickly.
set -eu
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
flags=$(sed -n 's/^FLAGS = "\(.*\)"$/\1/p' setup.py) # of the build
[ -n "$flags" ]
warnings="-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror"
printf '#include <math.h>\n#include <stdio.h>\nint main(void) { return 0; }\n' >"$work/nothing.c"

# attempt NAME RUNNER COMPILER OPTION...
attempt() {
    name=$1 runner=$2 compiler=$3
    shift 3
    for tool in "$compiler" $runner; do
        command -v "$tool" >/dev/null || { echo "$name: skipped, no $tool here"; return; }
    done
    if ! { "$compiler" "$@" "$work/nothing.c" -o "$work/$name" && $runner "$work/$name"; } \
        >/dev/null 2>&1; then
        echo "$name: skipped, nothing made by $compiler $* runs here"
    elif "$compiler" $flags $warnings "$@" -Ilcfast/local_conv/c lcfast/local_conv/c/*.c \
        tests/c/test_kernels.c -o "$work/$name" -lm && $runner "$work/$name"; then
        echo "$name: passed"
    else
        echo "$name: FAILED"
        touch "$work/failed"
    fi
}

if [ "${1:-}" = native ]; then
    attempt native "" "${CC:-cc}" -O1
else
    { # Without optimizing: with it, the sanitizers keep a compiler busy for minutes.
        attempt gcc-sanitized "" gcc -O0 -fsanitize=address,undefined -fno-sanitize-recover=all
        attempt clang "" clang -O2
    } >"$work/meanwhile" 2>&1 &
    attempt gcc "" gcc
    attempt aarch64-gcc qemu-aarch64 aarch64-linux-gnu-gcc -static
    attempt aarch64-clang qemu-aarch64 clang --target=aarch64-linux-gnu -static -O2
    wait
    cat "$work/meanwhile"
fi
[ ! -e "$work/failed" ]
