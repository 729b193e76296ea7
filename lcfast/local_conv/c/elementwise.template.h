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

enum { LC_NAME(at_once) = 4 }; /* vectors of one window, or windows, that hide each other's latency */
enum { LC_NAME(sums), LC_NAME(maxima), LC_NAME(products) };

/* y[i] = sum or max of x[i][tap[t]], or sum of x[i][tap[t]] w[i][t], over the taps t, i < at_once,
   for one vector of channels or, if `partial`, for fewer.  If `adjoining`, x[i] and w[i] are vectors
   side by side. */
static LC_ALWAYS_INLINE LC_TARGET void
LC_NAME(window_vectors)(const int kind, const int partial, const int adjoining,
                        const lc_windows *windows, const LC_REAL *const *x,
                        const LC_REAL *const *w, LC_NAME(vector) *y) {
    const int64_t channels = windows->channels;
    const int first = kind == LC_NAME(maxima);
    const LC_REAL *const x_first = x[0], *const w_first = w[0];
    LC_UNROLL for (int i = 0; i < LC_NAME(at_once); i++) {
        const LC_REAL *from = (adjoining ? x_first + i * LC_LANES : x[i]) + windows->tap[0];
        y[i] = (LC_NAME(vector)){0};
        if (first && partial)
            y[i] = LC_NAME(load_first)(channels, from);
        else if (first)
            y[i] = LC_LOAD(from);
    }
    for (int64_t t = first; t < windows->taps; t++) {
        const int64_t tap = windows->tap[t];
        LC_UNROLL for (int i = 0; i < LC_NAME(at_once); i++) {
            const LC_REAL *from = (adjoining ? x_first + i * LC_LANES : x[i]) + tap;
            LC_NAME(vector) next, weights = {0};
            if (partial)
                next = LC_NAME(load_first)(channels, from);
            else
                next = LC_LOAD(from);
            if (kind == LC_NAME(products) && partial)
                weights = LC_NAME(load_first)(channels, w[i] + t * channels);
            else if (kind == LC_NAME(products))
                weights = LC_LOAD((adjoining ? w_first + i * LC_LANES : w[i]) + t * channels);
            if (kind == LC_NAME(sums))
                y[i] += next;
            else if (kind == LC_NAME(products))
                y[i] = LC_NAME(fused_lanes)(next, weights, y[i]);
            else
                _Pragma("GCC unroll 1") for (int lane = 0; lane < LC_LANES; lane++)
                    y[i][lane] = LC_NAME(larger)(y[i][lane], next[lane]);
        }
    }
}

/* What follows the taps: -0 of a maximum becomes 0, a sum is divided, a bias is added. */
static LC_ALWAYS_INLINE LC_TARGET LC_NAME(vector)
LC_NAME(window_end)(const int kind, const int partial, const lc_windows *windows,
                    const LC_REAL *numbers, LC_NAME(vector) y) {
    if (kind == LC_NAME(maxima))
        return y + 0;
    if (kind == LC_NAME(sums) && windows->reciprocals)
        return y * *numbers;
    if (kind == LC_NAME(sums))
        return y / *numbers;
    if (numbers && partial)
        return y + LC_NAME(load_first)(windows->channels, numbers);
    if (numbers)
        return y + LC_LOAD(numbers);
    return y;
}

/* The windows first <= p < last, a few vectors of channels at a time; the last vector of a window
   overlaps the one before it.  `numbers`: divisors or factors[p] of sums, or a bias[c] or NULL. */
static LC_ALWAYS_INLINE LC_TARGET void
LC_NAME(all_windows)(const int kind, const int partial, const lc_windows *windows, int64_t first,
                     int64_t last, const LC_REAL *x, const LC_REAL *w, const LC_REAL *numbers,
                     LC_REAL *y) {
    const int64_t channels = windows->channels;
    const int64_t vectors = (channels + LC_LANES - 1) / LC_LANES;
    const int64_t side_by_side = channels / (LC_NAME(at_once) * LC_LANES) * LC_NAME(at_once);
    const int64_t beyond = partial ? 0 : channels - LC_LANES;
    const LC_REAL *from[LC_NAME(at_once)], *weights[LC_NAME(at_once)], *with[LC_NAME(at_once)];
    LC_REAL *to[LC_NAME(at_once)];
    LC_NAME(vector) results[LC_NAME(at_once)];
    int held = 0;
    for (int64_t p = first; p < last; p++) {
        for (int64_t v = 0; v < side_by_side; v += LC_NAME(at_once)) {
            const LC_REAL *here = x + windows->start[p] + v * LC_LANES;
            const LC_REAL *w_here = kind == LC_NAME(products) ? w + v * LC_LANES : NULL;
            LC_REAL *y_here = y + p * channels + v * LC_LANES;
            LC_NAME(window_vectors)(kind, 0, 1, windows, &here, &w_here, results);
            LC_UNROLL for (int i = 0; i < LC_NAME(at_once); i++) {
                const LC_REAL *end = kind == LC_NAME(sums) ? numbers + p
                                     : numbers             ? numbers + (v + i) * LC_LANES
                                                           : NULL;
                LC_STORE(y_here + i * LC_LANES,
                         LC_NAME(window_end)(kind, 0, windows, end, results[i]));
            }
        }
        for (int64_t v = side_by_side; v < vectors; v++) {
            const int64_t c = v * LC_LANES < beyond ? v * LC_LANES : beyond;
            /* The last vectors are computed more than once. */
            int times = p + 1 == last && v + 1 == vectors ? LC_NAME(at_once) - held : 1;
            for (; times > 0; times--, held++) {
                from[held] = x + windows->start[p] + c;
                weights[held] = kind == LC_NAME(products) ? w + c : NULL;
                with[held] = kind == LC_NAME(sums) ? numbers + p : numbers ? numbers + c : NULL;
                to[held] = y + p * channels + c;
            }
            if (held < LC_NAME(at_once))
                continue;
            held = 0;
            LC_NAME(window_vectors)(kind, partial, 0, windows, from, weights, results);
            LC_UNROLL for (int i = 0; i < LC_NAME(at_once); i++) {
                results[i] = LC_NAME(window_end)(kind, partial, windows, with[i], results[i]);
                if (partial)
                    LC_NAME(store_first)(channels, results[i], to[i]);
                else
                    LC_STORE(to[i], results[i]);
            }
        }
    }
}

/* y[p,c] = max, or sum / divisor[p], over the taps t of x[start[p] + tap[t] + c], first <= p < last */
static LC_TARGET void LC_NAME(pool)(const lc_windows *windows, int64_t first, int64_t last,
                                    const LC_REAL *x, const LC_REAL *divisor, LC_REAL *y) {
    const int partial = windows->channels < LC_LANES;
    if (divisor && partial)
        LC_NAME(all_windows)(LC_NAME(sums), 1, windows, first, last, x, NULL, divisor, y);
    else if (divisor)
        LC_NAME(all_windows)(LC_NAME(sums), 0, windows, first, last, x, NULL, divisor, y);
    else if (partial)
        LC_NAME(all_windows)(LC_NAME(maxima), 1, windows, first, last, x, NULL, NULL, y);
    else
        LC_NAME(all_windows)(LC_NAME(maxima), 0, windows, first, last, x, NULL, NULL, y);
}

/* y[p,c] = sum over the taps t of x[start[p] + tap[t] + c] w[t,c] (+ bias[c]), first <= p < last */
static LC_TARGET void LC_NAME(depthwise)(const lc_windows *windows, int64_t first, int64_t last,
                                         const LC_REAL *x, const LC_REAL *w, const LC_REAL *bias,
                                         LC_REAL *y) {
    if (windows->channels < LC_LANES)
        LC_NAME(all_windows)(LC_NAME(products), 1, windows, first, last, x, w, bias, y);
    else
        LC_NAME(all_windows)(LC_NAME(products), 0, windows, first, last, x, w, bias, y);
}
