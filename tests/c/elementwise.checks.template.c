/* The checks of what lies between products, once for each real type; see checks.template.c. */

static REAL NAME(larger)(REAL a, REAL b) {
    return isnan(a) || isnan(b) ? (REAL)NAN : a > b ? a : b;
}

static REAL NAME(smaller)(REAL a, REAL b) {
    return isnan(a) || isnan(b) ? (REAL)NAN : a < b ? a : b;
}

/* Numbers, a few of them zeros of either sign, infinite or no numbers. */
static REAL *NAME(special_numbers)(int64_t count) {
    static const REAL special[] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN};
    REAL *array = NAME(numbers)(count);
    for (int64_t i = 0; i < count; i++)
        if (one_in(8))
            array[i] = special[between(0, 4)];
    return array;
}

static void NAME(check_elementwise)(const NAME(table) *table, int64_t count) {
    REAL *a = NAME(special_numbers)(count), *b = NAME(special_numbers)(count);
    REAL *factor = NAME(numbers)(count), *beta = NAME(numbers)(count);
    REAL *got = NAME(numbers)(count), *expected = NAME(numbers)(count);
    for (int with_beta = 0; with_beta < 2; with_beta++) {
        table->affine(count, a, b, factor, with_beta ? beta : NULL, got);
        for (int64_t i = 0; i < count; i++) {
            expected[i] = (a[i] - b[i]) * factor[i];
            if (with_beta)
                expected[i] += beta[i];
        }
        NAME(same)("affine", count, got, expected);
        NAME(into_digest)(count, got);
    }
    for (int operation = LC_ADD; operation <= LC_MINIMUM; operation++) {
        for (int64_t i = 0; i < count; i++)
            expected[i] = operation == LC_ADD        ? a[i] + b[i]
                          : operation == LC_SUBTRACT ? a[i] - b[i]
                          : operation == LC_MULTIPLY ? a[i] * b[i]
                          : operation == LC_MAXIMUM  ? NAME(larger)(a[i], b[i]) + 0
                                                     : NAME(smaller)(a[i], b[i]) + 0;
        table->combine(operation, count, a, b, got);
        NAME(same)("combine", count, got, expected);
        memcpy(got, a, (size_t)count * sizeof *got);
        table->combine(operation, count, got, b, got); /* in place */
        NAME(same)("combine, in place", count, got, expected);
        NAME(into_digest)(count, got);
    }
    table->divide(count, a, 3, got);
    for (int64_t i = 0; i < count; i++)
        expected[i] = a[i] / 3;
    NAME(same)("divide", count, got, expected);
    free(a), free(b), free(factor), free(beta), free(got), free(expected);
}

/* Windows of `taps` numbers of `channels` channels, at random places of a row. */
static void NAME(check_windows)(const NAME(table) *table, int64_t positions, int64_t taps,
                                int64_t channels) {
    const int64_t row = between(taps, taps + 20), first = between(0, positions / 2);
    const int64_t last = between(first, positions);
    int64_t *start = allocate((size_t)positions * sizeof *start);
    int64_t *tap = allocate((size_t)taps * sizeof *tap);
    for (int64_t p = 0; p < positions; p++)
        start[p] = between(0, row - taps) * channels;
    for (int64_t t = 0; t < taps; t++)
        tap[t] = t * channels;
    lc_windows windows = {.taps = taps, .channels = channels, .start = start, .tap = tap};
    REAL *x = NAME(special_numbers)(row * channels), *w = NAME(numbers)(taps * channels);
    REAL *bias = NAME(numbers)(channels), *divisor = NAME(numbers)(positions);
    REAL *got = NAME(numbers)(positions * channels), *expected = NAME(copy)(positions * channels, got);
    for (int kind = 0; kind < 5; kind++) {
        windows.reciprocals = kind == 2;
        if (kind < 3)
            table->pool(&windows, first, last, x, kind ? divisor : NULL, got);
        else
            table->depthwise(&windows, first, last, x, w, kind == 3 ? bias : NULL, got);
        for (int64_t p = first; p < last; p++) {
            for (int64_t c = 0; c < channels; c++) {
                const REAL *from = x + start[p] + c;
                REAL y = kind ? 0 : from[0];
                for (int64_t t = 0; t < taps; t++)
                    y = kind == 0  ? NAME(larger)(y, from[tap[t]])
                        : kind < 3 ? y + from[tap[t]]
                                   : NAME(step)(from[tap[t]], w[t * channels + c], y);
                expected[p * channels + c] = kind == 0   ? y + 0
                                             : kind == 1 ? y / divisor[p]
                                             : kind == 2 ? y * divisor[p]
                                             : kind == 3 ? y + bias[c]
                                                         : y;
            }
        }
        NAME(same)("windows", positions * channels, got, expected);
        NAME(into_digest)(positions * channels, got);
    }
    free(start), free(tap), free(x), free(w), free(bias), free(divisor), free(got), free(expected);
}

static void NAME(check_all_elementwise)(const NAME(table) *table) {
    for (int64_t count = 0; count < 3 * MOST_LANES; count++)
        NAME(check_elementwise)(table, count);
    for (int64_t channels = 1; channels <= 5 * MOST_LANES; channels++)
        NAME(check_windows)(table, between(1, 9), between(1, 7), channels);
}
