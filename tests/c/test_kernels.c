/* Compares every kernel of every SIMD path with a plain loop, bit by bit, and one digest of all
   results of the fused paths, which is the same on x86-64 and aarch64 with any compiler.

   Prints a line for each path; returns 1 at the first difference. */
#include "lc.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The digest of the fused paths.  Change it only with a deliberate change of the arithmetic; the
   program prints the new one. */
static const uint64_t EXPECTED_DIGEST = 0x166a496eb68e162f;

static const char *where = ""; /* the current path */
static int fused;              /* whether it has a fused multiply-add */
static uint64_t digest, drawn; /* FNV-1a; the state of the generator */

/* splitmix64 */
static uint64_t draw(void) {
    uint64_t z = drawn += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* least..most */
static int64_t between(int64_t least, int64_t most) {
    return least + (int64_t)(draw() % (uint64_t)(most - least + 1));
}

/* One in `chances`. */
static int one_in(int64_t chances) { return between(1, chances) == 1; }

static void *allocate(size_t size) {
    void *memory = malloc(size ? size : 1);
    if (!memory) {
        puts("no memory");
        exit(2);
    }
    return memory;
}

enum {
    GUARD = 64,           /* numbers before and after what a kernel writes */
    MOST_LANES = 16,      /* of any path: the digest must not depend on their number */
    MOST_IN_A_FAMILY = 40, /* rows of a sparse matrix */
    PIECE = 512, GROUP = 16, TOTALS = 4 /* the bits rule of lc.h */
};

/* Numbers of terms around the cuts, from one piece to more than one group of them. */
static const int64_t long_sums[] = {511, 512, 513, 1023, 1024, 1025, 1537, 5000};
enum {
    LONG_SUMS = sizeof long_sums / sizeof *long_sums,
    BEYOND_GROUPS = 3 * PIECE * GROUP * GROUP + PIECE + 3, /* terms */
    MOST_PIECES = BEYOND_GROUPS / PIECE + 1
};

#define JOIN(name, suffix) name##_##suffix
#define EXPAND(name, suffix) JOIN(name, suffix)
#define NAME(name) EXPAND(name, SUFFIX)

#define REAL float
#define SUFFIX f32
#define BITS uint32_t
#define FMA fmaf
#include "checks.template.c"
#include "positions.checks.template.c"
#include "activation.checks.template.c"
#include "elementwise.checks.template.c"
#undef REAL
#undef SUFFIX
#undef BITS
#undef FMA

#define REAL double
#define SUFFIX f64
#define BITS uint64_t
#define FMA fma
#include "checks.template.c"
#include "positions.checks.template.c"
#include "activation.checks.template.c"
#include "elementwise.checks.template.c"

int main(void) {
    int wrong = 0;
    for (int path = 0; path < LC_PATHS; path++) {
        where = lc_path_names[path];
        if (!lc_path_supported(path)) {
            printf("%s: not on this processor\n", where);
            continue;
        }
        fused = strcmp(where, "generic") != 0;
        digest = 0xcbf29ce484222325u;
        check_f32(lc_table_f32[path]);
        check_f64(lc_table_f64[path]);
        check_all_positions_f32(lc_table_f32[path]);
        check_all_positions_f64(lc_table_f64[path]);
        check_all_activations_f32(lc_table_f32[path]);
        check_all_activations_f64(lc_table_f64[path]);
        check_all_elementwise_f32(lc_table_f32[path]);
        check_all_elementwise_f64(lc_table_f64[path]);
        printf("%s: %s, digest %016llx\n", where, fused ? "fused" : "not fused",
               (unsigned long long)digest);
        if (fused && digest != EXPECTED_DIGEST) {
            printf("%s: the digest should be %016llx\n", where, (unsigned long long)EXPECTED_DIGEST);
            wrong = 1;
        }
    }
    return wrong;
}
