/* CSR products: y[n,o] = activation(sum_r data[r] x[n,index[r]] (+ bias[o])), r in row o.
   The terms of a sum are the stored numbers of its row, in their order (gradient of the matrix: the
   rows of the batch). */

enum {
    LC_NAME(sparse_rows) = LC_VECTOR_BYTES == 64 ? 8 : 4 /* x 2 vectors of sums fit the registers */
};

/* ---------------------------------------------------------------- many rows of the batch */

/* Some rows of one family, which share their columns, or one piece of them. */
typedef struct {
    int64_t taps, row_step;
    const int32_t *index; /* [taps] */
    const LC_REAL *data;  /* [rows, taps], the rows row_step apart */
    const LC_REAL *bias;  /* [rows] or NULL */
} LC_NAME(sparse_family);

/* sums[j, n] = sum_r data[j, r] panel[index[r] - first_column, n] (+ bias[j]) for rows x (vectors *
   lanes of a vector) sums held in registers. `rows` and `vectors` are literals. */
static LC_ALWAYS_INLINE LC_TARGET void
LC_NAME(sparse_block)(const int rows, const int vectors, const LC_NAME(sparse_family) *family,
                      int64_t first_column, const LC_REAL *panel, int64_t lanes, LC_REAL *held) {
    LC_NAME(vector) sums[LC_NAME(sparse_rows)][4];
    LC_UNROLL for (int j = 0; j < rows; j++)
        LC_UNROLL for (int v = 0; v < vectors; v++)
            sums[j][v] = (LC_NAME(vector)){0};
    for (int64_t r = 0; r < family->taps; r++) {
        const LC_REAL *column = panel + (family->index[r] - first_column) * lanes;
        LC_NAME(vector) values[4];
        LC_UNROLL for (int v = 0; v < vectors; v++)
            values[v] = LC_LOAD(column + v * LC_LANES);
        LC_UNROLL for (int j = 0; j < rows; j++) {
            const LC_REAL factor = family->data[j * family->row_step + r];
            LC_UNROLL for (int v = 0; v < vectors; v++)
                sums[j][v] = LC_NAME(fused)(factor, values[v], sums[j][v]);
        }
    }
    if (family->bias)
        LC_UNROLL for (int j = 0; j < rows; j++)
            LC_UNROLL for (int v = 0; v < vectors; v++)
                sums[j][v] += family->bias[j];
    LC_UNROLL for (int j = 0; j < rows; j++)
        LC_UNROLL for (int v = 0; v < vectors; v++)
            LC_STORE(held + j * lanes + v * LC_LANES, sums[j][v]);
}

/* The same for all lanes of a panel, `vectors` vectors at a time and the rest one at a time. */
static LC_ALWAYS_INLINE LC_TARGET void
LC_NAME(sparse_lanes)(const int rows, const int vectors, const LC_NAME(sparse_family) *family,
                      int64_t first_column, const LC_REAL *panel, int64_t lanes, LC_REAL *held) {
    int64_t lane = 0;
    for (; lane <= lanes - vectors * LC_LANES; lane += vectors * LC_LANES)
        LC_NAME(sparse_block)(rows, vectors, family, first_column, panel + lane, lanes, held + lane);
    for (; lane < lanes; lane += LC_LANES)
        LC_NAME(sparse_block)(rows, 1, family, first_column, panel + lane, lanes, held + lane);
}

/* The same for as many of `left` rows as one block takes; returns how many. */
static LC_TARGET int LC_NAME(sparse_some)(int64_t left, const LC_NAME(sparse_family) *family,
                                          int64_t first_column, const LC_REAL *panel,
                                          int64_t lanes, LC_REAL *held) {
    if (LC_NAME(sparse_rows) == 8 && left >= 8) {
        LC_NAME(sparse_lanes)(LC_NAME(sparse_rows), 2, family, first_column, panel, lanes, held);
        return 8;
    }
    if (left >= 4) {
        LC_NAME(sparse_lanes)(4, 2, family, first_column, panel, lanes, held);
        return 4;
    }
    if (left >= 2) {
        LC_NAME(sparse_lanes)(2, 2, family, first_column, panel, lanes, held);
        return 2;
    }
    LC_NAME(sparse_lanes)(1, 4, family, first_column, panel, lanes, held);
    return 1;
}

/* The same for any number of taps. */
static LC_TARGET int LC_NAME(sparse_pieces)(int64_t left, const LC_NAME(sparse_family) *family,
                                            int64_t first_column, const LC_REAL *panel,
                                            int64_t lanes, LC_REAL *held) {
    enum { MOST = LC_NAME(sparse_rows) * LC_SPARSE_LANES };
    LC_REAL totals[LC_TOTALS * MOST];
    int rows = 0;
    if (family->taps <= LC_PIECE)
        return LC_NAME(sparse_some)(left, family, first_column, panel, lanes, held);
    LC_NAME(sparse_family) piece = *family;
    piece.bias = NULL;
    for (int64_t r = 0; r < family->taps; r += LC_PIECE) {
        const int last = family->taps - r <= LC_PIECE;
        piece.taps = last ? family->taps - r : LC_PIECE;
        piece.index = family->index + r;
        piece.data = family->data + r;
        rows = LC_NAME(sparse_some)(left, &piece, first_column, panel, lanes, held);
        LC_NAME(add_piece)(r + piece.taps, last, rows * lanes, MOST, held, totals);
    }
    if (family->bias)
        for (int64_t j = 0; j < rows; j++)
            for (int64_t n = 0; n < lanes; n++)
                held[j * lanes + n] += family->bias[j];
    return rows;
}

/* y[n, o] = activation(sum_r data[r] x[n, index[r]] (+ bias[o])), r in row o, for families
   first..last of the matrix and at most LC_SPARSE_LANES rows n.  The families' columns are
   first_column..first_column + columns - 1; the panel holds LC_SPARSE_LANES numbers for each of
   them and for each of LC_SPARSE_HELD rows of results, which are written together. */
static LC_TARGET void LC_NAME(sparse_panel)(const lc_csr *matrix, int64_t first, int64_t last,
                                            int64_t first_column, int64_t columns,
                                            const LC_REAL *data, const LC_REAL *bias,
                                            int64_t batch, const LC_REAL *x, LC_REAL *panel,
                                            LC_REAL *y) {
    const int64_t lanes = (batch + LC_LANES - 1) / LC_LANES * LC_LANES;
    LC_REAL *held = panel + columns * lanes;
    int64_t held_from = matrix->family[first];
    LC_NAME(to_panel)(batch, lanes, columns, x + first_column, matrix->columns, panel);
    for (int64_t f = first; f < last; f++) {
        const int64_t end = matrix->family[f + 1];
        int64_t o = matrix->family[f];
        const int64_t from = matrix->start[o];
        LC_NAME(sparse_family)
        family = {matrix->start[o + 1] - from, matrix->start[o + 1] - from, matrix->index + from,
                  data + from, bias};
        while (o < end) {
            const int64_t room = held_from + LC_SPARSE_HELD - o;
            family.data = data + from + (o - matrix->family[f]) * family.taps;
            family.bias = bias ? bias + o : bias;
            o += LC_NAME(sparse_pieces)(end - o < room ? end - o : room, &family, first_column,
                                        panel, lanes, held + (o - held_from) * lanes);
            if (o == held_from + LC_SPARSE_HELD || (o == end && f + 1 == last)) {
                LC_NAME(activate)(matrix->activation, (LC_REAL)matrix->alpha,
                                  (o - held_from) * lanes, held);
                LC_NAME(from_panel)(batch, lanes, o - held_from, held, y + held_from,
                                      matrix->rows);
                held_from = o;
            }
        }
    }
}

/* ---------------------------------------------------------------- one row of the batch */

/* sum_r data[j, r] x[index[r]], first <= r < end, for a vector of rows j of one family, whose numbers
   are transposed a square at a time.  `first` is whole vectors; so is the end of all but the last
   piece. */
static LC_ALWAYS_INLINE LC_TARGET LC_NAME(vector)
LC_NAME(sparse_squares_piece)(const LC_NAME(sparse_family) *family, int64_t first, int64_t end,
                              const LC_REAL *x) {
    const int64_t taps = family->taps;
    LC_NAME(vector) sum = {0}, square[LC_LANES];
    int64_t r = first;
    for (; r <= end - LC_LANES; r += LC_LANES) {
        LC_UNROLL for (int j = 0; j < LC_LANES; j++)
            square[j] = LC_LOAD(family->data + j * taps + r);
        LC_NAME(transpose)(square);
        LC_UNROLL for (int t = 0; t < LC_LANES; t++)
            sum = LC_NAME(fused)(x[family->index[r + t]], square[t], sum);
    }
    if (r < end) {
        LC_REAL rest[LC_LANES * LC_LANES];
        const int64_t from = taps >= LC_LANES ? taps - LC_LANES : 0; /* no load past the row */
        LC_NAME(transpose_square)(LC_LANES, LC_LANES, family->data + from, taps, rest, LC_LANES);
        for (; r < end; r++)
            sum = LC_NAME(fused)(x[family->index[r]], LC_LOAD(rest + (r - from) * LC_LANES), sum);
    }
    return sum;
}

/* The same for all taps, more than a piece. */
static __attribute__((noinline)) LC_TARGET LC_NAME(vector)
LC_NAME(sparse_squares_cut)(const LC_NAME(sparse_family) *family, const LC_REAL *x) {
    const int64_t taps = family->taps;
    LC_NAME(vector) sum = {0}, totals[LC_TOTALS];
    for (int64_t first = 0, end; first < taps; first = end) {
        end = taps - first < LC_PIECE ? taps : first + LC_PIECE;
        sum = LC_NAME(sparse_squares_piece)(family, first, end, x);
        LC_NAME(add_piece)(end, end == taps, LC_LANES, LC_LANES, (LC_REAL *)&sum,
                           (LC_REAL *)totals);
    }
    return sum;
}

/* y[j] = sum_r data[j, r] x[index[r]] (+ bias[j]) for at most a vector of rows of one family.
   Reads as many rows as a vector has lanes, and a whole vector from the start of each. */
static __attribute__((noinline)) LC_TARGET void LC_NAME(sparse_squares)(int64_t rows, const LC_NAME(sparse_family) *family,
                                              const LC_REAL *x, LC_REAL *y) {
    LC_NAME(vector) sum;
    if (family->taps <= LC_PIECE)
        sum = LC_NAME(sparse_squares_piece)(family, 0, family->taps, x);
    else
        sum = LC_NAME(sparse_squares_cut)(family, x);
    if (rows == LC_LANES) {
        LC_STORE(y, family->bias ? sum + LC_LOAD(family->bias) : sum);
    } else {
        LC_REAL sums[LC_LANES];
        LC_STORE(sums, sum);
        for (int64_t j = 0; j < rows; j++)
            y[j] = family->bias ? sums[j] + family->bias[j] : sums[j];
    }
}

/* sum + sum_t data[j, t] x[index[j, t]], t < taps <= most, for a vector of rows j whose columns are
   contiguous: the inputs are transposed like the numbers, unless each row starts one after the row
   before it (`sliding`).  `most` and `sliding` are literals. */
static LC_ALWAYS_INLINE LC_TARGET LC_NAME(vector)
LC_NAME(sparse_contiguous_step)(const int most, const int sliding, int64_t taps, int64_t row_step,
                             const int32_t *index, const LC_REAL *data, const LC_REAL *x,
                             LC_NAME(vector) sum) {
    LC_NAME(vector) numbers[LC_LANES], windows[LC_LANES];
    LC_UNROLL for (int j = 0; j < LC_LANES; j++)
        numbers[j] = LC_LOAD(data + j * row_step);
    LC_NAME(transpose)(numbers);
    LC_UNROLL for (int j = 0; j < LC_LANES; j++)
        windows[j] = LC_LOAD(x + (sliding ? index[0] + j : index[j * row_step]));
    if (!sliding)
        LC_NAME(transpose)(windows);
    LC_UNROLL for (int t = 0; t < most; t++)
        if (t < taps)
            sum = LC_NAME(fused_lanes)(numbers[t], windows[t], sum);
    return sum;
}

/* sum_t data[j, t] x[index[j, t]], first <= t < end, for such rows; `sliding` is a literal. */
static LC_ALWAYS_INLINE LC_TARGET LC_NAME(vector)
LC_NAME(sparse_contiguous_piece)(const int sliding, int64_t first, int64_t end, int64_t taps,
                                 const int32_t *index, const LC_REAL *data, const LC_REAL *x) {
    LC_NAME(vector) sum = {0};
    for (int64_t r = first; r < end; r += LC_LANES) {
        const int64_t left = end - r;
        if (LC_LANES > 4 && left <= 4)
            sum = LC_NAME(sparse_contiguous_step)(LC_LANES > 4 ? 4 : LC_LANES, sliding, left, taps,
                                               index + r, data + r, x, sum);
        else
            sum = LC_NAME(sparse_contiguous_step)(LC_LANES, sliding, left, taps, index + r, data + r, x,
                                               sum);
    }
    return sum;
}

/* The same for all taps, more than a piece. */
static __attribute__((noinline)) LC_TARGET LC_NAME(vector)
LC_NAME(sparse_contiguous_cut)(int sliding, int64_t taps, const int32_t *index,
                               const LC_REAL *data, const LC_REAL *x) {
    LC_NAME(vector) sum = {0}, totals[LC_TOTALS];
    for (int64_t first = 0, end; first < taps; first = end) {
        end = taps - first < LC_PIECE ? taps : first + LC_PIECE;
        if (sliding)
            sum = LC_NAME(sparse_contiguous_piece)(1, first, end, taps, index, data, x);
        else
            sum = LC_NAME(sparse_contiguous_piece)(0, first, end, taps, index, data, x);
        LC_NAME(add_piece)(end, end == taps, LC_LANES, LC_LANES, (LC_REAL *)&sum,
                           (LC_REAL *)totals);
    }
    return sum;
}

/* Like sparse_squares, for a vector of rows of any families with `taps` contiguous columns each.
   `sliding` is a literal. */
static LC_ALWAYS_INLINE LC_TARGET void
LC_NAME(sparse_contiguous)(const int sliding, int64_t taps, const int32_t *index, const LC_REAL *data,
                           const LC_REAL *bias, const LC_REAL *x, LC_REAL *y) {
    LC_NAME(vector) sum;
    if (taps <= LC_PIECE)
        sum = LC_NAME(sparse_contiguous_piece)(sliding, 0, taps, taps, index, data, x);
    else
        sum = LC_NAME(sparse_contiguous_cut)(sliding, taps, index, data, x);
    LC_STORE(y, bias ? sum + LC_LOAD(bias) : sum);
}

/* y = sum_r data[r] x[index[r]] (+ bias), for one row */
static __attribute__((noinline)) LC_TARGET void LC_NAME(sparse_row)(int64_t taps, const int32_t *index, const LC_REAL *data,
                                          const LC_REAL *bias, const LC_REAL *x, LC_REAL *y) {
    LC_REAL totals[LC_TOTALS], sum = 0;
    for (int64_t first = 0; first < taps; first += LC_PIECE) {
        const int last = taps - first <= LC_PIECE;
        const int64_t end = last ? taps : first + LC_PIECE;
        LC_REAL chain = 0;
        for (int64_t r = first; r < end; r++)
            chain = LC_FMA(data[r], x[index[r]], chain);
        sum = chain;
        if (taps > LC_PIECE)
            LC_NAME(add_piece)(end, last, 1, 1, &sum, totals);
    }
    *y = bias ? sum + *bias : sum;
}

enum { LC_NAME(not_contiguous), LC_NAME(contiguous_columns), LC_NAME(sliding_columns) };

/* Whether a vector of rows has `taps` contiguous columns each, and vector loads from each of the
   last taps stay in the input. */
static LC_TARGET int LC_NAME(windows)(int64_t taps, const int64_t *start, const int32_t *index,
                                      int64_t columns) {
    int64_t others = 0, gaps = 0, slides = 0;
    if (taps == 0 || start[LC_LANES] - start[0] != LC_LANES * taps)
        return LC_NAME(not_contiguous);
    index += start[0];
    const int64_t first = index[0];
    for (int j = 0; j < LC_LANES; j++, index += taps) {
        others |= start[j] - start[0] - j * taps;
        gaps |= index[taps - 1] - index[0] - (taps - 1);
        gaps |= index[0] + taps + LC_LANES > columns;
        slides |= index[0] - first - j;
    }
    return others | gaps ? LC_NAME(not_contiguous) : slides ? LC_NAME(contiguous_columns)
                                                        : LC_NAME(sliding_columns);
}

/* y[o] = activation(sum_r data[r] x[index[r]] (+ bias[o])), r in row o, for families first..last */
static LC_TARGET void LC_NAME(sparse_vector)(const lc_csr *matrix, int64_t first, int64_t last,
                                             const LC_REAL *data, const LC_REAL *bias,
                                             const LC_REAL *x, LC_REAL *y) {
    const int64_t *start = matrix->start, *family = matrix->family + first;
    const int32_t *index = matrix->index;
    const int64_t begin = *family, end = matrix->family[last];
    for (int64_t o = begin, next; o < end; o = next) {
        const int64_t from = start[o], taps = start[o + 1] - from;
        while (family[1] <= o)
            family++;
        next = end - o < LC_LANES ? end : o + LC_LANES;
        if (next - o == LC_LANES && from + LC_LANES * (taps + 1) <= start[matrix->rows]) {
            const LC_REAL *bias_here = bias ? bias + o : bias;
            if (family[1] - o > LC_LANES / 2) {
                const LC_NAME(sparse_family) rows = {taps, taps, index + from, data + from, bias_here};
                next = family[1] < next ? family[1] : next;
                LC_NAME(sparse_squares)(next - o, &rows, x, y + o);
                continue;
            }
            switch (LC_NAME(windows)(taps, start + o, index, matrix->columns)) {
            case LC_NAME(sliding_columns):
                LC_NAME(sparse_contiguous)(1, taps, index + from, data + from, bias_here, x, y + o);
                continue;
            case LC_NAME(contiguous_columns):
                LC_NAME(sparse_contiguous)(0, taps, index + from, data + from, bias_here, x, y + o);
                continue;
            }
        }
        for (int64_t row = o; row < next; row++)
            LC_NAME(sparse_row)(start[row + 1] - start[row], index + start[row], data + start[row],
                                bias ? bias + row : bias, x, y + row);
    }
    LC_NAME(activate)(matrix->activation, (LC_REAL)matrix->alpha, end - begin, y + begin);
}

/* ---------------------------------------------------------------- the gradient of the matrix */

/* ddata[j, t] (+)= sum_n dy[n, j] window[n, t], t < taps <= vectors * lanes of a vector, for `rows`
   rows j of one family.  `rows` and `vectors` are literals. */
static LC_ALWAYS_INLINE LC_TARGET void
LC_NAME(sparse_gradient_block)(const int rows, const int vectors, int64_t batch, int accumulate,
                               const LC_REAL *window, int64_t window_step, const LC_REAL *dy,
                               int64_t dy_step, int64_t taps, LC_REAL *ddata, int64_t ddata_step) {
    LC_NAME(vector) sums[LC_NAME(sparse_rows)][2];
    LC_REAL part[2 * LC_LANES] = {0};
    LC_UNROLL for (int j = 0; j < rows; j++) {
        if (accumulate)
            for (int64_t t = 0; t < taps; t++)
                part[t] = ddata[j * ddata_step + t];
        LC_UNROLL for (int v = 0; v < vectors; v++)
            sums[j][v] = LC_LOAD(part + v * LC_LANES);
    }
    for (int64_t n = 0; n < batch; n++, window += window_step, dy += dy_step) {
        LC_NAME(vector) values[2];
        LC_UNROLL for (int v = 0; v < vectors; v++)
            values[v] = LC_LOAD(window + v * LC_LANES);
        LC_UNROLL for (int j = 0; j < rows; j++)
            LC_UNROLL for (int v = 0; v < vectors; v++)
                sums[j][v] = LC_NAME(fused)(dy[j], values[v], sums[j][v]);
    }
    LC_UNROLL for (int j = 0; j < rows; j++) {
        if (taps == vectors * LC_LANES) {
            LC_UNROLL for (int v = 0; v < vectors; v++)
                LC_STORE(ddata + j * ddata_step + v * LC_LANES, sums[j][v]);
        } else {
            LC_UNROLL for (int v = 0; v < vectors; v++)
                LC_STORE(part + v * LC_LANES, sums[j][v]);
            for (int64_t t = 0; t < taps; t++)
                ddata[j * ddata_step + t] = part[t];
        }
    }
}

/* The same for all `left` rows of a family. */
static LC_ALWAYS_INLINE LC_TARGET void
LC_NAME(sparse_gradient_rows)(int64_t left, const int vectors, int64_t batch, int accumulate,
                              const LC_REAL *window, int64_t window_step, const LC_REAL *dy,
                              int64_t dy_step, int64_t taps, LC_REAL *ddata, int64_t ddata_step) {
    const int most = LC_NAME(sparse_rows);
    for (; left >= most; left -= most, dy += most, ddata += most * ddata_step)
        LC_NAME(sparse_gradient_block)(LC_NAME(sparse_rows), vectors, batch, accumulate, window,
                                       window_step, dy, dy_step, taps, ddata, ddata_step);
    for (; left >= 2; left -= 2, dy += 2, ddata += 2 * ddata_step)
        LC_NAME(sparse_gradient_block)(2, vectors, batch, accumulate, window, window_step, dy,
                                       dy_step, taps, ddata, ddata_step);
    if (left)
        LC_NAME(sparse_gradient_block)(1, vectors, batch, accumulate, window, window_step, dy,
                                       dy_step, taps, ddata, ddata_step);
}

/* ddata[r] (+)= sum_n dy[n, o] x[n, index[r]], r in row o, for families first..last of the matrix
   and at most LC_SPARSE_LANES rows n */
static LC_TARGET void LC_NAME(sparse_gradient)(const lc_csr *matrix, int64_t first, int64_t last,
                                               int64_t batch, int accumulate, const LC_REAL *x,
                                               const LC_REAL *dy, LC_REAL *ddata) {
    LC_REAL packed[LC_SPARSE_LANES * 2 * LC_LANES];
    for (int64_t f = first; f < last; f++) {
        const int64_t o = matrix->family[f], rows = matrix->family[f + 1] - o;
        const int64_t from = matrix->start[o], taps = matrix->start[o + 1] - from;
        for (int64_t t = 0, count; t < taps; t += count) {
            const int32_t *index = matrix->index + from + t;
            const int vectors = taps - t > LC_LANES ? 2 : 1;
            const int64_t width = (int64_t)vectors * LC_LANES;
            count = taps - t < width ? taps - t : width;
            const LC_REAL *window = x + index[0];
            int64_t step = matrix->columns;
            if (index[count - 1] - index[0] != count - 1 || index[0] + width > step) {
                for (int64_t n = 0; n < batch; n++)
                    for (int64_t i = 0; i < width; i++)
                        packed[n * width + i] = i < count ? x[n * step + index[i]] : 0;
                window = packed;
                step = width;
            }
            if (vectors == 2)
                LC_NAME(sparse_gradient_rows)(rows, 2, batch, accumulate, window, step, dy + o,
                                              matrix->rows, count, ddata + from + t, taps);
            else
                LC_NAME(sparse_gradient_rows)(rows, 1, batch, accumulate, window, step, dy + o,
                                              matrix->rows, count, ddata + from + t, taps);
        }
    }
}
