/* The tables of kernels by SIMD path, and which paths this processor has. */
#include "lc.h"

#include <stddef.h>
#ifdef LC_X86
#include <immintrin.h>
#endif

#if defined(__aarch64__)
const char *const lc_path_names[LC_PATHS] = {"avx512", "avx2", "neon"};
#else
const char *const lc_path_names[LC_PATHS] = {"avx512", "avx2", "generic"};
#endif

extern const lc_kernels_f32 lc_f32_avx512, lc_f32_avx2, lc_f32_generic;
extern const lc_kernels_f64 lc_f64_avx512, lc_f64_avx2, lc_f64_generic;

#ifdef LC_X86
const lc_kernels_f32 *const lc_table_f32[LC_PATHS] = {&lc_f32_avx512, &lc_f32_avx2,
                                                      &lc_f32_generic};
const lc_kernels_f64 *const lc_table_f64[LC_PATHS] = {&lc_f64_avx512, &lc_f64_avx2,
                                                      &lc_f64_generic};

int lc_path_supported(int path) {
    const int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    switch (path) {
    case LC_AVX512:
        return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
    case LC_AVX2:
        return avx2;
    default:
        return path == LC_GENERIC;
    }
}

void lc_finish_streams(void) { _mm_sfence(); }
#else
const lc_kernels_f32 *const lc_table_f32[LC_PATHS] = {NULL, NULL, &lc_f32_generic};
const lc_kernels_f64 *const lc_table_f64[LC_PATHS] = {NULL, NULL, &lc_f64_generic};

int lc_path_supported(int path) { return path == LC_GENERIC; }

void lc_finish_streams(void) {}
#endif
