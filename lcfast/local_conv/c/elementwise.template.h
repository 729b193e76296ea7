/* Steps between the products of a model: arithmetic that IEEE 754 defines exactly, so it is the same
   on every path.  Nothing is fused here. */

/* y[i] = (x[i] - mean[i]) * factor[i] (+ beta[i]), i < count */
static LC_TARGET void LC_NAME(affine)(int64_t count, const LC_REAL *x, const LC_REAL *mean,
                                      const LC_REAL *factor, const LC_REAL *beta, LC_REAL *y) {
    if (beta)
        for (int64_t i = 0; i < count; i++)
            y[i] = (x[i] - mean[i]) * factor[i] + beta[i];
    else
        for (int64_t i = 0; i < count; i++)
            y[i] = (x[i] - mean[i]) * factor[i];
}

/* The larger number, or the NaN.  Adding 0 makes -0 into 0, so that the order of equal numbers does
   not matter. */
static LC_ALWAYS_INLINE LC_TARGET LC_REAL LC_NAME(larger)(LC_REAL a, LC_REAL b) {
    const LC_REAL larger = b > a ? b : a;
    return b == b ? larger : b;
}

static LC_ALWAYS_INLINE LC_TARGET LC_REAL LC_NAME(smaller)(LC_REAL a, LC_REAL b) {
    const LC_REAL smaller = b < a ? b : a;
    return b == b ? smaller : b;
}

/* y[i] = a[i] (operation) b[i], i < count; y may be a or b */
static LC_TARGET void LC_NAME(combine)(int operation, int64_t count, const LC_REAL *a,
                                       const LC_REAL *b, LC_REAL *y) {
    switch (operation) {
    case LC_ADD:
        for (int64_t i = 0; i < count; i++)
            y[i] = a[i] + b[i];
        break;
    case LC_SUBTRACT:
        for (int64_t i = 0; i < count; i++)
            y[i] = a[i] - b[i];
        break;
    case LC_MULTIPLY:
        for (int64_t i = 0; i < count; i++)
            y[i] = a[i] * b[i];
        break;
    case LC_MAXIMUM:
        for (int64_t i = 0; i < count; i++)
            y[i] = LC_NAME(larger)(a[i], b[i]) + 0;
        break;
    case LC_MINIMUM:
        for (int64_t i = 0; i < count; i++)
            y[i] = LC_NAME(smaller)(a[i], b[i]) + 0;
        break;
    }
}

/* y[i] = x[i] / divisor, i < count */
static LC_TARGET void LC_NAME(divide)(int64_t count, const LC_REAL *x, LC_REAL divisor,
                                      LC_REAL *y) {
    for (int64_t i = 0; i < count; i++)
        y[i] = x[i] / divisor;
}

/* `channels` numbers of x, or a whole vector */
static LC_ALWAYS_INLINE LC_TARGET LC_NAME(vector)
LC_NAME(channels_of)(const int64_t channels, const LC_REAL *x) {
    if (channels < LC_LANES)
        return LC_NAME(load_first)(channels, x);
    return LC_LOAD(x);
}

/* One window: the maximum, or the sum in the order of the taps, for one vector of channels. */
static LC_ALWAYS_INLINE LC_TARGET LC_NAME(vector)
LC_NAME(window)(const int largest, const int64_t channels, const lc_windows *windows,
                const LC_REAL *x) {
    LC_NAME(vector) y = {0};
    if (largest)
        y = LC_NAME(channels_of)(channels, x + windows->tap[0]);
    for (int64_t t = largest; t < windows->taps; t++) {
        const LC_NAME(vector) next = LC_NAME(channels_of)(channels, x + windows->tap[t]);
        if (!largest)
            y += next;
        else
            _Pragma("GCC unroll 1") for (int lane = 0; lane < LC_LANES; lane++)
                y[lane] = LC_NAME(larger)(y[lane], next[lane]);
    }
    return y + 0;
}

/* y[p,c] = max, or sum / divisor[p], over the taps t of x[start[p] + tap[t] + c] */
static LC_TARGET void LC_NAME(pool)(const lc_windows *windows, int64_t first, int64_t last,
                                    const LC_REAL *x, const LC_REAL *divisor, LC_REAL *y) {
    const int64_t channels = windows->channels;
    for (int64_t p = first; p < last; p++) {
        const LC_REAL *from = x + windows->start[p];
        LC_REAL *to = y + p * channels;
        for (int64_t c = 0; c < channels; c += LC_LANES) {
            const int64_t left = channels - c;
            LC_NAME(vector) pooled;
            if (divisor && left < LC_LANES)
                pooled = LC_NAME(window)(0, left, windows, from + c);
            else if (divisor)
                pooled = LC_NAME(window)(0, LC_LANES, windows, from + c);
            else if (left < LC_LANES)
                pooled = LC_NAME(window)(1, left, windows, from + c);
            else
                pooled = LC_NAME(window)(1, LC_LANES, windows, from + c);
            if (divisor)
                pooled /= divisor[p];
            if (left < LC_LANES)
                LC_NAME(store_first)(left, pooled, to + c);
            else
                LC_STORE(to + c, pooled);
        }
    }
}
