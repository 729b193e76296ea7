/* The checks of position groups; included after checks.template.c, in the same way. */

/* Contiguous numbers are unzipped into rows of positions, and zipped back. */
static void NAME(check_unzip)(const NAME(table) *table, int64_t positions, int64_t count) {
    const int64_t step = count + (one_in(2) ? 0 : between(1, 9));
    const int64_t width = positions + between(0, 9);
    const int64_t panel_size = (count - 1) * width + positions, y_size = positions * count;
    REAL *x = NAME(numbers)((positions - 1) * step + count);
    REAL *panel = NAME(numbers)(panel_size + 2 * GUARD);
    REAL *expected = NAME(copy)(panel_size + 2 * GUARD, panel);
    table->unzip(positions, width, count, x, step, panel + GUARD);
    for (int64_t j = 0; j < count; j++)
        for (int64_t p = 0; p < positions; p++)
            expected[GUARD + j * width + p] = x[p * step + j];
    NAME(same)("unzip", panel_size + 2 * GUARD, panel, expected);
    NAME(into_digest)(panel_size + 2 * GUARD, panel);

    REAL *full = NAME(numbers)(panel_size), *y = NAME(numbers)(y_size + 2 * GUARD);
    REAL *back = NAME(copy)(y_size + 2 * GUARD, y);
    table->zip(positions, width, count, full, y + GUARD);
    for (int64_t p = 0; p < positions; p++)
        for (int64_t j = 0; j < count; j++)
            back[GUARD + p * count + j] = full[j * width + p];
    NAME(same)("zip", y_size + 2 * GUARD, y, back);
    NAME(into_digest)(y_size + 2 * GUARD, y);
    free(x), free(panel), free(expected), free(full), free(y), free(back);
}

/* Rows of positions, a contiguous part for each tap; random offsets and sizes. */
static lc_positions NAME(drawn_positions)(int64_t positions, int64_t filters, int64_t taps,
                                          int64_t *x_offset, int64_t *w_offset) {
    lc_positions t = {.filters = filters, .positions = positions, .x_offset = x_offset,
                      .w_offset = w_offset};
    t.rows = between(1, 11);
    t.taps = taps;
    t.x_row = positions + between(0, 20);
    t.x_ahead = one_in(2) ? 0 : between(-100000, 100000);
    t.w_filter = positions + MOST_LANES + between(0, 5);
    t.y_filter = positions + between(0, 5);
    t.y_row = filters * t.y_filter + between(0, 5);
    t.bias_filter = positions + between(0, 5);
    t.accumulate = one_in(2);
    for (int64_t k = 0; k < t.taps; k++) {
        x_offset[k] = between(0, t.x_row - positions);
        w_offset[k] = (t.taps - 1 - k) * filters * t.w_filter; /* not in the order of memory */
    }
    return t;
}

static void NAME(check_positions)(const NAME(table) *table, int64_t positions, int64_t filters,
                                  int64_t taps) {
    int64_t *x_offset = allocate((size_t)taps * sizeof *x_offset);
    int64_t *w_offset = allocate((size_t)taps * sizeof *w_offset);
    const lc_positions t = NAME(drawn_positions)(positions, filters, taps, x_offset, w_offset);
    const int64_t w_size = (t.taps * filters - 1) * t.w_filter + positions;
    const int64_t y_size = t.rows * t.y_row + 2 * GUARD;
    REAL *x = NAME(numbers)(t.rows * t.x_row), *w = NAME(numbers)(w_size);
    REAL *bias = one_in(3) ? NULL : NAME(numbers)((filters - 1) * t.bias_filter + positions);
    REAL *y = NAME(numbers)(y_size), *expected = NAME(copy)(y_size, y);
    table->positions(&t, x, w, bias, y + GUARD);
    for (int64_t n = 0; n < t.rows; n++) {
        for (int64_t f = 0; f < filters; f++) {
            for (int64_t p = 0; p < positions; p++) {
                NAME(sum) *terms = NAME(started)(0);
                for (int64_t k = 0; k < t.taps; k++)
                    NAME(add)(terms, x[n * t.x_row + x_offset[k] + p],
                              w[w_offset[k] + f * t.w_filter + p]);
                REAL sum = NAME(value)(terms);
                if (bias)
                    sum += bias[f * t.bias_filter + p];
                expected[GUARD + n * t.y_row + f * t.y_filter + p] = sum;
            }
        }
    }
    NAME(same)("positions", y_size, y, expected);
    NAME(into_digest)(y_size, y);
    free(x), free(w), free(bias), free(y), free(expected), free(x_offset), free(w_offset);
}

/* The last vector of positions has its own vector of dw, so positions may occur twice. */
static void NAME(check_positions_gradient)(const NAME(table) *table, int64_t positions,
                                           int64_t filters) {
    enum { MOST_TAPS = 9 };
    int64_t x_offset[MOST_TAPS], w_offset[MOST_TAPS];
    const lc_positions t =
        NAME(drawn_positions)(positions, filters, between(1, MOST_TAPS), x_offset, w_offset);
    const int64_t size = t.taps * filters * t.w_filter;
    REAL *x = NAME(numbers)(t.rows * t.x_row), *dy = NAME(numbers)(t.rows * t.y_row);
    REAL *before = NAME(numbers)(size), *after = NAME(copy)(size, before);
    REAL *dw = NAME(copy)(size, before);
    for (int64_t k = 0; k < t.taps; k++) {
        for (int64_t f = 0; f < filters; f++) {
            REAL *of_filter = after + w_offset[k] + f * t.w_filter;
            for (int64_t p = 0; p < positions; p++) {
                REAL sum = t.accumulate ? of_filter[p] : 0;
                for (int64_t n = 0; n < t.rows; n++)
                    sum = NAME(step)(x[n * t.x_row + x_offset[k] + p],
                                     dy[n * t.y_row + f * t.y_filter + p], sum);
                of_filter[p] = sum;
            }
        }
    }
    REAL *expected = NAME(copy)(size, before);
    for (int64_t place = 0; place < size; place += t.w_filter) {
        for (int64_t next = 0; next < positions; next += table->lanes) {
            const int64_t p = next < positions - table->lanes ? next : positions - table->lanes;
            const size_t bytes = (size_t)table->lanes * sizeof *dw;
            memcpy(dw + place + next, before + place + p, bytes);
            memcpy(expected + place + next, after + place + p, bytes);
        }
    }
    table->positions_gradient(&t, x, dy, dw);
    NAME(same)("positions_gradient", size, dw, expected);
    NAME(into_digest)(size, after); /* not dw, whose layout depends on the lanes */
    free(x), free(dy), free(before), free(after), free(dw), free(expected);
}

static void NAME(check_all_positions)(const NAME(table) *table) {
    drawn = 2;
    for (int64_t positions = 1; positions <= 70; positions += 1 + positions / 16)
        for (int64_t count = 1; count <= 40; count++)
            NAME(check_unzip)(table, positions, count);
    for (int64_t positions = MOST_LANES; positions <= 150; positions += 1 + positions / 32) {
        for (int64_t filters = 1; filters <= 9; filters++) {
            NAME(check_positions)(table, positions, filters, between(1, 9));
            NAME(check_positions_gradient)(table, positions, filters);
        }
    }
    for (int i = 0; i < LONG_SUMS; i++)
        for (int64_t filters = 1; filters <= (long_sums[i] < 2 * PIECE ? 6 : 2); filters++)
            NAME(check_positions)(table, between(MOST_LANES, 90), filters, long_sums[i]);
    NAME(check_positions)(table, MOST_LANES + 1, 1, BEYOND_GROUPS / 2);
}
