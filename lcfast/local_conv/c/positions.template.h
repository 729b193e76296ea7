/* Position groups: y[n,f,p] = sum_k x[n,k,p] w[k,f,p] (+ bias[f,p]), vectors along output positions
   p, for few filters with weights of their own for each position.

   An array with `count` numbers for each position is unzipped into `count` rows of positions, and
   zipped back.  The terms of a sum are numbered by k (the gradient of the kernel: by n).  The last
   vector overlaps the one before it, so that nothing past the last position is read or written. */

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

/* ---------------------------------------------------------------- products */

/* y[n,f,p] = sum_k x[n, x_offset[k] + p] w[w_offset[k] + f * w_filter + p] (+ bias[f,p]) for rows x
   filters x vectors of p, with the sums in registers; all three are literals. */
static LC_ALWAYS_INLINE LC_TARGET void
LC_NAME(positions_block)(const int rows, const int filters, const int vectors,
                         const lc_positions *tile, const LC_REAL *x, const LC_REAL *w,
                         const LC_REAL *bias, LC_REAL *y) {
    LC_NAME(vector) sums[4][4][4];
    LC_UNROLL for (int n = 0; n < rows; n++)
        LC_UNROLL for (int f = 0; f < filters; f++)
            LC_UNROLL for (int v = 0; v < vectors; v++)
                sums[n][f][v] = (LC_NAME(vector)){0};
    const int64_t x_row = tile->x_row, w_filter = tile->w_filter;
    if (tile->x_ahead)
        LC_UNROLL for (int n = 0; n < rows; n++)
            LC_UNROLL for (int v = 0; v < vectors; v++)
                __builtin_prefetch((const void *)((uintptr_t)(x + n * x_row + v * LC_LANES) +
                                                  (uintptr_t)tile->x_ahead * sizeof(LC_REAL)));
    for (int64_t k = 0; k < tile->taps; k++) {
        const LC_REAL *x_here = x + tile->x_offset[k], *w_here = w + tile->w_offset[k];
        LC_NAME(vector) weights[4][4];
        LC_UNROLL for (int f = 0; f < filters; f++)
            LC_UNROLL for (int v = 0; v < vectors; v++)
                weights[f][v] = LC_LOAD(w_here + f * w_filter + v * LC_LANES);
        LC_UNROLL for (int n = 0; n < rows; n++)
            LC_UNROLL for (int v = 0; v < vectors; v++) {
                const LC_NAME(vector) value = LC_LOAD(x_here + n * x_row + v * LC_LANES);
                LC_UNROLL for (int f = 0; f < filters; f++)
                    sums[n][f][v] = LC_NAME(fused_lanes)(value, weights[f][v], sums[n][f][v]);
            }
    }
    LC_UNROLL for (int n = 0; n < rows; n++)
        LC_UNROLL for (int f = 0; f < filters; f++)
            LC_UNROLL for (int v = 0; v < vectors; v++) {
                LC_NAME(vector) sum = sums[n][f][v];
                if (bias)
                    sum += LC_LOAD(bias + f * tile->bias_filter + v * LC_LANES);
                LC_STORE(y + n * tile->y_row + f * tile->y_filter + v * LC_LANES, sum);
            }
}

/* The same for all positions. */
static LC_ALWAYS_INLINE LC_TARGET void
LC_NAME(positions_rows)(const int rows, const int filters, const int vectors,
                        const lc_positions *tile, const LC_REAL *x, const LC_REAL *w,
                        const LC_REAL *bias, LC_REAL *y) {
    const int64_t width = (int64_t)vectors * LC_LANES, positions = tile->positions;
    if (vectors > 1 && positions < width) {
        for (int64_t next = 0; next < positions; next += LC_LANES) {
            const int64_t p = LC_REACHING_BACK(next, positions, LC_LANES);
            LC_NAME(positions_block)(rows, filters, 1, tile, x + p, w + p, bias ? bias + p : bias,
                                     y + p);
        }
        return;
    }
    for (int64_t next = 0; next < positions; next += width) {
        const int64_t p = LC_REACHING_BACK(next, positions, width);
        LC_NAME(positions_block)(rows, filters, vectors, tile, x + p, w + p,
                                 bias ? bias + p : bias, y + p);
    }
}

/* The same for all rows, four at a time. */
static LC_ALWAYS_INLINE LC_TARGET void
LC_NAME(positions_filters)(const int filters, const lc_positions *tile, const LC_REAL *x,
                           const LC_REAL *w, const LC_REAL *bias, LC_REAL *y) {
    int64_t left = tile->rows;
    for (; left >= 4; left -= 4, x += 4 * tile->x_row, y += 4 * tile->y_row)
        LC_NAME(positions_rows)(4, filters, filters == 1 ? 2 : 1, tile, x, w, bias, y);
    for (; left > 0; left--, x += tile->x_row, y += tile->y_row)
        LC_NAME(positions_rows)(1, filters, filters == 1 ? 4 : 2, tile, x, w, bias, y);
}

/* The same for all filters: one chain for each output. */
static LC_TARGET void LC_NAME(positions_chain)(const lc_positions *tile, const LC_REAL *x,
                                               const LC_REAL *w, const LC_REAL *bias, LC_REAL *y) {
    for (int64_t left = tile->filters, some; left > 0; left -= some) {
        some = left < 4 ? left : 4;
        switch (some) {
        case 1:
            LC_NAME(positions_filters)(1, tile, x, w, bias, y);
            break;
        case 2:
            LC_NAME(positions_filters)(2, tile, x, w, bias, y);
            break;
        case 3:
            LC_NAME(positions_filters)(3, tile, x, w, bias, y);
            break;
        default:
            LC_NAME(positions_filters)(4, tile, x, w, bias, y);
        }
        w += some * tile->w_filter;
        y += some * tile->y_filter;
        if (bias)
            bias += some * tile->bias_filter;
    }
}

/* The same for more taps than a piece: a few rows, filters and vectors of positions at a time. */
static __attribute__((noinline)) LC_TARGET void
LC_NAME(positions_cut)(const lc_positions *tile, const LC_REAL *x, const LC_REAL *w,
                       const LC_REAL *bias, LC_REAL *y) {
    enum { ROWS = 4, FILTERS = 4, WIDTH = 4 * LC_LANES, SUMS = ROWS * FILTERS * WIDTH };
    LC_REAL sums[SUMS], totals[LC_TOTALS * SUMS];
    lc_positions part = *tile;
    part.y_filter = WIDTH;
    part.y_row = FILTERS * WIDTH;
    part.positions = tile->positions < WIDTH ? tile->positions : WIDTH;
    for (int64_t f = 0; f < tile->filters; f += FILTERS) {
        part.filters = tile->filters - f < FILTERS ? tile->filters - f : FILTERS;
        for (int64_t n = 0; n < tile->rows; n += ROWS) {
            part.rows = tile->rows - n < ROWS ? tile->rows - n : ROWS;
            for (int64_t next = 0; next < tile->positions; next += WIDTH) {
                const int64_t p = LC_REACHING_BACK(next, tile->positions, part.positions);
                for (int64_t k = 0; k < tile->taps; k += LC_PIECE) {
                    const int last = tile->taps - k <= LC_PIECE;
                    part.taps = last ? tile->taps - k : LC_PIECE;
                    part.x_offset = tile->x_offset + k;
                    part.w_offset = tile->w_offset + k;
                    LC_NAME(positions_chain)(&part, x + n * tile->x_row + p,
                                             w + f * tile->w_filter + p, NULL, sums);
                    for (int64_t i = 0; i < part.rows; i++)
                        for (int64_t j = 0; j < part.filters; j++) {
                            const int64_t of = i * part.y_row + j * WIDTH;
                            LC_NAME(add_piece)(k + part.taps, last, part.positions, SUMS,
                                               sums + of, totals + of);
                        }
                }
                for (int64_t i = 0; i < part.rows; i++)
                    for (int64_t j = 0; j < part.filters; j++) {
                        const LC_REAL *from = sums + i * part.y_row + j * WIDTH;
                        const LC_REAL *shift =
                            bias ? bias + (f + j) * tile->bias_filter + p : bias;
                        LC_REAL *to = y + (n + i) * tile->y_row + (f + j) * tile->y_filter + p;
                        for (int64_t q = 0; q < part.positions; q++)
                            to[q] = shift ? from[q] + shift[q] : from[q];
                    }
            }
        }
    }
}

/* y[n,f,p] = sum_k x[n, x_offset[k] + p] w[w_offset[k] + f * w_filter + p] (+ bias[f,p]) */
static LC_TARGET void LC_NAME(positions)(const lc_positions *tile, const LC_REAL *x,
                                         const LC_REAL *w, const LC_REAL *bias, LC_REAL *y) {
    if (tile->taps > LC_PIECE)
        LC_NAME(positions_cut)(tile, x, w, bias, y);
    else
        LC_NAME(positions_chain)(tile, x, w, bias, y);
}

/* ---------------------------------------------------------------- the gradient of the kernel */

/* dw[w_offset[k] + f * w_filter + p] (+)= sum_n x[n, x_offset[k] + p] dy[n,f,p] for taps x filters
   vectors of sums; both are literals. */
static LC_ALWAYS_INLINE LC_TARGET void
LC_NAME(positions_gradient_block)(const int taps, const int filters, const lc_positions *tile,
                                  int64_t tap, const LC_REAL *x, const LC_REAL *dy, LC_REAL *dw) {
    LC_NAME(vector) sums[4][4];
    const LC_REAL *values[4];
    LC_UNROLL for (int k = 0; k < taps; k++) {
        values[k] = x + tile->x_offset[tap + k];
        LC_UNROLL for (int f = 0; f < filters; f++)
            sums[k][f] = (LC_NAME(vector)){0};
    }
    if (tile->accumulate)
        LC_UNROLL for (int k = 0; k < taps; k++)
            LC_UNROLL for (int f = 0; f < filters; f++)
                sums[k][f] = LC_LOAD(dw + tile->w_offset[tap + k] + f * tile->w_filter);
    for (int64_t n = 0; n < tile->rows; n++, dy += tile->y_row) {
        LC_NAME(vector) gradients[4];
        LC_UNROLL for (int f = 0; f < filters; f++)
            gradients[f] = LC_LOAD(dy + f * tile->y_filter);
        LC_UNROLL for (int k = 0; k < taps; k++) {
            const LC_NAME(vector) value = LC_LOAD(values[k] + n * tile->x_row);
            LC_UNROLL for (int f = 0; f < filters; f++)
                sums[k][f] = LC_NAME(fused_lanes)(value, gradients[f], sums[k][f]);
        }
    }
    LC_UNROLL for (int k = 0; k < taps; k++)
        LC_UNROLL for (int f = 0; f < filters; f++)
            LC_STORE(dw + tile->w_offset[tap + k] + f * tile->w_filter, sums[k][f]);
}

static LC_ALWAYS_INLINE LC_TARGET void
LC_NAME(positions_gradient_filters)(const int filters, const lc_positions *tile, const LC_REAL *x,
                                    const LC_REAL *dy, LC_REAL *dw) {
    int64_t k = 0;
    for (; k <= tile->taps - 4; k += 4)
        LC_NAME(positions_gradient_block)(4, filters, tile, k, x, dy, dw);
    if (tile->taps - k == 3)
        LC_NAME(positions_gradient_block)(3, filters, tile, k, x, dy, dw);
    else if (tile->taps - k == 2)
        LC_NAME(positions_gradient_block)(2, filters, tile, k, x, dy, dw);
    else if (tile->taps - k == 1)
        LC_NAME(positions_gradient_block)(1, filters, tile, k, x, dy, dw);
}

/* dw[w_offset[k] + f * w_filter + p] (+)= sum_n x[n, x_offset[k] + p] dy[n,f,p].  The last
   vector has a vector of dw of its own, so that nothing is added twice. */
static LC_TARGET void LC_NAME(positions_gradient)(const lc_positions *tile, const LC_REAL *x,
                                                  const LC_REAL *dy, LC_REAL *dw) {
    for (int64_t next = 0; next < tile->positions; next += LC_LANES) {
        const int64_t p = LC_REACHING_BACK(next, tile->positions, LC_LANES);
        const LC_REAL *x_here = x + p, *dy_here = dy + p;
        LC_REAL *dw_here = dw + next;
        for (int64_t left = tile->filters, some; left > 0; left -= some) {
            some = left < 4 ? left : 4;
            switch (some) {
            case 1:
                LC_NAME(positions_gradient_filters)(1, tile, x_here, dy_here, dw_here);
                break;
            case 2:
                LC_NAME(positions_gradient_filters)(2, tile, x_here, dy_here, dw_here);
                break;
            case 3:
                LC_NAME(positions_gradient_filters)(3, tile, x_here, dy_here, dw_here);
                break;
            default:
                LC_NAME(positions_gradient_filters)(4, tile, x_here, dy_here, dw_here);
            }
            dy_here += some * tile->y_filter;
            dw_here += some * tile->w_filter;
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
#undef LC_REACHING_BACK
