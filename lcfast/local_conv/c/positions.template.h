/* Position groups: y[n,f,p] = sum_k x[n,k,p] w[k,f,p] (+ bias[f,p]), vectors along output positions
   p, for few filters with weights of their own for each position.

   The terms of a sum are numbered by k (the gradient of the kernel: by n).  The last vector overlaps
   the one before it, so that nothing past the last position is read or written. */

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

#undef LC_REACHING_BACK
