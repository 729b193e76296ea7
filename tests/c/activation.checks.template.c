/* The checks of activations; included after checks.template.c, in the same way. */

/* Numbers of every magnitude, infinities and NaN. */
static REAL *NAME(awkward)(int64_t count) {
    static const double special[] = {0.0, -0.0, 1.0, -1.0, 2.5, -2.5, 6.0, 1e-30, -1e-30, 1e30,
                                     -1e30, 88.5, -103.5, 709.5, -745.0, 5e-324, 1e-40,
                                     (double)NAN, (double)INFINITY, -(double)INFINITY};
    REAL *array = NAME(numbers)(count);
    for (int64_t i = 0; i < count; i++) {
        const uint64_t size = draw() % 4;
        if (size == 3)
            array[i] = (REAL)special[draw() % (sizeof special / sizeof *special)];
        else
            array[i] *= (REAL)(size == 0 ? 1 : size == 1 ? 10 : 120);
    }
    return array;
}

/* A part of an array gives the same bits as within the whole array, at any offset. */
static void NAME(check_activation)(const NAME(table) *table, int activation) {
    enum { COUNT = 600, MOST = 70 };
    const REAL alpha = (REAL)0.3;
    REAL *x = NAME(awkward)(COUNT), *dy = NAME(numbers)(COUNT);
    REAL *y = NAME(copy)(COUNT, x), *dx = NAME(copy)(COUNT, dy);
    table->activate(activation, alpha, COUNT, y);
    table->activation_gradient(activation, alpha, COUNT, x, dx, dx); /* in place */
    NAME(into_digest)(COUNT, y);
    NAME(into_digest)(COUNT, dx);
    for (int64_t offset = 0; offset <= table->lanes; offset++) {
        for (int64_t count = 1; count <= MOST; count++) {
            const int64_t from = between(0, COUNT - count), size = offset + count + GUARD;
            REAL *got = NAME(numbers)(size), *expected = NAME(copy)(size, got);
            memcpy(got + offset, x + from, (size_t)count * sizeof *got);
            memcpy(expected + offset, y + from, (size_t)count * sizeof *got);
            table->activate(activation, alpha, count, got + offset);
            NAME(same)("activate, a part", size, got, expected);
            memcpy(expected + offset, dx + from, (size_t)count * sizeof *got);
            table->activation_gradient(activation, alpha, count, x + from, dy + from, got + offset);
            NAME(same)("activation_gradient, a part", size, got, expected);
            free(got), free(expected);
        }
    }
    free(x), free(dy), free(y), free(dx);
}

/* A row by itself gives the same bits as among the others. */
static void NAME(check_rows)(const NAME(table) *table, int activation, int64_t columns) {
    enum { ROWS = 5 };
    const int64_t count = ROWS * columns;
    REAL *x = NAME(numbers)(count), *dy = NAME(numbers)(count);
    for (int64_t i = 0; i < count; i++)
        x[i] *= 20;
    REAL *y = NAME(copy)(count, x), *dx = NAME(copy)(count, dy);
    table->activate_rows(activation, ROWS, columns, y, y);
    table->row_gradient(activation, ROWS, columns, y, dx, dx);
    for (int64_t row = 0; row < count; row += columns) {
        REAL *alone = NAME(copy)(columns, x + row), *gradient = NAME(copy)(columns, dy + row);
        table->activate_rows(activation, 1, columns, x + row, alone);
        table->row_gradient(activation, 1, columns, y + row, dy + row, gradient);
        NAME(same)("activate_rows", columns, alone, y + row);
        NAME(same)("row_gradient", columns, gradient, dx + row);
        free(alone), free(gradient);
    }
    NAME(into_digest)(count, y);
    NAME(into_digest)(count, dx);
    free(x), free(dy), free(y), free(dx);
}

static void NAME(check_all_activations)(const NAME(table) *table) {
    for (int activation = LC_LINEAR; activation <= LC_GELU_APPROXIMATE; activation++) {
        drawn = (uint64_t)activation;
        NAME(check_activation)(table, activation);
    }
    drawn = 1;
    for (int64_t columns = 1; columns <= 130; columns++) {
        NAME(check_rows)(table, LC_SOFTMAX, columns);
        NAME(check_rows)(table, LC_LOG_SOFTMAX, columns);
    }
}
