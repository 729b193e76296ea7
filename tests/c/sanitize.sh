#!/bin/sh
# Run the Python tests with sanitized extension modules, each sanitizer in its own copy of the tree.
#   sanitize.sh address   gcc: addresses, leaks, undefined behaviour
#   sanitize.sh thread    clang: data races, with libomp and its tool archer
# Without an argument, both in turn; prints what is left out.  PYTHON is the Python to use, with the
# packages of `pip install -e '.[test]'`; TESTS selects tests, CLANG another clang, and
# PYTEST_ADDOPTS=-v shows which test a report belongs to.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
python=$("${PYTHON:-python3}" -c 'import sys; print(sys.executable)')
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$root/tests/c/leaks.supp" "$work"

# Mistakes that the sanitizer must report to prove anything, and `sound`, which it must not report.
cat >"$work/mistakes.c" <<'C'
#include <limits.h>
#include <stdlib.h>
int overflow(int size) {
    char *some = calloc(size, 1);
    int read = some[size];
    free(some);
    return read;
}
int undefined(int number) { return INT_MAX + number; }
int leak(int size) { return malloc(size) != NULL; }
int race(int threads) {
    int sum = 0;
    #pragma omp parallel num_threads(threads)
    for (int turn = 0; turn < 1000; turn++) sum += turn;
    return sum;
}
int unlocked(int turns) {
    static volatile int calls;
    for (int turn = 0; turn < 1000000 * turns; turn++) calls ^= turn;
    return calls;
}
int sound(int threads) {
    int numbers[1000] = {0}, sum = 0;
    for (int turn = 0; turn < 10; turn++) {
        #pragma omp parallel for num_threads(threads)
        for (int number = 0; number < 1000; number++) numbers[number] += turn;
        for (int number = 0; number < 1000; number++) sum += numbers[number];
    }
    return sum;
}
C

# Run a command under the sanitizer; its reports, and those of child processes, are $work/report.*
watched() {
    rm -f "$work"/report.*
    $outside env $environment PYTHONPATH="$work/$name" PYTHONDONTWRITEBYTECODE=1 "$@"
}

reported() { # gcc's UBSan writes to stderr only
    grep -Eqs '(ERROR|WARNING): (Address|Leak|Thread)Sanitizer: |runtime error: ' \
        "$work"/report.* "$work/log"
}

# call FUNCTION from two Python threads
call() {
    watched "$python" -c "import ctypes, multiprocessing.pool as pool
pool.ThreadPool(2).map(ctypes.CDLL('$work/mistakes.so').$1, [4, 4], 1)" >"$work/log" 2>&1
}

# sees MISTAKE...: whether each is reported, and sound code is not
sees() {
    $compiler $options -fopenmp -fPIC -shared "$work/mistakes.c" -o "$work/mistakes.so" || return 1
    for mistake in "$@"; do
        call "$mistake" || true
        reported || { echo "$name: $compiler does not report '$mistake' here"; return 1; }
    done
    if ! call sound || reported; then
        echo "$name: $compiler reports sound code"
        return 1
    fi
}

# Build the tree with this compiler in $work/$name.
build() {
    mkdir "$work/$name"
    (cd "$root" && git ls-files -z --cached --others --exclude-standard | tar -cf - --null -T -) |
        tar -xf - -C "$work/$name"
    (cd "$work/$name" && CC=$compiler LDSHARED="$compiler -shared" LCFAST_OPTIONS=$options \
        "$python" setup.py --quiet build_ext --inplace --parallel 2) >"$work/log" 2>&1 ||
        { cat "$work/log"; exit 1; }
}

# leave_out REASON TEST...: the current sanitizer does not run these
leave_out() {
    echo "$name: left out, $1:" && shift
    for test in "$@"; do
        echo "    $test"
        left_out="$left_out --deselect $test"
    done
}

leave_out_by_both() {
    left_out=
    leave_out "'make test-c' runs them sanitized" tests/local_conv/test_c.py
    leave_out "their allocator would replace the sanitizer's" tests/local_conv/test_allocation.py
    leave_out "they measure memory, and the sanitizer takes more" \
        tests/layers/test_memory.py \
        tests/models/test_scoring.py::test_scoring_a_file_takes_the_memory_of_a_block \
        tests/test_cli_predict.py::test_rows_of_many_times_the_memory_take_the_memory_of_a_block
    leave_out "it measures time, and the sanitizer takes more" \
        tests/test_import.py::test_importing_lcfast_takes_little_time_beyond_numpy_and_h5py
}

run() {
    started=$(date +%s) result=clean
    # Reports at exit go to the terminal, not into a captured stream of a test.
    (cd "$work/$name" && watched "$python" -m pytest -q --capture=sys -p no:faulthandler \
        $left_out ${TESTS:-} || touch "$work/failed.$name") 2>&1 | tee "$work/log"
    if reported; then
        cat "$work"/report.* 2>/dev/null || :
        touch "$work/failed.$name"
    fi
    [ ! -e "$work/failed.$name" ] || result=FAILED
    tests=$(grep -o '[0-9]* passed' "$work/log" | tail -n 1)
    echo "$name: $result, ${tests:-0 passed}, $(($(date +%s) - started)) s" >>"$work/results"
}

skip() {
    echo "$name: skipped, $1" | tee -a "$work/results"
}

address() {
    name=address compiler=gcc outside=
    # At -O0 the tests of the kernels take more than twice as long.
    options="-O1 -g1 -fsanitize=address,undefined -fno-sanitize-recover=all"
    command -v gcc >/dev/null || { skip "no gcc here"; return; }
    # libstdc++ is preloaded too, or exceptions of scipy find no interceptor.  Two stack frames show
    # who allocated; with more, every leak would include a frame of Python.
    preloaded=$(gcc -print-file-name=libasan.so):$(gcc -print-file-name=libstdc++.so)
    environment="LD_PRELOAD=$preloaded PYTHONMALLOC=malloc
        ASAN_OPTIONS=malloc_context_size=2:allocator_may_return_null=1:log_path=$work/report
        LSAN_OPTIONS=suppressions=$work/leaks.supp:print_suppressions=0
        UBSAN_OPTIONS=print_stacktrace=1"
    sees overflow undefined leak || { skip "it does not report known mistakes"; return; }
    leave_out_by_both
    build
    run
}

thread() {
    name=thread
    outside="setarch -R" # randomised addresses may collide with the sanitizer's shadow memory
    options="-O1 -g1 -fsanitize=thread -shared-libsan"
    for compiler in ${CLANG:-clang clang-19}; do # clang 14's runtime crashes when preloaded
        command -v "$compiler" >/dev/null || continue
        environment="LD_PRELOAD=$("$compiler" -print-file-name="libclang_rt.tsan-$(uname -m).so")
            OMP_TOOL_LIBRARIES=$("$compiler" -print-file-name=libarcher.so)
            TSAN_OPTIONS=ignore_noninstrumented_modules=1:die_after_fork=0:log_path=$work/report"
        if sees race unlocked; then
            leave_out_by_both
            build
            run
            return
        fi
    done
    skip "needs a clang with libclang-rt, libomp and archer (apt: clang-19 libomp-19-dev)"
}

for sanitizer in ${1:-address thread}; do
    case $sanitizer in
    address | thread) "$sanitizer" ;;
    *) echo "There is no sanitizer '$sanitizer'; choose address or thread." && exit 2 ;;
    esac
done
cat "$work/results"
! ls "$work"/failed.* >/dev/null 2>&1
