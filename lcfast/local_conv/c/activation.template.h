/* Activations y[i] = activation(y[i]) and their gradients, from functions.template.h. */

#define LC_SELU_SCALE ((LC_REAL)1.05070098735548049342)
#define LC_SELU_SCALE_ALPHA ((LC_REAL)1.75809934084737685994)
#define LC_HALF ((LC_REAL)0.5)
#define LC_ONE_BY_ROOT_TAU ((LC_REAL)0.39894228040143267794) /* 1 / sqrt(2 pi) */
#define LC_GELU_LINEAR ((LC_REAL)1.59576912160573071176)     /* 2 sqrt(2 / pi), */
#define LC_GELU_CUBIC ((LC_REAL)0.07135481627260024878)      /* and 0.044715 of it */
/* 0 times infinity would be NaN where a function has a limit */
#define LC_FINITE(x) LC_NAME(clamp)(x, -LC_LARGEST, LC_LARGEST)
#define LC_ABS(x) LC_COPYSIGN(x, 1)

/* log(1 + e^x) = log(1 + e^-|x|) + max(x, 0) */
static LC_ALWAYS_INLINE LC_TARGET LC_REAL LC_NAME(softplus)(LC_REAL x) {
    return LC_NAME(log1p)(LC_NAME(exp)(-LC_ABS(x))) + (x > 0 ? x : 0);
}

/* x / (1 + |x|) */
static LC_ALWAYS_INLINE LC_TARGET LC_REAL LC_NAME(softsign)(LC_REAL x) {
    const LC_REAL finite = LC_FINITE(x);
    return finite / (1 + LC_ABS(finite));
}

static LC_ALWAYS_INLINE LC_TARGET LC_REAL LC_NAME(softsign_slope)(LC_REAL x) {
    const LC_REAL share = 1 / (1 + LC_ABS(x));
    return share * share;
}

/* 0.2 x + 0.5, rounded twice as in Keras, whose ends lie at +-2.5 for that reason */
static LC_ALWAYS_INLINE LC_TARGET LC_REAL LC_NAME(hard_sigmoid_line)(LC_REAL x) {
    return x * (LC_REAL)0.2 + LC_HALF;
}

/* x sigmoid x */
static LC_ALWAYS_INLINE LC_TARGET LC_REAL LC_NAME(swish)(LC_REAL x) {
    return LC_NAME(times_sigmoid)(x < LC_EXP_IS_0 ? LC_EXP_IS_0 : x, x);
}

/* sigmoid z (1 + x (1 - sigmoid z) dz/dx), the slope of x sigmoid z */
static LC_ALWAYS_INLINE LC_TARGET LC_REAL LC_NAME(times_sigmoid_slope)(LC_REAL z, LC_REAL x_dz) {
    const LC_REAL e = LC_NAME(exp)(-LC_ABS(z)), larger = 1 / (1 + e), smaller = e * larger;
    return (z < 0 ? smaller : larger) * LC_FMA(x_dz, z < 0 ? larger : smaller, 1);
}

/* x tanh(log(1 + e^x)) = x n / d, from e = e^-|x| = m s, n and d divided by e^2x where x >= 0; found
   as t - t y but between -1 and 0: where x < 0, t = x n / 2 and y = n / d, else t = x and
   y = 1 - n / d */
static LC_ALWAYS_INLINE LC_TARGET LC_REAL LC_NAME(mish)(LC_REAL x) {
    LC_REAL s;
    const LC_REAL m = LC_NAME(scaled_exp)(-LC_ABS(x), 0, &s), e = m * s;
    const LC_REAL half = LC_FMA(m * LC_HALF, e, m); /* n / (2 s), x < 0 */
    const LC_REAL n = x < 0 ? 2 * half * s : 2 * e * e;
    const LC_REAL t = x < 0 ? (x < LC_EXP_IS_0 ? LC_EXP_IS_0 : x) * half * s : x;
    const LC_REAL y = n / (n + (x < 0 ? 2 : LC_FMA(2, e, 1)));
    return x < 0 && x > -1 ? x * y : LC_NAME(less)(t, y);
}

/* n / d + x (n / d)', with (n / d)' = 4 (1 + e) t / d^2, t = x < 0 ? e : e^2 */
static LC_ALWAYS_INLINE LC_TARGET LC_REAL LC_NAME(mish_slope)(LC_REAL x) {
    const LC_REAL e = LC_NAME(exp)(-LC_ABS(x));
    const LC_REAL n = x < 0 ? LC_FMA(e, e, 2 * e) : LC_FMA(2, e, 1);
    const LC_REAL d = x < 0 ? n + 2 : LC_FMA(2 * e, e, n);
    const LC_REAL t = (x < 0 ? e : e * e) * (4 * (1 + e));
    return LC_FMA(LC_FINITE(x), t / d, n) / d;
}

/* x Phi(x), Phi the normal distribution function */
static LC_ALWAYS_INLINE LC_TARGET LC_REAL LC_NAME(gelu)(LC_REAL x) {
    LC_REAL power, s;
    const LC_REAL tail = LC_NAME(normal_tail)(x, &power, &s);
    const LC_REAL middle = LC_FMA(x, LC_POLYNOMIAL(middle_p, x * x), LC_HALF);
    const LC_REAL above = x * (LC_ABS(x) < 1 ? middle : 1 - tail * s);
    return x <= -1 ? (x < -40 ? -40 : x) * tail * s : above;
}

/* Phi(x) + x Phi'(x) */
static LC_ALWAYS_INLINE LC_TARGET LC_REAL LC_NAME(gelu_slope)(LC_REAL x) {
    LC_REAL power, s;
    const LC_REAL tail = LC_NAME(normal_tail)(x, &power, &s) * s;
    const LC_REAL density = LC_NAME(clamp)(x, -40, 40) * power * s;
    return LC_FMA(density, LC_ONE_BY_ROOT_TAU, x < 0 ? tail : 1 - tail);
}

/* x (1 + tanh(z/2)) / 2 = x sigmoid z, z = 2 sqrt(2 / pi) (x + 0.044715 x^3); beyond +-40 the
   sigmoid is 0 or 1 in any type */
static LC_ALWAYS_INLINE LC_TARGET LC_REAL LC_NAME(gelu_approximate)(LC_REAL x) {
    const LC_REAL near = LC_NAME(clamp)(x, -40, 40);
    return LC_NAME(times_sigmoid)(
        x < -40 ? -40 : x, near * LC_FMA(near * near, LC_GELU_CUBIC, LC_GELU_LINEAR));
}

static LC_ALWAYS_INLINE LC_TARGET LC_REAL LC_NAME(gelu_approximate_slope)(LC_REAL x) {
    const LC_REAL near = LC_NAME(clamp)(x, -40, 40);
    const LC_REAL z = near * LC_FMA(near * near, LC_GELU_CUBIC, LC_GELU_LINEAR);
    return LC_NAME(times_sigmoid_slope)(
        z, near * LC_FMA(near * near, 3 * LC_GELU_CUBIC, LC_GELU_LINEAR));
}

#define LC_EACH(result, value)                                                                     \
    for (int64_t i = 0; i < count; i++)                                                            \
        (result)[i] = (value);                                                                     \
    break

/* y[i] = activation(y[i]), i < count; NaN stays NaN, for no comparison with it is true.
   selu is elu with its own alpha, times a scale. */
static LC_TARGET void LC_NAME(activate)(int activation, LC_REAL alpha, int64_t count, LC_REAL *y) {
    const LC_REAL above = activation == LC_SELU ? LC_SELU_SCALE : 1;
    const LC_REAL below = activation == LC_SELU ? LC_SELU_SCALE_ALPHA : alpha;
    switch (activation) {
    case LC_RELU: /* y < 0, written so that clang for aarch64 keeps -0 (LLVM issue 93414) */
        LC_EACH(y, y[i] <= -LC_SMALLEST ? 0 : y[i]);
    case LC_TANH:
        LC_EACH(y, LC_NAME(tanh)(y[i]));
    case LC_SIGMOID:
        LC_EACH(y, LC_NAME(times_sigmoid)(1, y[i]));
    case LC_ELU:
    case LC_SELU:
        LC_EACH(y, y[i] < 0 ? below * LC_NAME(expm1)(y[i]) : above * y[i]);
    case LC_EXPONENTIAL:
        LC_EACH(y, LC_NAME(exp)(y[i]));
    case LC_SOFTPLUS:
        LC_EACH(y, LC_NAME(softplus)(y[i]));
    case LC_SOFTSIGN:
        LC_EACH(y, LC_NAME(softsign)(y[i]));
    case LC_HARD_SIGMOID:
        LC_EACH(y, LC_NAME(clamp)(LC_NAME(hard_sigmoid_line)(y[i]), 0, 1));
    case LC_RELU6:
        LC_EACH(y, LC_NAME(clamp)(y[i], 0, 6));
    case LC_LEAKY_RELU:
        LC_EACH(y, y[i] < 0 ? alpha * y[i] : y[i]);
    case LC_SWISH:
        LC_EACH(y, LC_NAME(swish)(y[i]));
    case LC_MISH:
        LC_EACH(y, LC_NAME(mish)(y[i]));
    case LC_GELU:
        LC_EACH(y, LC_NAME(gelu)(y[i]));
    case LC_GELU_APPROXIMATE:
        LC_EACH(y, LC_NAME(gelu_approximate)(y[i]));
    }
}

/* dz[i] = dy[i] activation'(z[i]), i < count; dz may be dy.  The first ones take y = activation(z)
   as `v`, the last ones z itself (activation.py says which).  The sign of y must tell that of z:
   elu's alpha is not negative. */
static LC_TARGET void LC_NAME(activation_gradient)(int activation, LC_REAL alpha, int64_t count,
                                                   const LC_REAL *v, const LC_REAL *dy,
                                                   LC_REAL *dz) {
    switch (activation) {
    case LC_LINEAR:
        LC_EACH(dz, dy[i]);
    case LC_RELU:
        LC_EACH(dz, v[i] > 0 ? dy[i] : 0);
    case LC_TANH:
        LC_EACH(dz, dy[i] * LC_FMA(-v[i], v[i], 1));
    case LC_SIGMOID:
        LC_EACH(dz, dy[i] * (v[i] * (1 - v[i])));
    case LC_ELU: /* at 0 Keras takes the slope from below, */
        LC_EACH(dz, dy[i] * (v[i] > 0 ? 1 : v[i] + alpha));
    case LC_SELU: /* and here that from above */
        LC_EACH(dz, dy[i] * (v[i] >= 0 ? LC_SELU_SCALE : v[i] + LC_SELU_SCALE_ALPHA));
    case LC_EXPONENTIAL:
        LC_EACH(dz, dy[i] * v[i]);
    case LC_SOFTPLUS:
        LC_EACH(dz, dy[i] * -LC_NAME(expm1)(-v[i]));
    case LC_RELU6:
        LC_EACH(dz, v[i] > 0 && v[i] < 6 ? dy[i] : 0);
    case LC_LEAKY_RELU: /* from z or, unless alpha is negative, from y */
        LC_EACH(dz, v[i] > 0 ? dy[i] : alpha * dy[i]);
    case LC_HARD_SIGMOID: /* at both ends Keras takes the slope from within */
        LC_EACH(dz, LC_NAME(hard_sigmoid_line)(v[i]) >= 0 && LC_NAME(hard_sigmoid_line)(v[i]) <= 1
                        ? dy[i] * (LC_REAL)0.2
                        : 0);
    case LC_SOFTSIGN:
        LC_EACH(dz, dy[i] * LC_NAME(softsign_slope)(v[i]));
    case LC_SWISH:
        LC_EACH(dz, dy[i] * LC_NAME(times_sigmoid_slope)(v[i], LC_FINITE(v[i])));
    case LC_MISH:
        LC_EACH(dz, dy[i] * LC_NAME(mish_slope)(v[i]));
    case LC_GELU:
        LC_EACH(dz, dy[i] * LC_NAME(gelu_slope)(v[i]));
    case LC_GELU_APPROXIMATE:
        LC_EACH(dz, dy[i] * LC_NAME(gelu_approximate_slope)(v[i]));
    }
}

/* Sums along a row, the same on every SIMD path: from 64 columns on, 16 sums of every 16th column,
   which are more accurate than one chain, and faster. */
#define LC_SUMS 16
#define LC_MANY_COLUMNS 64

static LC_ALWAYS_INLINE LC_TARGET LC_REAL LC_NAME(folded)(LC_REAL *sums) {
    for (int half = LC_SUMS / 2; half; half /= 2)
        for (int i = 0; i < half; i++)
            sums[i] += sums[i + half];
    return sums[0];
}

/* sum_c v[c] */
static LC_ALWAYS_INLINE LC_TARGET LC_REAL LC_NAME(row_sum)(int64_t columns, const LC_REAL *v) {
    const int64_t whole = columns < LC_MANY_COLUMNS ? 0 : columns / LC_SUMS * LC_SUMS;
    LC_REAL rest = 0;
    for (int64_t c = whole; c < columns; c++)
        rest += v[c];
    if (!whole)
        return rest;
    LC_REAL sums[LC_SUMS] = {0};
    for (int64_t c = 0; c < whole; c += LC_SUMS)
        for (int64_t i = 0; i < LC_SUMS; i++)
            sums[i] += v[c + i];
    return LC_NAME(folded)(sums) + rest;
}

/* sum_c v[c] w[c] */
static LC_ALWAYS_INLINE LC_TARGET LC_REAL LC_NAME(row_product)(int64_t columns, const LC_REAL *v,
                                                               const LC_REAL *w) {
    const int64_t whole = columns < LC_MANY_COLUMNS ? 0 : columns / LC_SUMS * LC_SUMS;
    LC_REAL rest = 0;
    for (int64_t c = whole; c < columns; c++)
        rest = LC_FMA(v[c], w[c], rest);
    if (!whole)
        return rest;
    LC_REAL sums[LC_SUMS] = {0};
    for (int64_t c = 0; c < whole; c += LC_SUMS)
        for (int64_t i = 0; i < LC_SUMS; i++)
            sums[i] = LC_FMA(v[c + i], w[c + i], sums[i]);
    return LC_NAME(folded)(sums) + rest;
}

/* softmax: y[r,c] = e[r,c] / sum_c e[r,c], e[r,c] = e^(x[r,c] - max_c x[r,c]); log_softmax: its
   logarithm, x[r,c] - max_c x[r,c] - log sum_c e[r,c].  y may be x.  NaN or +infinity in a row
   makes it NaN, as does nothing but -infinity. */
static LC_TARGET void LC_NAME(activate_rows)(int activation, int64_t rows, int64_t columns,
                                             const LC_REAL *x, LC_REAL *y) {
    enum { BLOCK = LC_MANY_COLUMNS };
    for (int64_t row = 0; row < rows * columns; row += columns) {
        LC_REAL top = -(LC_REAL)__builtin_inf();
        for (int64_t i = row; i < row + columns; i++)
            top = x[i] > top ? x[i] : top;
        for (int64_t i = row; i < row + columns; i++)
            y[i] = x[i] - top;
    }
    if (activation == LC_SOFTMAX)
        for (int64_t i = 0; i < rows * columns; i++) /* all rows: short ones fill no vector */
            y[i] = LC_NAME(exp)(y[i]);
    for (int64_t row = 0; row < rows * columns; row += columns) {
        LC_REAL sum = 0;
        if (activation == LC_SOFTMAX) {
            sum = LC_NAME(row_sum)(columns, y + row);
            for (int64_t i = row; i < row + columns; i++)
                y[i] /= sum;
            continue;
        }
        for (int64_t first = 0; first < columns; first += BLOCK) {
            const int64_t size = columns - first < BLOCK ? columns - first : BLOCK;
            LC_REAL powers[BLOCK];
            for (int64_t i = 0; i < size; i++)
                powers[i] = LC_NAME(exp)(y[row + first + i]);
            sum += LC_NAME(row_sum)(size, powers);
        }
        const LC_REAL log_sum = LC_NAME(log)(sum);
        for (int64_t i = row; i < row + columns; i++)
            y[i] -= log_sum;
    }
}

/* softmax: dx[r,c] = (dy[r,c] - sum_c dy[r,c] y[r,c]) y[r,c]; log_softmax:
   dx[r,c] = dy[r,c] - e^y[r,c] sum_c dy[r,c].  dx may be dy. */
static LC_TARGET void LC_NAME(row_gradient)(int activation, int64_t rows, int64_t columns,
                                            const LC_REAL *y, const LC_REAL *dy, LC_REAL *dx) {
    for (int64_t row = 0; row < rows * columns; row += columns) {
        if (activation == LC_SOFTMAX) {
            const LC_REAL sum = LC_NAME(row_product)(columns, dy + row, y + row);
            for (int64_t i = row; i < row + columns; i++)
                dx[i] = (dy[i] - sum) * y[i];
        } else {
            const LC_REAL sum = LC_NAME(row_sum)(columns, dy + row);
            for (int64_t i = row; i < row + columns; i++)
                dx[i] = LC_FMA(-LC_NAME(exp)(y[i]), sum, dy[i]);
        }
    }
}

#undef LC_SUMS
#undef LC_MANY_COLUMNS
#undef LC_SELU_SCALE
#undef LC_SELU_SCALE_ALPHA
#undef LC_HALF
#undef LC_ONE_BY_ROOT_TAU
#undef LC_GELU_LINEAR
#undef LC_GELU_CUBIC
#undef LC_FINITE
#undef LC_ABS
#undef LC_EACH
/* and those of functions.template.h */
#undef LC_POLYNOMIAL
#undef LC_LOG2E
#undef LC_LN2_HIGH
#undef LC_LN2_LOW
#undef LC_ROUND
#undef LC_BITS
#undef LC_MANTISSA_BITS
#undef LC_LOW_HALF
#undef LC_EXP_IS_0
#undef LC_EXP_IS_TINY
#undef LC_EXP_IS_INFINITE
#undef LC_LARGEST
#undef LC_SMALLEST
#undef LC_COPYSIGN
