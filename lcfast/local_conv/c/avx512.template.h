/* AVX-512, for the real type that LC_IS_DOUBLE selects.  Empty on other architectures. */
#include "lc.h"

#ifdef LC_X86
/* gcc would otherwise prefer 32-byte vectors; clang does not have this option. */
#if defined(__clang__)
#define LC_TARGET __attribute__((target("avx512f,avx512dq,avx512vl,avx512bw,avx2,fma")))
#else
#define LC_TARGET                                                                                  \
    __attribute__((                                                                                \
        target("avx512f,avx512dq,avx512vl,avx512bw,avx2,fma,prefer-vector-width=512")))
#endif
#define LC_PATH avx512
#define LC_FUSED 1
#define LC_VECTOR_BYTES 64
#define LC_REGISTERS 32
/* A store that bypasses the caches, which vector types cannot express: 32x32x3 with 64 filters at
   batch 512 takes 14.5 ms on one core without it, 10.5 ms with it. */
#define LC_STREAM(to, value) _mm512_stream_si512((void *)(to), (__m512i)(value))
#include "kernels.template.h"
#endif
