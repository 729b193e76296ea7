/* The architecture's baseline, for the real type that LC_IS_DOUBLE selects: with fused multiply-add
   on aarch64; elsewhere without, whatever the compiler's flags, so that the path's name alone
   determines the bits. */
#include "lc.h"

#define LC_TARGET
#define LC_PATH generic
#define LC_VECTOR_BYTES 16
#if defined(__aarch64__)
#define LC_FUSED 1
#define LC_REGISTERS 32
#else
#define LC_FUSED 0
#define LC_REGISTERS 16
#endif
#ifdef LC_X86
#define LC_STREAM(to, value) _mm_stream_si128((void *)(to), (__m128i)(value))
#else
#define LC_STREAM(to, value) LC_STORE(to, value)
#endif
#include "kernels.template.h"
