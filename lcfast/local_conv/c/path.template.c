/* Both real types on one SIMD path.  kernels.c defines, and this file undefines:
   LC_TARGET, LC_FUSED, LC_VECTOR_BYTES, LC_REGISTERS, LC_STREAM, LC_SUFFIX_F32, LC_SUFFIX_F64. */

#define LC_REAL float
#define LC_IS_DOUBLE 0
#define LC_TABLE lc_kernels_f32
#define LC_NAME(name) LC_EXPAND(name, LC_SUFFIX_F32)
#if LC_FUSED
#define LC_FMA(a, b, c) __builtin_fmaf(a, b, c)
#else
#define LC_FMA(a, b, c) ((a) * (b) + (c))
#endif
#include "tile.template.c"
#include "panel.template.c"
#include "positions.template.c"
#include "functions.template.c"
#include "activation.template.c"
#include "sparse.template.c"
static const LC_TABLE LC_NAME(kernels) = {LC_LANES, LC_NAME(product), LC_NAME(lone), LC_NAME(to_panel), LC_NAME(from_panel), LC_NAME(activate),
                                          LC_NAME(activation_gradient), LC_NAME(activate_rows),
                                          LC_NAME(row_gradient), LC_NAME(sparse_panel),
                                          LC_NAME(sparse_vector), LC_NAME(sparse_gradient),
                                          LC_NAME(unzip), LC_NAME(zip), LC_NAME(positions),
                                          LC_NAME(positions_gradient)};
#undef LC_REAL
#undef LC_IS_DOUBLE
#undef LC_TABLE
#undef LC_NAME
#undef LC_FMA

#define LC_REAL double
#define LC_IS_DOUBLE 1
#define LC_TABLE lc_kernels_f64
#define LC_NAME(name) LC_EXPAND(name, LC_SUFFIX_F64)
#if LC_FUSED
#define LC_FMA(a, b, c) __builtin_fma(a, b, c)
#else
#define LC_FMA(a, b, c) ((a) * (b) + (c))
#endif
#include "tile.template.c"
#include "panel.template.c"
#include "positions.template.c"
#include "functions.template.c"
#include "activation.template.c"
#include "sparse.template.c"
static const LC_TABLE LC_NAME(kernels) = {LC_LANES, LC_NAME(product), LC_NAME(lone), LC_NAME(to_panel), LC_NAME(from_panel), LC_NAME(activate),
                                          LC_NAME(activation_gradient), LC_NAME(activate_rows),
                                          LC_NAME(row_gradient), LC_NAME(sparse_panel),
                                          LC_NAME(sparse_vector), LC_NAME(sparse_gradient),
                                          LC_NAME(unzip), LC_NAME(zip), LC_NAME(positions),
                                          LC_NAME(positions_gradient)};
#undef LC_REAL
#undef LC_IS_DOUBLE
#undef LC_TABLE
#undef LC_NAME
#undef LC_FMA

#undef LC_TARGET
#undef LC_FUSED
#undef LC_VECTOR_BYTES
#undef LC_REGISTERS
#undef LC_STREAM
#undef LC_SUFFIX_F32
#undef LC_SUFFIX_F64
