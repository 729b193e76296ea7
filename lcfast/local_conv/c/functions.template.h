/* Elementary functions of one number, which activation.template.h uses.

   No libm: each element takes one fixed sequence of IEEE operations without a branch, so its bits
   depend neither on its index in the array nor on the width of the vectors. */

/* Our own fits, minimax or nearly: coefficients rounded from the lowest up, the rest refitted after
   each.
     e^r = 1 + r + r^2 P(r), |r| <= ln2/2: exp_p, error relative to e^r - 1
     log(1 + f) = f + f^2 P(f), -1/4 <= f <= 1/2: log_p
     Phi(x) = 1/2 + x P(x^2), |x| <= 1: middle_p, Phi being the normal distribution function
     (a + 4) e^(a^2/2) Phi(-a) = P((a - 4) / (a + 4)), a >= 0: tail_p
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
static const LC_REAL LC_NAME(log_p)[] = { /* relative error 2^-61.6 */
    -0x1p-1, 0x1.555555555555p-2, -0x1.fffffffffffe5p-3, 0x1.999999999ab7p-3, -0x1.5555555559196p-3,
    0x1.24924923f32d5p-3, -0x1.fffffffa929c6p-4, 0x1.c71c721898878p-4, -0x1.99999b6604b1p-4,
    0x1.745d0d2bf7f5ep-4, -0x1.5555050e4d2dap-4, 0x1.3b1420d814e26p-4, -0x1.2499e41c0976bp-4,
    0x1.1118a9a80ddd6p-4, -0x1.ff47fc414f7ffp-5, 0x1.dfc01e1b7b992p-5, -0x1.c96cb0f064e93p-5,
    0x1.c3cc2a9b79f14p-5, -0x1.b6d620d37a43dp-5, 0x1.639ef76f563bdp-5, -0x1.80b1b1c05eda2p-6,
    0x1.88b97329faa47p-8,
};
static const LC_REAL LC_NAME(tail_p)[] = { /* relative error 2^-54.9 */
    0x1.82b4bb8c94dcep-1, -0x1.373e3a893c28ap-1, 0x1.8c6dbf2cfc281p-2, -0x1.7dff2bff683a7p-3,
    0x1.eec4cc3e50c59p-5, -0x1.ee2761047e3aap-8, -0x1.c81719d90ac98p-9, 0x1.ab825fc0b334ep-10,
    0x1.17a4b05cbb4ep-13, -0x1.e4a4253d4fe88p-13, -0x1.0021663d230fap-19, 0x1.26d091782142cp-15,
    0x1.80def7224dd81p-21, -0x1.8d49b9aada6ddp-18, -0x1.5251a63b9bb94p-21, 0x1.12245a9053b91p-20,
    0x1.24945a0213083p-22, -0x1.4bc5a070b3509p-23, -0x1.717170e602efp-24, 0x1.b81ea5fe363c2p-27,
    0x1.5629ca29ad773p-26, 0x1.2c763fb82b513p-29, -0x1.6171fa8b8d785p-29, -0x1.b374b5eed9d15p-31,
    -0x1.18a11803a8626p-37,
};
static const LC_REAL LC_NAME(middle_p)[] = { /* relative error 2^-58.0 */
    0x1.9884533d43651p-2, -0x1.1058377e2cf2bp-4, 0x1.46d042976b3bep-7, -0x1.37403f6c19fb5p-10,
    0x1.e42b0d702bb7ep-14, -0x1.3ce8fce9c22acp-17, 0x1.658a4b9676087p-21, -0x1.622330cf808bdp-25,
    0x1.3854051739804p-29, -0x1.ea48af4c5b228p-34, 0x1.28f0466601b12p-38,
};
#define LC_LOG2E 0x1.71547652b82fep+0
#define LC_LN2_HIGH 0x1.62e42fefa4p-1
#define LC_LN2_LOW -0x1.8432a1b0e2634p-43
#define LC_ROUND (0x1.8p52 + 1023)
#define LC_BITS uint64_t
#define LC_MANTISSA_BITS 52
#define LC_LOW_HALF 0x7ffffffu     /* bits of a mantissa: what is above them squares exactly */
#define LC_EXP_IS_0 -760           /* from here down x e^x rounds to 0, */
#define LC_EXP_IS_TINY -38         /* from here down e^x - 1 rounds to -1, */
#define LC_EXP_IS_INFINITE 710     /* and from here up e^x to infinity */
#define LC_LARGEST __DBL_MAX__
#define LC_SMALLEST __DBL_DENORM_MIN__ /* above 0 */
#define LC_COPYSIGN(magnitude, sign) __builtin_copysign(magnitude, sign)
#else
static const LC_REAL LC_NAME(exp_p)[] = { /* relative error 2^-26.1 */
    0x1.fffffep-2f, 0x1.5554b4p-3f, 0x1.5556f6p-5f, 0x1.122538p-7f, 0x1.6b9794p-10f,
};
static const LC_REAL LC_NAME(log_p)[] = { /* relative error 2^-29.4 */
    -0x1.fffffep-2f, 0x1.55555ap-2f, -0x1.00010cp-2f, 0x1.9998eep-3f, -0x1.54fde6p-3f,
    0x1.2421ap-3f, -0x1.055064p-3f, 0x1.e44166p-4f, -0x1.797cf4p-4f, 0x1.34861ep-5f,
};
static const LC_REAL LC_NAME(tail_p)[] = { /* relative error 2^-25.5 */
    0x1.82b4bcp-1f, -0x1.373e38p-1f, 0x1.8c6d9p-2f, -0x1.7e003p-3f, 0x1.eed68cp-5f, -0x1.ed0d6p-8f,
    -0x1.ccad1p-9f, 0x1.9a9b4cp-10f, 0x1.78bd66p-13f, -0x1.123e46p-13f,
};
static const LC_REAL LC_NAME(middle_p)[] = { /* relative error 2^-28.0 */
    0x1.988454p-2f, -0x1.105854p-4f, 0x1.46d24p-7f, -0x1.37325ap-10f, 0x1.de95c8p-14f,
    -0x1.06f0f4p-17f,
};
#define LC_LOG2E 0x1.715476p+0f
#define LC_LN2_HIGH 0x1.62e4p-1f
#define LC_LN2_LOW 0x1.7f7d1cp-20f
#define LC_ROUND (0x1.8p23f + 127)
#define LC_BITS uint32_t
#define LC_MANTISSA_BITS 23
#define LC_LOW_HALF 0xfffu
#define LC_EXP_IS_0 -120
#define LC_EXP_IS_TINY -18
#define LC_EXP_IS_INFINITE 89
#define LC_LARGEST __FLT_MAX__
#define LC_SMALLEST __FLT_DENORM_MIN__
#define LC_COPYSIGN(magnitude, sign) __builtin_copysignf(magnitude, sign)
#endif

/* sum_k coefficients[k] x^k, k <= degree */
static LC_ALWAYS_INLINE LC_TARGET LC_REAL LC_NAME(polynomial)(const LC_REAL *coefficients,
                                                              int degree, LC_REAL x) {
    LC_REAL sum = coefficients[degree];
    _Pragma("GCC unroll 32") while (degree--) sum = LC_FMA(sum, x, coefficients[degree]);
    return sum;
}
#define LC_POLYNOMIAL(name, x)                                                                     \
    LC_NAME(polynomial)(LC_NAME(name), sizeof LC_NAME(name) / sizeof(LC_REAL) - 1, x)

/* x, or the nearest number within the limits; NaN stays NaN, for no comparison with it is true */
static LC_ALWAYS_INLINE LC_TARGET LC_REAL LC_NAME(clamp)(LC_REAL x, LC_REAL least, LC_REAL most) {
    return x < least ? least : x > most ? most : x;
}

/* t - t y; t where y is 0, even infinity */
static LC_ALWAYS_INLINE LC_TARGET LC_REAL LC_NAME(less)(LC_REAL t, LC_REAL y) {
    return LC_FMA(t > LC_LARGEST ? -LC_LARGEST : -t, y, t);
}

/* 2^n for an integer n that is the exponent of a normal number */
static LC_ALWAYS_INLINE LC_TARGET LC_REAL LC_NAME(power_of_two)(LC_REAL n) {
    LC_BITS bits;
    n += LC_ROUND;
    memcpy(&bits, &n, sizeof bits);
    bits <<= LC_MANTISSA_BITS;
    memcpy(&n, &bits, sizeof bits);
    return n;
}

/* e^r - 1 and n, where x - low = n ln2 + r, n an integer and |r| <= ln2/2 */
static LC_ALWAYS_INLINE LC_TARGET LC_REAL LC_NAME(reduced_expm1)(LC_REAL x, LC_REAL low,
                                                                 LC_REAL *n) {
    *n = LC_FMA(x - low, LC_LOG2E, LC_ROUND) - LC_ROUND;
    const LC_REAL r = LC_FMA(-*n, LC_LN2_LOW, LC_FMA(-*n, LC_LN2_HIGH, x) - low);
    return LC_FMA(r * r, LC_POLYNOMIAL(exp_p, r), r);
}

/* e^(x - low) = m s, s = 2^-100 where x < 0, else 2^100: m = 2^n / s (1 + (e^r - 1)) is a normal
   number even where 2^n is too small or too large for one.  So the product with s alone underflows
   and rounds, or overflows, and a factor of e^x can be taken in before. */
static LC_ALWAYS_INLINE LC_TARGET LC_REAL LC_NAME(scaled_exp)(LC_REAL x, LC_REAL low, LC_REAL *s) {
    LC_REAL n;
    *s = x < 0 ? (LC_REAL)0x1p-100 : (LC_REAL)0x1p100;
    const LC_REAL shift = x < 0 ? 100 : -100;
    x = LC_NAME(clamp)(x, LC_EXP_IS_0, LC_EXP_IS_INFINITE);
    const LC_REAL q = LC_NAME(reduced_expm1)(x, low, &n);
    const LC_REAL power = LC_NAME(power_of_two)(n + shift);
    return LC_FMA(power, q, power);
}

static LC_ALWAYS_INLINE LC_TARGET LC_REAL LC_NAME(exp)(LC_REAL x) {
    LC_REAL s;
    const LC_REAL m = LC_NAME(scaled_exp)(x, 0, &s);
    return m * s;
}

/* e^x - 1 = 2^n (e^r - 1) + (2^n - 1) for x <= 0 */
static LC_ALWAYS_INLINE LC_TARGET LC_REAL LC_NAME(expm1)(LC_REAL x) {
    LC_REAL n;
    const LC_REAL q = LC_NAME(reduced_expm1)(x < LC_EXP_IS_TINY ? LC_EXP_IS_TINY : x, 0, &n);
    const LC_REAL power = LC_NAME(power_of_two)(n);
    return LC_FMA(power, q, power - 1);
}

/* log(1 + f), -1/4 <= f <= 1/2 */
static LC_ALWAYS_INLINE LC_TARGET LC_REAL LC_NAME(reduced_log1p)(LC_REAL f) {
    return LC_FMA(f * f, LC_POLYNOMIAL(log_p, f), f);
}

/* log(1 + t), 0 <= t <= 1; above 1/2 it is log 2 + log((1 + t) / 2) */
static LC_ALWAYS_INLINE LC_TARGET LC_REAL LC_NAME(log1p)(LC_REAL t) {
    const int halve = t > (LC_REAL)0.5;
    const LC_REAL rest = LC_NAME(reduced_log1p)(halve ? (t - 1) * (LC_REAL)0.5 : t);
    return (halve ? LC_LN2_HIGH : 0) + ((halve ? LC_LN2_LOW : 0) + rest);
}

/* log x = n ln2 + log m, x = 2^n m, 3/4 <= m < 3/2; for a finite x >= 1, else x */
static LC_ALWAYS_INLINE LC_TARGET LC_REAL LC_NAME(log)(LC_REAL x) {
    const LC_REAL smallest_m = (LC_REAL)0.75;
    LC_REAL m;
    LC_BITS bits, smallest;
    memcpy(&bits, &x, sizeof bits);
    memcpy(&smallest, &smallest_m, sizeof bits);
    const LC_BITS exponent = (bits - smallest) >> LC_MANTISSA_BITS;
    bits -= exponent << LC_MANTISSA_BITS;
    memcpy(&m, &bits, sizeof bits);
    const LC_REAL n = (LC_REAL)exponent;
    const LC_REAL rest = LC_FMA(n, LC_LN2_LOW, LC_NAME(reduced_log1p)(m - 1));
    return x >= 1 && x <= LC_LARGEST ? LC_FMA(n, LC_LN2_HIGH, rest) : x;
}

/* tanh |x| = y = -t / (t + 2), t = e^(-2|x|) - 1; found as -(h + h y), h = t / 2, which takes in
   only y / (1 + y) <= 1/2 of the rounding errors of y.  Then the sign of x. */
static LC_ALWAYS_INLINE LC_TARGET LC_REAL LC_NAME(tanh)(LC_REAL x) {
    const LC_REAL t = LC_NAME(expm1)(LC_COPYSIGN(2 * x, -1));
    const LC_REAL h = t * (LC_REAL)0.5;
    return LC_COPYSIGN(LC_FMA(h, -t / (t + 2), h), x);
}

/* x sigmoid z = t / (1 + e), e = e^-|z|, t = x (z < 0 ? e : 1); found as t - t y, y = e / (1 + e),
   which takes in only e <= 1 times the rounding errors of y */
static LC_ALWAYS_INLINE LC_TARGET LC_REAL LC_NAME(times_sigmoid)(LC_REAL x, LC_REAL z) {
    LC_REAL s;
    const LC_REAL m = LC_NAME(scaled_exp)(LC_COPYSIGN(z, -1), 0, &s), e = m * s;
    const LC_REAL t = z < 0 ? x * m * s : x;
    return LC_NAME(less)(t, e / (1 + e));
}

/* Phi(-|x|) / s, Phi the normal distribution function, and e^(-x^2/2) = power s: accurate as
   far out as there are numbers.  `high` squares exactly, and x^2 = high^2 + (x - high) (x + high). */
static LC_ALWAYS_INLINE LC_TARGET LC_REAL LC_NAME(normal_tail)(LC_REAL x, LC_REAL *power,
                                                               LC_REAL *s) {
    LC_BITS bits;
    LC_REAL high;
    x = LC_NAME(clamp)(x, -40, 40); /* e^(-40^2/2) is 0 in any type */
    memcpy(&bits, &x, sizeof bits);
    bits &= ~(LC_BITS)LC_LOW_HALF;
    memcpy(&high, &bits, sizeof bits);
    const LC_REAL half = (LC_REAL)0.5;
    *power = LC_NAME(scaled_exp)(high * high * -half, (x - high) * (x + high) * half, s);
    const LC_REAL distance = LC_COPYSIGN(x, 1), w = 1 / (distance + 4);
    return *power * (w * LC_POLYNOMIAL(tail_p, LC_FMA(2, distance * w, -1)));
}
