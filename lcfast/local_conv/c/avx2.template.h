/* AVX2 with FMA, for the real type that LC_IS_DOUBLE selects.  Empty on other architectures. */
#include "lc.h"

#ifdef LC_X86
#define LC_TARGET __attribute__((target("avx2,fma")))
#define LC_PATH avx2
#define LC_FUSED 1
#define LC_VECTOR_BYTES 32
#define LC_REGISTERS 16
#define LC_STREAM(to, value) _mm256_stream_si256((void *)(to), (__m256i)(value))
#include "kernels.template.h"
#endif
