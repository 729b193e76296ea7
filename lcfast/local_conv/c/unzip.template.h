/* An array with `count` numbers for each position is unzipped into `count` rows of positions, and
   zipped back.  The last vector overlaps the one before it, so that nothing past the last position
   is read or written. */

/* Shuffles of two vectors: the index of the number that each lane takes. */
#define LC_EVERY_SECOND(lane, b) (2 * (lane) + (b))
#define LC_EVERY_THIRD_OF_TWO(lane, b) (3 * (lane) + (b) < 2 * LC_LANES ? 3 * (lane) + (b) : 0)
#define LC_EVERY_THIRD_OF_LAST(lane, b)                                                            \
    (3 * (lane) + (b) < 2 * LC_LANES ? (lane) : 3 * (lane) + (b) - LC_LANES)
#define LC_ONE_OF_TWO(lane, b) (((lane) & 1 ? LC_LANES : 0) + (lane) / 2 + (b) * (LC_LANES / 2))
#define LC_FLAT(lane, b) ((b) * LC_LANES + (lane))
#define LC_ONE_OF_THREE(lane, b)                                                                   \
    (LC_FLAT(lane, b) / 3 + (LC_FLAT(lane, b) % 3 == 1 ? LC_LANES : 0))
#define LC_LAST_OF_THREE(lane, b)                                                                  \
    (LC_FLAT(lane, b) % 3 == 2 ? LC_LANES + LC_FLAT(lane, b) / 3 : (lane))

/* to[j][p] = from[p * count + j] for a vector of p; `count` is a literal, 2, 3 or 4. */
static LC_ALWAYS_INLINE LC_TARGET void
LC_NAME(unzip_vectors)(const int count, const LC_NAME(vector) *from, LC_NAME(vector) *to) {
    if (count == 3) {
#define LC_THIRD(b)                                                                                \
    to[b] = LC_SHUFFLE(from[0], from[1], LC_EVERY_THIRD_OF_TWO, b);                                \
    to[b] = LC_SHUFFLE(to[b], from[2], LC_EVERY_THIRD_OF_LAST, b)
        LC_THIRD(0);
        LC_THIRD(1);
        LC_THIRD(2);
#undef LC_THIRD
        return;
    }
    LC_NAME(vector) even[2], odd[2];
    LC_UNROLL for (int i = 0; i < count / 2; i++) {
        even[i] = LC_SHUFFLE(from[2 * i], from[2 * i + 1], LC_EVERY_SECOND, 0);
        odd[i] = LC_SHUFFLE(from[2 * i], from[2 * i + 1], LC_EVERY_SECOND, 1);
    }
    to[0] = even[0];
    to[1] = odd[0];
    if (count == 4) {
        to[0] = LC_SHUFFLE(even[0], even[1], LC_EVERY_SECOND, 0);
        to[1] = LC_SHUFFLE(odd[0], odd[1], LC_EVERY_SECOND, 0);
        to[2] = LC_SHUFFLE(even[0], even[1], LC_EVERY_SECOND, 1);
        to[3] = LC_SHUFFLE(odd[0], odd[1], LC_EVERY_SECOND, 1);
    }
}

/* to[p * count + j] = from[j][p] for a vector of p; `count` is a literal, 2, 3 or 4. */
static LC_ALWAYS_INLINE LC_TARGET void
LC_NAME(zip_vectors)(const int count, const LC_NAME(vector) *from, LC_NAME(vector) *to) {
    if (count == 3) {
#define LC_THIRD(b)                                                                                \
    to[b] = LC_SHUFFLE(from[0], from[1], LC_ONE_OF_THREE, b);                                      \
    to[b] = LC_SHUFFLE(to[b], from[2], LC_LAST_OF_THREE, b)
        LC_THIRD(0);
        LC_THIRD(1);
        LC_THIRD(2);
#undef LC_THIRD
        return;
    }
    LC_NAME(vector) low[2], high[2];
    LC_UNROLL for (int i = 0; i < count / 2; i++) {
        low[i] = LC_SHUFFLE(from[i], from[i + count / 2], LC_ONE_OF_TWO, 0);
        high[i] = LC_SHUFFLE(from[i], from[i + count / 2], LC_ONE_OF_TWO, 1);
    }
    to[0] = low[0];
    to[1] = high[0];
    if (count == 4) {
        to[0] = LC_SHUFFLE(low[0], low[1], LC_ONE_OF_TWO, 0);
        to[1] = LC_SHUFFLE(low[0], low[1], LC_ONE_OF_TWO, 1);
        to[2] = LC_SHUFFLE(high[0], high[1], LC_ONE_OF_TWO, 0);
        to[3] = LC_SHUFFLE(high[0], high[1], LC_ONE_OF_TWO, 1);
    }
}

/* Where the vector that would start at p starts: the last one overlaps the one before it. */
#define LC_REACHING_BACK(p, positions, width) ((p) > (positions) - (width) ? (positions) - (width) : (p))

/* The same for all positions, each with `count` contiguous numbers; a literal, 2, 3 or 4. */
static LC_ALWAYS_INLINE LC_TARGET void LC_NAME(unzip_few)(const int count, int64_t positions,
                                                          int64_t width, const LC_REAL *x,
                                                          LC_REAL *panel) {
    for (int64_t next = 0; next < positions; next += LC_LANES) {
        const int64_t p = LC_REACHING_BACK(next, positions, LC_LANES);
        LC_NAME(vector) from[4], to[4];
        LC_UNROLL for (int i = 0; i < count; i++)
            from[i] = LC_LOAD(x + p * count + i * LC_LANES);
        LC_NAME(unzip_vectors)(count, from, to);
        LC_UNROLL for (int j = 0; j < count; j++)
            LC_STORE(panel + j * width + p, to[j]);
    }
}

static LC_ALWAYS_INLINE LC_TARGET void LC_NAME(zip_few)(const int count, int64_t positions,
                                                        int64_t width, const LC_REAL *panel,
                                                        LC_REAL *y) {
    for (int64_t next = 0; next < positions; next += LC_LANES) {
        const int64_t p = LC_REACHING_BACK(next, positions, LC_LANES);
        LC_NAME(vector) from[4], to[4];
        LC_UNROLL for (int j = 0; j < count; j++)
            from[j] = LC_LOAD(panel + j * width + p);
        LC_NAME(zip_vectors)(count, from, to);
        LC_UNROLL for (int i = 0; i < count; i++)
            LC_STORE(y + p * count + i * LC_LANES, to[i]);
    }
}

/* The same for a count of less than a vector, at most `most`, a literal: the numbers of each
   position are read as a vector, of which the first `count` are used. */
static LC_ALWAYS_INLINE LC_TARGET void
LC_NAME(unzip_rows)(const int most, int64_t positions, int64_t width, int64_t count,
                    const LC_REAL *x, int64_t x_step, LC_REAL *panel) {
    const int64_t end = (positions - 1) * x_step + count;
    for (int64_t next = 0; next < positions; next += LC_LANES) {
        const int64_t p = LC_REACHING_BACK(next, positions, LC_LANES);
        LC_NAME(vector) square[LC_LANES];
        if ((p + LC_LANES - 1) * x_step + LC_LANES <= end) {
            LC_UNROLL for (int i = 0; i < LC_LANES; i++)
                square[i] = LC_LOAD(x + (p + i) * x_step);
        } else {
            LC_REAL rows[LC_LANES * LC_LANES] = {0};
            for (int i = 0; i < LC_LANES; i++)
                for (int64_t j = 0; j < count; j++)
                    rows[i * LC_LANES + j] = x[(p + i) * x_step + j];
            LC_UNROLL for (int i = 0; i < LC_LANES; i++)
                square[i] = LC_LOAD(rows + i * LC_LANES);
        }
        LC_NAME(transpose)(square);
        LC_UNROLL for (int j = 0; j < most; j++)
            if (j < count)
                LC_STORE(panel + j * width + p, square[j]);
    }
}

/* The numbers of a position are written as a vector; the next positions overwrite the excess. */
static LC_ALWAYS_INLINE LC_TARGET void LC_NAME(zip_rows)(const int most, int64_t positions,
                                                         int64_t width, int64_t count,
                                                         const LC_REAL *panel, LC_REAL *y) {
    for (int64_t next = 0; next < positions; next += LC_LANES) {
        const int64_t p = LC_REACHING_BACK(next, positions, LC_LANES);
        LC_NAME(vector) square[LC_LANES];
        LC_UNROLL for (int j = 0; j < LC_LANES; j++) {
            square[j] = (LC_NAME(vector)){0};
            if (j < most && j < count)
                square[j] = LC_LOAD(panel + j * width + p);
        }
        LC_NAME(transpose)(square);
        LC_UNROLL for (int i = 0; i < LC_LANES; i++) {
            if ((p + i) * count + LC_LANES <= positions * count)
                LC_STORE(y + (p + i) * count, square[i]);
            else
                for (int64_t j = 0; j < count; j++)
                    y[(p + i) * count + j] = square[i][j];
        }
    }
}

/* panel[j, p] = x[p, j], j < count, p < positions; the rest of the panel is not written */
static LC_TARGET void LC_NAME(unzip)(int64_t positions, int64_t width, int64_t count,
                                     const LC_REAL *x, int64_t x_step, LC_REAL *panel) {
    if (positions < LC_LANES || count == 1) {
        for (int64_t j = 0; j < count; j++)
            for (int64_t p = 0; p < positions; p++)
                panel[j * width + p] = x[p * x_step + j];
        return;
    }
    if (x_step == count && count == 2)
        LC_NAME(unzip_few)(2, positions, width, x, panel);
    else if (x_step == count && count == 3)
        LC_NAME(unzip_few)(3, positions, width, x, panel);
    else if (x_step == count && count == 4)
        LC_NAME(unzip_few)(4, positions, width, x, panel);
    else if (LC_LANES > 4 && count <= 4)
        LC_NAME(unzip_rows)(LC_LANES > 4 ? 4 : 1, positions, width, count, x, x_step, panel);
    else if (LC_LANES > 8 && count <= 8)
        LC_NAME(unzip_rows)(LC_LANES > 8 ? 8 : 1, positions, width, count, x, x_step, panel);
    else if (count < LC_LANES)
        LC_NAME(unzip_rows)(LC_LANES, positions, width, count, x, x_step, panel);
    else
        for (int64_t next = 0; next < positions; next += LC_LANES) {
            const int64_t p = LC_REACHING_BACK(next, positions, LC_LANES);
            for (int64_t first = 0; first < count; first += LC_LANES) {
                const int64_t j = LC_REACHING_BACK(first, count, LC_LANES);
                const LC_REAL *from = x + p * x_step + j;
                /* The next vector of positions; integer arithmetic, as it may be past the last. */
                LC_UNROLL for (int i = 0; i < LC_LANES; i++)
                    __builtin_prefetch((const void *)((uintptr_t)from +
                                                      sizeof(LC_REAL) *
                                                          (uintptr_t)((LC_LANES + i) * x_step)));
                LC_NAME(transpose_square)(LC_LANES, LC_LANES, from, x_step, panel + j * width + p,
                                          width);
            }
        }
}

/* y[p, j] = panel[j, p], j < count, p < positions */
static LC_TARGET void LC_NAME(zip)(int64_t positions, int64_t width, int64_t count,
                                   const LC_REAL *panel, LC_REAL *y) {
    if (positions < LC_LANES || count == 1) {
        for (int64_t j = 0; j < count; j++)
            for (int64_t p = 0; p < positions; p++)
                y[p * count + j] = panel[j * width + p];
        return;
    }
    if (count == 2)
        LC_NAME(zip_few)(2, positions, width, panel, y);
    else if (count == 3)
        LC_NAME(zip_few)(3, positions, width, panel, y);
    else if (count == 4)
        LC_NAME(zip_few)(4, positions, width, panel, y);
    else if (LC_LANES > 8 && count <= 8)
        LC_NAME(zip_rows)(LC_LANES > 8 ? 8 : 1, positions, width, count, panel, y);
    else if (count < LC_LANES)
        LC_NAME(zip_rows)(LC_LANES, positions, width, count, panel, y);
    else
        for (int64_t next = 0; next < positions; next += LC_LANES) {
            const int64_t p = LC_REACHING_BACK(next, positions, LC_LANES);
            for (int64_t first = 0; first < count; first += LC_LANES) {
                const int64_t j = LC_REACHING_BACK(first, count, LC_LANES);
                LC_NAME(transpose_square)(LC_LANES, LC_LANES, panel + j * width + p, width,
                                          y + p * count + j, count);
            }
        }
}

#undef LC_EACH_LANE
#undef LC_SHUFFLE
#undef LC_EVERY_SECOND
#undef LC_EVERY_THIRD_OF_TWO
#undef LC_EVERY_THIRD_OF_LAST
#undef LC_ONE_OF_TWO
#undef LC_FLAT
#undef LC_ONE_OF_THREE
#undef LC_LAST_OF_THREE
