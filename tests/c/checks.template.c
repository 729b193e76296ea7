/* The checks, once for each real type.  test_kernels.c defines REAL, SUFFIX, BITS, FMA and NAME. */

typedef EXPAND(lc_kernels, SUFFIX) NAME(table);

/* -1 to 1, every bit drawn */
static REAL NAME(number)(void) {
    return (REAL)((double)((int64_t)(draw() >> 11) - (INT64_C(1) << 52)) * 0x1p-52);
}

/* Exactly this much memory, so that a sanitizer reports each read past it. */
static REAL *NAME(numbers)(int64_t count) {
    REAL *array = allocate((size_t)count * sizeof *array);
    for (int64_t i = 0; i < count; i++)
        array[i] = NAME(number)();
    return array;
}

/* A copy. */
static REAL *NAME(copy)(int64_t count, const REAL *array) {
    REAL *other = allocate((size_t)count * sizeof *other);
    memcpy(other, array, (size_t)count * sizeof *other);
    return other;
}

/* The bits of x; the same for every NaN, as processors differ in the sign. */
static BITS NAME(bits)(REAL x) {
    BITS bits = ~(BITS)0;
    if (!isnan(x))
        memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* Exits at the first difference between result and expectation. */
static void NAME(same)(const char *what, int64_t count, const REAL *got, const REAL *expected) {
    for (int64_t i = 0; i < count; i++) {
        if (NAME(bits)(got[i]) != NAME(bits)(expected[i])) {
            printf("%s, %zu bytes: %s: number %lld of %lld is %a instead of %a\n", where,
                   sizeof(REAL), what, (long long)i, (long long)count, (double)got[i],
                   (double)expected[i]);
            exit(1);
        }
    }
}

static void NAME(into_digest)(int64_t count, const REAL *array) {
    for (int64_t i = 0; i < count; i++)
        for (size_t byte = 0; byte < sizeof(BITS); byte++)
            digest = (digest ^ (NAME(bits)(array[i]) >> 8 * byte & 0xff)) * 0x100000001b3u;
}

/* One step of a chain: fused on a fused path; otherwise the product is rounded as well. */
static REAL NAME(step)(REAL a, REAL b, REAL sum) {
    return fused ? FMA(a, b, sum) : a * b + sum;
}

#include "sums.checks.template.c"

/* ---------------------------------------------------------------- one tile */

static void NAME(naive_product)(const lc_tile *t, const REAL *a, const REAL *b, const REAL *bias,
                                REAL *c) {
    for (int64_t i = 0; i < t->rows; i++) {
        for (int64_t j = 0; j < t->columns; j++) {
            REAL *to = c + i * t->c_row_step + j * t->c_column_step;
            NAME(sum) *sum = NAME(started)(t->accumulate ? *to : 0);
            for (int64_t run = 0; run < t->runs; run++)
                for (int64_t r = 0; r < t->run_length; r++)
                    NAME(add)(sum, a[t->a_run_offset[run] + i * t->a_row_step + r * t->a_step],
                              b[t->b_run_offset[run] + r * t->b_row_step + j]);
            *to = NAME(value)(sum);
            if (bias)
                *to += bias[t->bias_row_step ? i * t->bias_row_step : j * t->c_column_step];
        }
    }
}

/* A tile of this size; everything else is random, and the runs too if `runs` is negative. */
static void NAME(check_tile)(const NAME(table) *table, int64_t rows, int64_t columns, int64_t runs,
                             int64_t run_length) {
    lc_tile t = {.rows = rows, .columns = columns, .runs = runs, .run_length = run_length};
    if (runs < 0) {
        t.runs = one_in(40) ? 0 : between(1, 4);
        t.run_length = one_in(40) ? 0 : one_in(25) ? between(120, 300) : between(1, 12);
    }
    int64_t *a_offset = allocate((size_t)t.runs * sizeof *a_offset);
    int64_t *b_offset = allocate((size_t)t.runs * sizeof *b_offset);
    t.a_run_offset = a_offset;
    t.b_run_offset = b_offset;
    t.accumulate = one_in(2) && t.runs * t.run_length <= PIECE;
    t.a_ahead = one_in(2) ? 0 : between(-100000, 100000);
    t.b_overrun = one_in(2);

    /* Rows of a: one number apart, or each contiguous. */
    const int side_by_side = one_in(2);
    t.a_row_step = side_by_side ? 1 : t.run_length + between(0, 5) + 2;
    t.a_step = side_by_side ? rows + between(0, 5) : between(1, 2);
    const int64_t a_span =
        t.run_length ? (rows - 1) * t.a_row_step + (t.run_length - 1) * t.a_step + 1 : 0;
    const int64_t a_run = a_span + between(0, 3);
    t.b_row_step = columns + (one_in(2) ? 0 : between(0, 9));
    for (int64_t run = 0; run < t.runs; run++) { /* not in the order of memory */
        a_offset[run] = (t.runs - 1 - run) * a_run;
        b_offset[run] = (run ^ 1) < t.runs ? (run ^ 1) * t.run_length * t.b_row_step
                                           : run * t.run_length * t.b_row_step;
    }
    const int64_t b_rows = t.runs * t.run_length;
    const int64_t b_size = b_rows ? (b_rows - 1) * t.b_row_step + columns : 0;
    const int64_t beyond = t.b_overrun ? MOST_LANES : 0;
    REAL *a = NAME(numbers)(t.runs ? (t.runs - 1) * a_run + a_span : 0);
    REAL *b = NAME(numbers)(b_size + beyond);
    for (int64_t i = b_size; i < b_size + beyond; i++)
        b[i] = (REAL)NAN; /* may be read, must not be used */

    const int across = one_in(3); /* c transposed, or its columns not contiguous */
    t.c_column_step = !across ? 1 : one_in(2) ? rows + between(0, 4) : between(2, 3);
    t.c_row_step = t.c_column_step >= rows && across ? 1 : columns * t.c_column_step + between(0, 4);
    const int64_t c_size =
        (rows - 1) * t.c_row_step + (columns - 1) * t.c_column_step + 1 + 2 * GUARD;
    REAL *c = NAME(numbers)(c_size), *expected = NAME(copy)(c_size, c), *bias = NULL;
    if (!one_in(3)) {
        t.bias_row_step = one_in(2) ? 0 : between(1, 3);
        bias = NAME(numbers)(t.bias_row_step ? (rows - 1) * t.bias_row_step + 1
                                             : (columns - 1) * t.c_column_step + 1);
    }
    table->product(&t, a, b, bias, c + GUARD);
    NAME(naive_product)(&t, a, b, bias, expected + GUARD);
    char what[200];
    snprintf(what, sizeof what,
             "product, rows %d, columns %d, runs %d of %d, accumulate %d, steps of a %d %d, of c %d "
             "%d, bias %d %d, overrun %d",
             (int)rows, (int)columns, (int)t.runs, (int)t.run_length, t.accumulate,
             (int)t.a_row_step, (int)t.a_step, (int)t.c_row_step, (int)t.c_column_step,
             bias != NULL, (int)t.bias_row_step, t.b_overrun);
    NAME(same)(what, c_size, c, expected);
    NAME(into_digest)(c_size, c);
    free(a), free(b), free(c), free(expected), free(bias), free(a_offset), free(b_offset);
}

/* A sum of `terms` terms in calls of a few terms, whose pieces add_piece adds. */
static void NAME(check_calls)(const NAME(table) *table, int64_t terms) {
    const int64_t start = 0, rows = between(1, 3), columns = between(1, 3);
    const int64_t count = rows * columns, apart = count + between(0, 2);
    lc_tile t = {.rows = rows, .columns = columns, .runs = 1, .run_length = terms,
                 .a_run_offset = &start, .b_run_offset = &start, .a_row_step = terms, .a_step = 1,
                 .b_row_step = columns, .c_row_step = columns, .c_column_step = 1};
    REAL *a = NAME(numbers)(rows * terms), *b = NAME(numbers)(terms * columns);
    REAL *c = NAME(numbers)(count), *expected = NAME(numbers)(count);
    REAL *totals = NAME(numbers)(TOTALS * apart);
    NAME(naive_product)(&t, a, b, NULL, expected);
    for (int64_t done = 0; done < terms;) {
        const int64_t in_piece = PIECE - done % PIECE, left = terms - done;
        t.run_length = between(1, PIECE);
        t.run_length = t.run_length < in_piece ? t.run_length : in_piece;
        t.run_length = t.run_length < left ? t.run_length : left;
        t.accumulate = done % PIECE != 0;
        table->product(&t, a + done, b + done * columns, NULL, c);
        done += t.run_length;
        if (done == terms || done % PIECE == 0)
            table->add_piece(done, done == terms, count, apart, c, totals);
    }
    NAME(same)("product in several calls", count, c, expected);
    NAME(into_digest)(count, c);
    free(a), free(b), free(c), free(expected), free(totals);
}

/* Each row has its own b and bias: each is a tile of one row. */
static void NAME(check_lone)(const NAME(table) *table, int64_t rows, int64_t columns,
                             int64_t run_length) {
    int64_t offset[3];
    lc_tile t = {.rows = rows, .columns = columns, .a_run_offset = offset, .b_run_offset = offset};
    t.runs = between(1, 3);
    t.run_length = run_length ? run_length : one_in(9) ? between(120, 200) : between(1, 12);
    t.a_step = t.b_row_step = columns + between(0, 3); /* so that both can use the same offsets */
    t.a_row_step = between(1, 5);
    t.c_column_step = one_in(2) ? 1 : rows;
    t.c_row_step = t.c_column_step == 1 ? columns + between(0, 4) : 1;
    t.b_overrun = 1;
    for (int64_t run = 0; run < t.runs; run++)
        offset[run] = (t.runs - 1 - run) * t.run_length * t.b_row_step;
    t.b_apart = t.runs * t.run_length * t.b_row_step;
    REAL *a = NAME(numbers)(t.b_apart + rows * t.a_row_step);
    REAL *b = NAME(numbers)(rows * t.b_apart + MOST_LANES);
    for (int64_t i = rows * t.b_apart; i < rows * t.b_apart + MOST_LANES; i++)
        b[i] = (REAL)NAN;
    const int64_t c_size = rows * t.c_row_step + columns * t.c_column_step + 2 * GUARD;
    REAL *c = NAME(numbers)(c_size), *expected = NAME(copy)(c_size, c);
    REAL *bias = one_in(3) ? NULL : NAME(numbers)(c_size);
    table->lone(&t, a, b, bias, c + GUARD);
    lc_tile one = t;
    one.rows = 1;
    for (int64_t i = 0; i < rows; i++)
        NAME(naive_product)(&one, a + i * t.a_row_step, b + i * t.b_apart,
                            bias ? bias + i * t.c_row_step : NULL, expected + GUARD + i * t.c_row_step);
    NAME(same)("lone", c_size, c, expected);
    NAME(into_digest)(c_size, c);
    free(a), free(b), free(c), free(expected), free(bias);
}

/* Streaming stores write the same numbers. */
static void NAME(check_stream)(const NAME(table) *table, int64_t rows, int64_t columns) {
    const int64_t start = 0;
    lc_tile t = {.rows = rows, .columns = columns, .runs = 1, .a_run_offset = &start,
                 .b_run_offset = &start, .a_step = 1, .c_column_step = 1, .stream = 1};
    t.run_length = t.a_row_step = between(1, 12);
    t.b_row_step = columns;
    t.c_row_step = ((columns - 1) / MOST_LANES + between(1, 2)) * MOST_LANES;
    t.accumulate = one_in(2);
    REAL *a = NAME(numbers)(rows * t.a_row_step), *b = NAME(numbers)(t.run_length * columns);
    REAL *bias = one_in(3) ? NULL : NAME(numbers)(columns);
    const int64_t c_size = rows * t.c_row_step, size = c_size + 2 * GUARD + MOST_LANES;
    REAL *memory = NAME(numbers)(size), *expected = NAME(copy)(size, memory);
    int64_t first = GUARD; /* where a vector of any path is aligned */
    while ((uintptr_t)(memory + first) % (MOST_LANES * sizeof(float)))
        first++;
    REAL *c = NAME(numbers)(c_size); /* the initial values do not depend on the alignment */
    memcpy(memory + first, c, (size_t)c_size * sizeof *c);
    memcpy(expected + first, c, (size_t)c_size * sizeof *c);
    table->product(&t, a, b, bias, memory + first);
    lc_finish_streams();
    NAME(naive_product)(&t, a, b, bias, expected + first);
    NAME(same)("product, streamed", size, memory, expected);
    NAME(into_digest)(c_size, memory + first);
    free(a), free(b), free(bias), free(memory), free(expected), free(c);
}

/* ---------------------------------------------------------------- panels */

static void NAME(check_panels)(const NAME(table) *table, int64_t rows, int64_t count) {
    const int64_t width = ((rows - 1) / MOST_LANES + between(1, 2)) * MOST_LANES;
    const int64_t step = count + between(0, 7);
    const int64_t x_size = (rows - 1) * step + count, panel_size = count * width;
    REAL *x = NAME(numbers)(x_size), *panel = NAME(numbers)(panel_size + 2 * GUARD);
    REAL *expected = NAME(copy)(panel_size + 2 * GUARD, panel);
    table->to_panel(rows, width, count, x, step, panel + GUARD);
    for (int64_t i = 0; i < count; i++)
        for (int64_t n = 0; n < width; n++)
            expected[GUARD + i * width + n] = n < rows ? x[n * step + i] : 0;
    NAME(same)("to_panel", panel_size + 2 * GUARD, panel, expected);
    NAME(into_digest)(panel_size + 2 * GUARD, panel);

    REAL *full = NAME(numbers)(panel_size), *y = NAME(numbers)(x_size + 2 * GUARD);
    REAL *back = NAME(copy)(x_size + 2 * GUARD, y);
    table->from_panel(rows, width, count, full, y + GUARD, step);
    for (int64_t n = 0; n < rows; n++)
        for (int64_t i = 0; i < count; i++)
            back[GUARD + n * step + i] = full[i * width + n];
    NAME(same)("from_panel", x_size + 2 * GUARD, y, back);
    NAME(into_digest)(x_size + 2 * GUARD, y);
    free(x), free(panel), free(expected), free(full), free(y), free(back);
}

/* ---------------------------------------------------------------- the sparse matrix */

/* Rows in families with random columns, at most `most`, or contiguous ones that may slide from row
   to row. */
static void NAME(check_sparse)(const NAME(table) *table, int64_t rows, int64_t columns, int64_t most,
                               int64_t batch) {
    int64_t *start = allocate((size_t)(rows + 1) * sizeof *start);
    int64_t *family = allocate((size_t)(rows + 1) * sizeof *family);
    int32_t *index = allocate((size_t)(rows * columns) * sizeof *index);
    int64_t families = 0, taken = 0;
    for (int64_t o = 0, next; o < rows; o = next) {
        const int slides = one_in(3), window = slides || one_in(3);
        const int64_t taps = one_in(12) ? 0 : between(1, columns < most ? columns : most);
        int64_t first = between(0, columns - taps);
        next = o + between(1, MOST_IN_A_FAMILY);
        next = next < rows ? next : rows;
        for (int64_t row = o; row < next; row++) {
            start[row] = taken;
            if (row == o || slides)
                family[families++] = row;
            if (row > o && !slides) {
                memcpy(index + taken, index + taken - taps, (size_t)taps * sizeof *index);
                taken += taps;
                continue;
            }
            for (int64_t column = first, left = taps; left; column++)
                if (window || one_in(2) || column + left == columns) {
                    index[taken++] = (int32_t)column;
                    left--;
                }
            first += first + taps < columns;
        }
    }
    start[rows] = taken;
    family[families] = rows;
    const lc_csr matrix = {rows, columns, start, index, family, one_in(2) ? LC_TANH : LC_LINEAR, 0};

    REAL *x = NAME(numbers)(batch * columns), *data = NAME(numbers)(taken);
    REAL *bias = one_in(3) ? NULL : NAME(numbers)(rows);
    const int64_t size = batch * rows + 2 * GUARD;
    REAL *y = NAME(numbers)(size), *expected = NAME(copy)(size, y), *vector = NAME(copy)(size, y);
    for (int64_t n = 0; n < batch; n++) {
        for (int64_t o = 0; o < rows; o++) {
            NAME(sum) *terms = NAME(started)(0);
            for (int64_t r = start[o]; r < start[o + 1]; r++)
                NAME(add)(terms, data[r], x[n * columns + index[r]]);
            REAL sum = NAME(value)(terms);
            if (bias)
                sum += bias[o];
            table->activate(matrix.activation, 0, 1, &sum);
            expected[GUARD + n * rows + o] = sum;
        }
    }
    REAL *panel = allocate((size_t)((columns + LC_SPARSE_HELD) * LC_SPARSE_LANES) * sizeof *panel);
    const int64_t middle = families / 2; /* in two strips */
    if (middle)
        table->sparse_panel(&matrix, 0, middle, 0, columns, data, bias, batch, x, panel, y + GUARD);
    table->sparse_panel(&matrix, middle, families, 0, columns, data, bias, batch, x, panel,
                        y + GUARD);
    NAME(same)("sparse_panel", size, y, expected);
    NAME(into_digest)(size, y);
    for (int64_t n = 0; n < batch; n++)
        table->sparse_vector(&matrix, 0, families, data, bias, x + n * columns,
                             vector + GUARD + n * rows);
    NAME(same)("sparse_vector", size, vector, expected);

    REAL *dy = NAME(numbers)(batch * rows), *ddata = NAME(numbers)(taken + 2 * GUARD);
    REAL *sums = NAME(copy)(taken + 2 * GUARD, ddata);
    const int accumulate = one_in(2);
    for (int64_t o = 0; o < rows; o++) {
        for (int64_t r = start[o]; r < start[o + 1]; r++) {
            REAL sum = accumulate ? sums[GUARD + r] : 0;
            for (int64_t n = 0; n < batch; n++)
                sum = NAME(step)(dy[n * rows + o], x[n * columns + index[r]], sum);
            sums[GUARD + r] = sum;
        }
    }
    table->sparse_gradient(&matrix, 0, families, batch, accumulate, x, dy, ddata + GUARD);
    NAME(same)("sparse_gradient", taken + 2 * GUARD, ddata, sums);
    NAME(into_digest)(taken + 2 * GUARD, ddata);
    free(start), free(family), free(index), free(x), free(data), free(bias), free(y);
    free(expected), free(vector), free(panel), free(dy), free(ddata), free(sums);
}

/* ---------------------------------------------------------------- all of one table */

static void NAME(check)(const NAME(table) *table) {
    for (int64_t rows = 1; rows <= 17; rows++)
        for (int64_t columns = 1; columns <= 70; columns++)
            for (int time = 0; time < 4; time++) {
                drawn = (uint64_t)((rows * 100 + columns) * 4 + time);
                NAME(check_tile)(table, rows, columns, -1, 0);
            }
    drawn = 3;
    for (int i = 0; i < LONG_SUMS; i++) {
        const int64_t terms = long_sums[i];
        const int64_t most = terms < 2 * PIECE ? 40 : 19;
        for (int time = 0; time < 6; time++) {
            const int64_t runs = terms > PIECE && one_in(2) ? between(2, 40) : 1;
            NAME(check_tile)(table, between(1, most), between(1, most), runs, terms / runs);
            NAME(check_tile)(table, time < 2 ? 60 : 1, between(1, most), 1, terms);
            NAME(check_tile)(table, between(1, 9), between(1, 9), terms / 3, 3);
            NAME(check_lone)(table, between(1, 9), between(1, most), terms / 2);
        }
        NAME(check_calls)(table, terms);
    }
    for (int64_t pieces = 1; pieces < 3 * GROUP * GROUP * GROUP * GROUP; pieces += 1 + pieces / 3)
        NAME(check_totals)(table, pieces);
    NAME(check_tile)(table, 2, 3, 1, BEYOND_GROUPS);
    NAME(check_tile)(table, 1, MOST_LANES + 1, 3, PIECE * GROUP * GROUP / 3 + 1);
    NAME(check_tile)(table, 2, 2, 2, PIECE * GROUP * GROUP / 2);
    NAME(check_calls)(table, BEYOND_GROUPS);
    for (int64_t rows = 1; rows <= 9; rows++)
        for (int64_t columns = 1; columns <= 150; columns++)
            NAME(check_lone)(table, rows, columns, 0);
    for (int64_t rows = 1; rows <= 70; rows += 3)
        for (int64_t count = 1; count <= 70; count++)
            NAME(check_panels)(table, rows, count);
    drawn = 4;
    for (int64_t rows = 1; rows <= 2 * LC_SPARSE_HELD + 90; rows += 1 + rows / 8) {
        const int64_t columns = between(1, 80);
        NAME(check_sparse)(table, rows, columns, 40, between(1, LC_SPARSE_LANES));
    }
    for (int time = 0; time < 12; time++)
        NAME(check_sparse)(table, between(1, 60), between(1100, 1700), between(500, 1700),
                           between(1, LC_SPARSE_LANES));
    NAME(check_sparse)(table, 3, BEYOND_GROUPS, BEYOND_GROUPS, 2);
    for (int64_t rows = 1; rows <= 9; rows++)
        for (int64_t columns = 1; columns <= 70; columns++)
            NAME(check_stream)(table, rows, columns);
}
