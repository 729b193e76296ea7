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

enum { LC_NAME(pooled_at_once) = 4 }; /* chains of maxima or sums, which hide each other's latency */

/* y[i] = max, or sum / divisor[i], over the taps t of x[i][tap[t]], i < pooled_at_once, for one
   vector of channels or, if `channels` are fewer than a vector, for them. */
static LC_ALWAYS_INLINE LC_TARGET void
LC_NAME(pool_vectors)(const int largest, const int partial, const int64_t channels,
                      const lc_windows *windows, const LC_REAL *const *x, const LC_REAL *divisor,
                      LC_REAL *const *y) {
    LC_NAME(vector) pooled[LC_NAME(pooled_at_once)];
    LC_UNROLL for (int i = 0; i < LC_NAME(pooled_at_once); i++) {
        pooled[i] = (LC_NAME(vector)){0};
        if (largest && partial)
            pooled[i] = LC_NAME(load_first)(channels, x[i] + windows->tap[0]);
        else if (largest)
            pooled[i] = LC_LOAD(x[i] + windows->tap[0]);
    }
    for (int64_t t = largest; t < windows->taps; t++) {
        const int64_t tap = windows->tap[t];
        LC_UNROLL for (int i = 0; i < LC_NAME(pooled_at_once); i++) {
            LC_NAME(vector) next;
            if (partial)
                next = LC_NAME(load_first)(channels, x[i] + tap);
            else
                next = LC_LOAD(x[i] + tap);
            if (!largest)
                pooled[i] += next;
            else
                _Pragma("GCC unroll 1") for (int lane = 0; lane < LC_LANES; lane++)
                    pooled[i][lane] = LC_NAME(larger)(pooled[i][lane], next[lane]);
        }
    }
    LC_UNROLL for (int i = 0; i < LC_NAME(pooled_at_once); i++) {
        if (largest)
            pooled[i] += 0;
        else if (windows->reciprocals)
            pooled[i] *= divisor[i];
        else
            pooled[i] /= divisor[i];
        if (partial)
            LC_NAME(store_first)(channels, pooled[i], y[i]);
        else
            LC_STORE(y[i], pooled[i]);
    }
}

/* y[p,c] = max, or sum / divisor[p], over the taps t of x[start[p] + tap[t] + c], first <= p < last.
   The last vector of channels overlaps the one before it. */
static LC_TARGET void LC_NAME(pool)(const lc_windows *windows, int64_t first, int64_t last,
                                    const LC_REAL *x, const LC_REAL *divisor, LC_REAL *y) {
    const int64_t channels = windows->channels;
    const int64_t vectors = (channels + LC_LANES - 1) / LC_LANES;
    const int64_t beyond = channels > LC_LANES ? channels - LC_LANES : 0;
    const int partial = channels < LC_LANES;
    const LC_REAL *from[LC_NAME(pooled_at_once)];
    LC_REAL *to[LC_NAME(pooled_at_once)], by[LC_NAME(pooled_at_once)];
    int held = 0;
    for (int64_t p = first; p < last; p++) {
        for (int64_t v = 0; v < vectors; v++) {
            const int64_t c = v * LC_LANES < beyond ? v * LC_LANES : beyond;
            from[held] = x + windows->start[p] + c;
            to[held] = y + p * channels + c;
            by[held] = divisor ? divisor[p] : 1;
            held++;
            if (p + 1 == last && v + 1 == vectors) /* computes the last one more than once */
                for (; held < LC_NAME(pooled_at_once); held++) {
                    from[held] = from[held - 1];
                    to[held] = to[held - 1];
                    by[held] = by[held - 1];
                }
            if (held < LC_NAME(pooled_at_once))
                continue;
            held = 0;
            if (divisor && partial)
                LC_NAME(pool_vectors)(0, 1, channels, windows, from, by, to);
            else if (divisor)
                LC_NAME(pool_vectors)(0, 0, channels, windows, from, by, to);
            else if (partial)
                LC_NAME(pool_vectors)(1, 1, channels, windows, from, by, to);
            else
                LC_NAME(pool_vectors)(1, 0, channels, windows, from, by, to);
        }
    }
}
