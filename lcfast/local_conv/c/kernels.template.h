/* All kernels for one real type on one SIMD path, in a translation unit of its own.  The including
   file defines LC_IS_DOUBLE, LC_PATH, LC_TARGET, LC_FUSED, LC_VECTOR_BYTES, LC_REGISTERS and
   LC_STREAM. */
#include <stddef.h>
#include <string.h>
#ifdef LC_X86
#include <immintrin.h>
#endif

#define LC_JOIN(name, suffix) name##_##suffix
#define LC_EXPAND(name, suffix) LC_JOIN(name, suffix)
#define LC_ALWAYS_INLINE inline __attribute__((always_inline))
#define LC_UNROLL _Pragma("GCC unroll 16")
/* A number that the preprocessor knows, unlike sizeof. */
#define LC_LANES (LC_VECTOR_BYTES / (4 << LC_IS_DOUBLE))
#define LC_LOAD(from) (*(const LC_NAME(loose) *)(from))
#define LC_STORE(to, value) (*(LC_NAME(loose) *)(to) = (value))
#define LC_NAME(name) LC_EXPAND(name, LC_PATH)

#if LC_IS_DOUBLE
#define LC_REAL double
#define LC_TABLE lc_kernels_f64
#define LC_TABLE_NAME LC_EXPAND(lc_f64, LC_PATH)
#define LC_FUSED_MULTIPLY_ADD __builtin_fma
#else
#define LC_REAL float
#define LC_TABLE lc_kernels_f32
#define LC_TABLE_NAME LC_EXPAND(lc_f32, LC_PATH)
#define LC_FUSED_MULTIPLY_ADD __builtin_fmaf
#endif
#if LC_FUSED
#define LC_FMA(a, b, c) LC_FUSED_MULTIPLY_ADD(a, b, c)
#else
#define LC_FMA(a, b, c) ((a) * (b) + (c))
#endif

#include "cuts.template.h"
#include "tile.template.h"
#include "lone.template.h"
#include "panel.template.h"
#include "unzip.template.h"
#include "positions.template.h"
#include "functions.template.h"
#include "activation.template.h"
#include "sparse.template.h"
#include "elementwise.template.h"

extern const LC_TABLE LC_TABLE_NAME;
const LC_TABLE LC_TABLE_NAME = {
    .lanes = LC_LANES,
    .product = LC_NAME(product),
    .lone = LC_NAME(lone),
    .add_piece = LC_NAME(add_piece),
    .to_panel = LC_NAME(to_panel),
    .from_panel = LC_NAME(from_panel),
    .activate = LC_NAME(activate),
    .activation_gradient = LC_NAME(activation_gradient),
    .activate_rows = LC_NAME(activate_rows),
    .row_gradient = LC_NAME(row_gradient),
    .sparse_panel = LC_NAME(sparse_panel),
    .sparse_vector = LC_NAME(sparse_vector),
    .sparse_gradient = LC_NAME(sparse_gradient),
    .unzip = LC_NAME(unzip),
    .zip = LC_NAME(zip),
    .positions = LC_NAME(positions),
    .positions_gradient = LC_NAME(positions_gradient),
    .affine = LC_NAME(affine),
    .combine = LC_NAME(combine),
    .divide = LC_NAME(divide),
    .pool = LC_NAME(pool),
    .depthwise = LC_NAME(depthwise),
};
