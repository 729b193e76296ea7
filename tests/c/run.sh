#!/bin/sh
# Test the kernels against plain loops, with each compiler and architecture available here; prints
# what is skipped.  `run.sh native` uses only the machine's own compiler, and is quick.
set -eu
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
flags=$(sed -n 's/^FLAGS = "\(.*\)"$/\1/p' setup.py) # those of the build
[ -n "$flags" ]
warnings="-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror"
printf '#include <math.h>\n#include <stdio.h>\nint main(void) { return 0; }\n' >"$work/nothing.c"

# attempt NAME RUNNER COMPILER OPTION...
attempt() {
    name=$1 runner=$2 compiler=$3
    shift 3
    for tool in "$compiler" $runner; do
        command -v "$tool" >/dev/null || { echo "$name: skipped, $tool is not installed"; return; }
    done
    if ! { "$compiler" "$@" "$work/nothing.c" -o "$work/$name" && $runner "$work/$name"; } \
        >/dev/null 2>&1; then
        echo "$name: skipped, programs made by $compiler $* do not run here"
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
    { # -O0: with optimization, sanitizers make the compiler take minutes.
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
