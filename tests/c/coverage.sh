#!/bin/sh
# Line coverage of the kernels by the tests in C, with gcov: a line of a template counts as covered
# if any of its instances ran it.  `coverage.sh FOLDER` keeps the .gcov files in FOLDER.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
flags=$(sed -n 's/^FLAGS = "\(.*\)"$/\1/p' "$root/setup.py")
gcc $flags -O0 --coverage -I"$root/lcfast/local_conv/c" "$root"/lcfast/local_conv/c/*.c \
    "$root/tests/c/test_kernels.c" -o kernels -lm
./kernels
gcov --object-directory "$work" "$work"/kernels-*.gcno >gcov.log
awk -F"'" '/^File/ {file = $2} /^Lines/ {print file ": " $0}' gcov.log |
    awk '/local_conv\/c\// {sub(".*/", ""); print}' | tee lines.log
awk -F'[:% ]+' '{ran += $4 * $6 / 100; all += $6} END {
    printf "all: %.2f%% of %d lines\n", 100 * ran / all, all; exit ran / all < 0.95}' lines.log
[ -z "${1:-}" ] || cp ./*.gcov "$1"
