/* Panels: panel[i,n] = x[n,i], a transposed block of a few vectors of rows n, batch innermost.
   `count` contiguous numbers of a row of x are `count` rows of the panel. */

/* Exchanges the off-diagonal b x b squares of two rows whose distance is b. */
#define LC_LOW(lane, b) ((lane) & (b) ? (lane) - (b) + LC_LANES : (lane))
#define LC_HIGH(lane, b) ((lane) & (b) ? (lane) + LC_LANES : (lane) + (b))
#if LC_LANES == 16
#define LC_EACH_LANE(of, b)                                                                        \
    of(0, b), of(1, b), of(2, b), of(3, b), of(4, b), of(5, b), of(6, b), of(7, b), of(8, b),      \
        of(9, b), of(10, b), of(11, b), of(12, b), of(13, b), of(14, b), of(15, b)
#elif LC_LANES == 8
#define LC_EACH_LANE(of, b)                                                                        \
    of(0, b), of(1, b), of(2, b), of(3, b), of(4, b), of(5, b), of(6, b), of(7, b)
#elif LC_LANES == 4
#define LC_EACH_LANE(of, b) of(0, b), of(1, b), of(2, b), of(3, b)
#else
#define LC_EACH_LANE(of, b) of(0, b), of(1, b)
#endif
#if defined(__clang__)
#define LC_SHUFFLE(a, c, of, b) __builtin_shufflevector(a, c, LC_EACH_LANE(of, b))
#else
#if LC_IS_DOUBLE
typedef int64_t LC_NAME(lanes) __attribute__((vector_size(LC_VECTOR_BYTES)));
#else
typedef int32_t LC_NAME(lanes) __attribute__((vector_size(LC_VECTOR_BYTES)));
#endif
#define LC_SHUFFLE(a, c, of, b) __builtin_shuffle(a, c, (LC_NAME(lanes)){LC_EACH_LANE(of, b)})
#endif
#define LC_EXCHANGE(b)                                                                             \
    LC_UNROLL for (int i = 0; i < LC_LANES; i++) {                                                 \
        if (!(i & (b))) {                                                                          \
            const LC_NAME(vector) low = LC_SHUFFLE(square[i], square[i + (b)], LC_LOW, b);         \
            square[i + (b)] = LC_SHUFFLE(square[i], square[i + (b)], LC_HIGH, b);                  \
            square[i] = low;                                                                       \
        }                                                                                          \
    }

/* square[i][j] <-> square[j][i], in registers.  The compiler drops the shuffles of unused rows. */
static LC_ALWAYS_INLINE LC_TARGET void LC_NAME(transpose)(LC_NAME(vector) *square) {
#if LC_LANES > 8
    LC_EXCHANGE(8)
#endif
#if LC_LANES > 4
    LC_EXCHANGE(4)
#endif
#if LC_LANES > 2
    LC_EXCHANGE(2)
#endif
    LC_EXCHANGE(1)
}

/* to[j, i] = from[i, j]: the first `loaded` i, then zeros; the first `stored` j */
static LC_ALWAYS_INLINE LC_TARGET void
LC_NAME(transpose_square)(int64_t loaded, int64_t stored, const LC_REAL *from, int64_t from_step,
                          LC_REAL *to, int64_t to_step) {
    LC_NAME(vector) square[LC_LANES];
    LC_UNROLL for (int i = 0; i < LC_LANES; i++) {
        square[i] = (LC_NAME(vector)){0};
        if (i < loaded)
            square[i] = LC_LOAD(from + i * from_step);
    }
    LC_NAME(transpose)(square);
    LC_UNROLL for (int j = 0; j < LC_LANES; j++)
        if (j < stored)
            LC_STORE(to + j * to_step, square[j]);
}

#define LC_AHEAD 384 /* bytes */

/* Where the square that would start at i starts: the last one overlaps the one before it. */
#define LC_WITHIN(i, size) ((i) > (size) - LC_LANES ? (size) - LC_LANES : (i))

/* panel[i, n] = x[n, i], i < count, n < rows; 0 for n up to the panel's width */
static LC_TARGET void LC_NAME(to_panel)(int64_t rows, int64_t width, int64_t count,
                                        const LC_REAL *x, int64_t x_step, LC_REAL *panel) {
    if (count < LC_LANES) {
        for (int64_t i = 0; i < count; i++)
            for (int64_t n = 0; n < width; n++)
                panel[i * width + n] = n < rows ? x[n * x_step + i] : 0;
        return;
    }
    for (int64_t n = 0; n < width; n += LC_LANES) {
        for (int64_t first = 0; first < count; first += LC_LANES) {
            const int64_t i = LC_WITHIN(first, count);
            const LC_REAL *from = x + n * x_step + i;
            const int64_t loaded = rows - n < LC_LANES ? rows - n : LC_LANES;
            /* More rows than hardware prefetches; integers, as they may be out of bounds. */
            LC_UNROLL for (int row = 0; row < LC_LANES; row++)
                if (row < loaded)
                    __builtin_prefetch((const void *)((uintptr_t)from +
                                                      sizeof(LC_REAL) * (uintptr_t)(row * x_step) +
                                                      LC_AHEAD));
            LC_NAME(transpose_square)(loaded, LC_LANES, from, x_step, panel + i * width + n, width);
        }
    }
}

/* y[n, i] = panel[i, n], i < count, n < rows, for fewer i than a vector has lanes */
static LC_TARGET void LC_NAME(from_low_panel)(int64_t rows, int64_t width, int64_t count,
                                              const LC_REAL *panel, LC_REAL *y, int64_t y_step) {
    LC_REAL square[LC_LANES * LC_LANES];
    for (int64_t n = 0; n < rows; n += LC_LANES) {
        LC_NAME(transpose_square)(count, LC_LANES, panel + n, width, square, LC_LANES);
        for (int64_t row = 0; row < LC_LANES && n + row < rows; row++)
            for (int64_t i = 0; i < count; i++)
                y[(n + row) * y_step + i] = square[row * LC_LANES + i];
    }
}

/* y[n, i] = panel[i, n], i < count, n < rows */
static LC_TARGET void LC_NAME(from_panel)(int64_t rows, int64_t width, int64_t count,
                                          const LC_REAL *panel, LC_REAL *y, int64_t y_step) {
    if (count < LC_LANES) {
        LC_NAME(from_low_panel)(rows, width, count, panel, y, y_step);
        return;
    }
    for (int64_t n = 0; n < rows; n += LC_LANES) {
        for (int64_t first = 0; first < count; first += LC_LANES) {
            const int64_t i = LC_WITHIN(first, count);
            LC_NAME(transpose_square)(LC_LANES, rows - n < LC_LANES ? rows - n : LC_LANES,
                                      panel + i * width + n, width, y + n * y_step + i, y_step);
        }
    }
}

#undef LC_LOW
#undef LC_HIGH
#undef LC_EXCHANGE
#undef LC_AHEAD
#undef LC_WITHIN
