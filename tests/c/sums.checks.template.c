/* Sums by the bits rule, as plain loops; checks.template.c includes it. */

/* The sum of `count` sums, GROUP of them at a time; the last time all that is left. */
static REAL NAME(added)(int64_t count, REAL *sums, int times) {
    while (count > 1 && times > 0) {
        const int64_t group = times > 1 ? GROUP : count;
        int64_t groups = 0;
        for (int64_t first = 0; first < count; first += group) {
            REAL sum = sums[first];
            for (int64_t i = first + 1; i < count && i < first + group; i++)
                sum += sums[i];
            sums[groups++] = sum;
        }
        count = groups;
        times--;
    }
    return sums[0];
}

/* A sum by the bits rule, term by term. */
typedef struct {
    int64_t terms;
    REAL pieces[MOST_PIECES];
} NAME(sum);

static NAME(sum) *NAME(started)(REAL from) {
    static NAME(sum) sum;
    sum.terms = 0;
    sum.pieces[0] = from;
    return &sum;
}

static void NAME(add)(NAME(sum) *sum, REAL a, REAL b) {
    REAL *piece = sum->pieces + sum->terms / PIECE;
    if (sum->terms && sum->terms % PIECE == 0)
        *piece = 0;
    *piece = NAME(step)(a, b, *piece);
    sum->terms++;
}

static REAL NAME(value)(NAME(sum) *sum) {
    return NAME(added)((sum->terms + PIECE - 1) / PIECE, sum->pieces, TOTALS);
}

/* Sums of so many pieces, given. */
static void NAME(check_totals)(const NAME(table) *table, int64_t pieces) {
    enum { COUNT = 3, APART = 5 };
    REAL *of_first = NAME(numbers)(pieces), *expected = NAME(copy)(pieces, of_first);
    REAL sums[COUNT], totals[APART * TOTALS];
    for (int64_t piece = 0; piece < pieces; piece++) {
        sums[0] = of_first[piece];
        sums[1] = 2 * of_first[piece];
        sums[2] = -0.0f;
        table->add_piece(piece * PIECE + 1, piece + 1 == pieces, COUNT, APART, sums, totals);
    }
    expected[0] = NAME(added)(pieces, expected, TOTALS);
    NAME(same)("add_piece", 1, sums, expected);
    expected[0] *= 2;
    NAME(same)("add_piece, the second number", 1, sums + 1, expected);
    expected[0] = -0.0f;
    NAME(same)("add_piece, negative zeros", 1, sums + 2, expected);
    NAME(into_digest)(COUNT, sums);
    free(of_first), free(expected);
}
