/* Activations and their gradients, once for every real type and instruction set.
   kernels.c defines LC_REAL, LC_IS_DOUBLE, LC_NAME, LC_TARGET, LC_FMA and LC_ALWAYS_INLINE.

   No libm: an element goes through one fixed sequence of IEEE operations without a branch, so its
   bits depend neither on its place in the array nor on the width of the vectors. */

/* e^r = 1 + r + r^2 P(r), |r| <= ln2/2.  P is minimax for the relative error of e^r - 1: own fit,
   coefficients rounded from the lowest up and the rest refitted after each.
   LC_LN2_HIGH ends in zero bits, so that n * LC_LN2_HIGH is exact even where LC_FMA rounds twice.
   n + LC_ROUND rounds n to an integer and holds it, plus the exponent's bias, in its last bits. */
#if LC_IS_DOUBLE
static const LC_REAL LC_NAME(exp_p)[] = { /* relative error 2^-61.6 */
    0x1p-1,
    0x1.5555555555559p-3,
    0x1.5555555555558p-5,
    0x1.111111110f6ffp-7,
    0x1.6c16c16c16faap-10,
    0x1.a01a01afa69ccp-13,
    0x1.a01a019c5ea19p-16,
    0x1.71ddf913cf4b6p-19,
    0x1.27e4fba6d7f7ap-22,
    0x1.af5d540ea16a3p-26,
    0x1.1f3649df05b5ep-29,
};
#define LC_LOG2E 0x1.71547652b82fep+0
#define LC_LN2_HIGH 0x1.62e42fefa4p-1
#define LC_LN2_LOW -0x1.8432a1b0e2634p-43
#define LC_ROUND (0x1.8p52 + 1023)
#define LC_BITS uint64_t
#define LC_MANTISSA_BITS 52
#define LC_EXP_IS_0 -746   /* from here down e^x rounds to 0, */
#define LC_EXP_IS_TINY -38 /* from here down e^x - 1 rounds to -1 */
#define LC_COPYSIGN(magnitude, sign) __builtin_copysign(magnitude, sign)
#else
static const LC_REAL LC_NAME(exp_p)[] = { /* relative error 2^-26.1 */
    0x1.fffffep-2f, 0x1.5554b4p-3f, 0x1.5556f6p-5f, 0x1.122538p-7f, 0x1.6b9794p-10f,
};
#define LC_LOG2E 0x1.715476p+0f
#define LC_LN2_HIGH 0x1.62e4p-1f
#define LC_LN2_LOW 0x1.7f7d1cp-20f
#define LC_ROUND (0x1.8p23f + 127)
#define LC_BITS uint32_t
#define LC_MANTISSA_BITS 23
#define LC_EXP_IS_0 -104
#define LC_EXP_IS_TINY -18
#define LC_COPYSIGN(magnitude, sign) __builtin_copysignf(magnitude, sign)
#endif
#define LC_SELU_SCALE ((LC_REAL)1.05070098735548049342)
#define LC_SELU_SCALE_ALPHA ((LC_REAL)1.75809934084737685994)

/* 2^n for an integer n that is the exponent of a normal number */
static LC_ALWAYS_INLINE LC_TARGET LC_REAL LC_NAME(power_of_two)(LC_REAL n) {
    LC_BITS bits;
    n += LC_ROUND;
    memcpy(&bits, &n, sizeof bits);
    bits <<= LC_MANTISSA_BITS;
    memcpy(&n, &bits, sizeof bits);
    return n;
}

/* e^r - 1 and n, where x = n ln2 + r, n an integer and |r| <= ln2/2 */
static LC_ALWAYS_INLINE LC_TARGET LC_REAL LC_NAME(reduced_expm1)(LC_REAL x, LC_REAL *n) {
    *n = LC_FMA(x, LC_LOG2E, LC_ROUND) - LC_ROUND;
    const LC_REAL r = LC_FMA(-*n, LC_LN2_LOW, LC_FMA(-*n, LC_LN2_HIGH, x));
    int k = sizeof LC_NAME(exp_p) / sizeof(LC_REAL) - 1;
    LC_REAL p = LC_NAME(exp_p)[k];
    _Pragma("GCC unroll 16") while (k--) p = LC_FMA(p, r, LC_NAME(exp_p)[k]);
    return LC_FMA(r * r, p, r);
}

/* e^x = (2^(n+64) + 2^(n+64) (e^r - 1)) 2^-64 for x <= 0, the only ones that an activation asks
   for: where 2^n is too small for a normal number, the last product alone underflows and rounds */
static LC_ALWAYS_INLINE LC_TARGET LC_REAL LC_NAME(exp)(LC_REAL x) {
    LC_REAL n;
    const LC_REAL q = LC_NAME(reduced_expm1)(x < LC_EXP_IS_0 ? LC_EXP_IS_0 : x, &n);
    const LC_REAL power = LC_NAME(power_of_two)(n + 64);
    return LC_FMA(power, q, power) * (LC_REAL)0x1p-64;
}

/* e^x - 1 = 2^n (e^r - 1) + (2^n - 1) for x <= 0 */
static LC_ALWAYS_INLINE LC_TARGET LC_REAL LC_NAME(expm1)(LC_REAL x) {
    LC_REAL n;
    const LC_REAL q = LC_NAME(reduced_expm1)(x < LC_EXP_IS_TINY ? LC_EXP_IS_TINY : x, &n);
    const LC_REAL power = LC_NAME(power_of_two)(n);
    return LC_FMA(power, q, power - 1);
}

/* tanh |x| = y = -t / (t + 2), t = e^(-2|x|) - 1; found as -(h + h y), h = t / 2, which takes in
   only y / (1 + y) <= 1/2 of the rounding errors of y.  Then the sign of x. */
static LC_ALWAYS_INLINE LC_TARGET LC_REAL LC_NAME(tanh)(LC_REAL x) {
    const LC_REAL t = LC_NAME(expm1)(LC_COPYSIGN(2 * x, -1));
    const LC_REAL h = t * (LC_REAL)0.5;
    return LC_COPYSIGN(LC_FMA(h, -t / (t + 2), h), x);
}

/* sigmoid x = s / (1 + e), e = e^-|x|, s = x < 0 ? e : 1; found as s - s y, y = e / (1 + e), which
   takes in only e <= 1 times the rounding errors of y */
static LC_ALWAYS_INLINE LC_TARGET LC_REAL LC_NAME(sigmoid)(LC_REAL x) {
    const LC_REAL e = LC_NAME(exp)(LC_COPYSIGN(x, -1));
    const LC_REAL s = x < 0 ? e : 1;
    return LC_FMA(-s, e / (1 + e), s);
}

#define LC_EACH(result, value)                                                                     \
    for (int64_t i = 0; i < count; i++)                                                            \
        (result)[i] = (value)

/* y[i] = activation(y[i]), i < count; NaN stays NaN, for no comparison with it is true.
   selu is elu with its own alpha, times a scale. */
static LC_TARGET void LC_NAME(activate)(int activation, LC_REAL alpha, int64_t count, LC_REAL *y) {
    const LC_REAL above = activation == LC_SELU ? LC_SELU_SCALE : 1;
    const LC_REAL below = activation == LC_SELU ? LC_SELU_SCALE_ALPHA : alpha;
    switch (activation) {
    case LC_RELU:
        LC_EACH(y, y[i] < 0 ? 0 : y[i]);
        break;
    case LC_TANH:
        LC_EACH(y, LC_NAME(tanh)(y[i]));
        break;
    case LC_SIGMOID:
        LC_EACH(y, LC_NAME(sigmoid)(y[i]));
        break;
    case LC_ELU:
    case LC_SELU:
        LC_EACH(y, y[i] < 0 ? below * LC_NAME(expm1)(y[i]) : above * y[i]);
        break;
    }
}

/* dz[i] = dy[i] activation'(z[i]) from y[i] = activation(z[i]), i < count; dz may be dy.
   The sign of y must tell that of z: elu's alpha is not negative. */
static LC_TARGET void LC_NAME(activation_gradient)(int activation, LC_REAL alpha, int64_t count,
                                                   const LC_REAL *y, const LC_REAL *dy,
                                                   LC_REAL *dz) {
    switch (activation) {
    case LC_LINEAR:
        LC_EACH(dz, dy[i]);
        break;
    case LC_RELU:
        LC_EACH(dz, y[i] > 0 ? dy[i] : 0);
        break;
    case LC_TANH:
        LC_EACH(dz, dy[i] * LC_FMA(-y[i], y[i], 1));
        break;
    case LC_SIGMOID:
        LC_EACH(dz, dy[i] * (y[i] * (1 - y[i])));
        break;
    case LC_ELU: /* at 0 Keras takes the slope from below, */
        LC_EACH(dz, dy[i] * (y[i] > 0 ? 1 : y[i] + alpha));
        break;
    case LC_SELU: /* and here that from above */
        LC_EACH(dz, dy[i] * (y[i] >= 0 ? LC_SELU_SCALE : y[i] + LC_SELU_SCALE_ALPHA));
        break;
    }
}

/* y[r,c] = e[r,c] / sum_c e[r,c], e[r,c] = e^(x[r,c] - max_c x[r,c]); y may be x.  The sum is one
   chain over c ascending; NaN or +infinity in a row makes it NaN, as does nothing but -infinity. */
static LC_TARGET void LC_NAME(softmax)(int64_t rows, int64_t columns, const LC_REAL *x,
                                       LC_REAL *y) {
    for (int64_t row = 0; row < rows * columns; row += columns) {
        LC_REAL top = -(LC_REAL)__builtin_inf();
        for (int64_t i = row; i < row + columns; i++)
            top = x[i] > top ? x[i] : top;
        for (int64_t i = row; i < row + columns; i++)
            y[i] = x[i] - top;
    }
    for (int64_t i = 0; i < rows * columns; i++) /* over all rows: short ones fill no vector */
        y[i] = LC_NAME(exp)(y[i]);
    for (int64_t row = 0; row < rows * columns; row += columns) {
        LC_REAL sum = 0;
        for (int64_t i = row; i < row + columns; i++)
            sum += y[i];
        for (int64_t i = row; i < row + columns; i++)
            y[i] /= sum;
    }
}

/* dx[r,c] = (dy[r,c] - sum_c dy[r,c] y[r,c]) y[r,c]; dx may be dy.  The sum is one chain of fused
   multiply-adds over c ascending. */
static LC_TARGET void LC_NAME(softmax_gradient)(int64_t rows, int64_t columns, const LC_REAL *y,
                                                const LC_REAL *dy, LC_REAL *dx) {
    for (int64_t row = 0; row < rows * columns; row += columns) {
        LC_REAL sum = 0;
        for (int64_t i = row; i < row + columns; i++)
            sum = LC_FMA(dy[i], y[i], sum);
        for (int64_t i = row; i < row + columns; i++)
            dx[i] = (dy[i] - sum) * y[i];
    }
}

#undef LC_LOG2E
#undef LC_LN2_HIGH
#undef LC_LN2_LOW
#undef LC_ROUND
#undef LC_BITS
#undef LC_MANTISSA_BITS
#undef LC_COPYSIGN
#undef LC_SELU_SCALE
#undef LC_SELU_SCALE_ALPHA
#undef LC_EACH
#undef LC_EXP_IS_0
#undef LC_EXP_IS_TINY
