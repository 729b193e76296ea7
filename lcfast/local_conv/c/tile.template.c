/* The arithmetic of one tile, once for every real type and instruction set.
   kernels.c defines LC_REAL, LC_NAME, LC_TARGET, LC_FMA and LC_VECTOR_BYTES. */

#define LC_LANES ((int)(LC_VECTOR_BYTES / sizeof(LC_REAL)))
#define LC_UNROLL _Pragma("GCC unroll 16")
enum {
    LC_NAME(block_rows) = 6,    /* 6 rows x 2 vectors of sums, 2 of b, 1 of a: fits 16 registers */
    LC_NAME(block_vectors) = 4, /* of a single row, whose sums are the only way to hide latency */
    LC_NAME(packed_steps) = 256 /* rows of b that are padded at a time for a narrow last block */
};

typedef LC_REAL LC_NAME(vector) __attribute__((vector_size(LC_VECTOR_BYTES)));
/* The same, wherever a caller's array may start. */
typedef LC_REAL LC_NAME(loose)
    __attribute__((vector_size(LC_VECTOR_BYTES), aligned(sizeof(LC_REAL)), may_alias));

/* c[i,j] (+)= sum_r a[i,r] b[r,j] for rows x (vectors * lanes) sums held in registers; the first
   `columns` of them are stored. `rows` and `vectors` are literals where this is called. */
static LC_ALWAYS_INLINE LC_TARGET void
LC_NAME(block)(const int rows, const int vectors, const lc_tile *tile, const LC_REAL *a,
               const LC_REAL *b, const LC_REAL *bias, LC_REAL *c, const int64_t columns) {
    LC_NAME(vector) sums[LC_NAME(block_rows)][LC_NAME(block_vectors)];
    const int whole = tile->c_column_step == 1 && columns == (int64_t)vectors * LC_LANES;

    LC_UNROLL for (int i = 0; i < rows; i++) {
        LC_UNROLL for (int v = 0; v < vectors; v++) {
            if (!tile->accumulate) {
                sums[i][v] = (LC_NAME(vector)){0};
            } else if (whole) {
                sums[i][v] = *(const LC_NAME(loose) *)(c + i * tile->c_row_step + v * LC_LANES);
            } else {
                LC_NAME(vector) row = {0};
                for (int lane = 0; lane < LC_LANES && v * LC_LANES + lane < columns; lane++)
                    row[lane] = c[i * tile->c_row_step + (v * LC_LANES + lane) * tile->c_column_step];
                sums[i][v] = row;
            }
        }
    }

    for (int64_t run = 0; run < tile->runs; run++) {
        const LC_REAL *x = a + tile->run_offset[run];
        for (int64_t step = 0; step < tile->run_length; step++) {
            LC_NAME(vector) w[LC_NAME(block_vectors)];
            LC_UNROLL for (int v = 0; v < vectors; v++)
                w[v] = *(const LC_NAME(loose) *)(b + v * LC_LANES);
            LC_UNROLL for (int i = 0; i < rows; i++) {
                const LC_REAL factor = x[i * tile->a_row_step];
                LC_UNROLL for (int v = 0; v < vectors; v++) {
                    LC_NAME(vector) sum = sums[i][v];
                    for (int lane = 0; lane < LC_LANES; lane++)
                        sum[lane] = LC_FMA(factor, w[v][lane], sum[lane]);
                    sums[i][v] = sum;
                }
            }
            x += tile->a_step;
            b += tile->b_row_step;
        }
    }

    LC_UNROLL for (int i = 0; i < rows; i++) {
        LC_UNROLL for (int v = 0; v < vectors; v++) {
            LC_NAME(vector) sum = sums[i][v];
            if (whole) {
                if (bias)
                    sum += *(const LC_NAME(loose) *)(bias + v * LC_LANES);
                *(LC_NAME(loose) *)(c + i * tile->c_row_step + v * LC_LANES) = sum;
            } else {
                for (int lane = 0; lane < LC_LANES && v * LC_LANES + lane < columns; lane++) {
                    const int64_t j = (v * LC_LANES + lane) * tile->c_column_step;
                    c[i * tile->c_row_step + j] = bias ? sum[lane] + bias[j] : sum[lane];
                }
            }
        }
    }
}

/* All rows of a panel of at most two vectors of columns. */
static LC_TARGET void LC_NAME(panel)(const lc_tile *tile, const LC_REAL *a, const LC_REAL *b,
                                     const LC_REAL *bias, LC_REAL *c, int64_t columns) {
    const int64_t step = LC_NAME(block_rows);
    int64_t rows = tile->rows;
    for (; rows >= step; rows -= step, a += step * tile->a_row_step, c += step * tile->c_row_step) {
        if (columns > LC_LANES)
            LC_NAME(block)(LC_NAME(block_rows), 2, tile, a, b, bias, c, columns);
        else
            LC_NAME(block)(LC_NAME(block_rows), 1, tile, a, b, bias, c, columns);
    }
    for (; rows >= 2; rows -= 2, a += 2 * tile->a_row_step, c += 2 * tile->c_row_step) {
        if (columns > LC_LANES)
            LC_NAME(block)(2, 2, tile, a, b, bias, c, columns);
        else
            LC_NAME(block)(2, 1, tile, a, b, bias, c, columns);
    }
    if (rows) {
        if (columns > LC_LANES)
            LC_NAME(block)(1, 2, tile, a, b, bias, c, columns);
        else
            LC_NAME(block)(1, 1, tile, a, b, bias, c, columns);
    }
}

/* packed[r, :] = b[r, :columns], then zeros up to a whole vector: no load leaves the array. */
static LC_TARGET void LC_NAME(pack)(LC_REAL *packed, const LC_REAL *b, int64_t b_row_step,
                                    int64_t steps, int64_t columns) {
    for (int64_t r = 0; r < steps; r++, b += b_row_step, packed += LC_LANES)
        for (int lane = 0; lane < LC_LANES; lane++)
            packed[lane] = lane < columns ? b[lane] : 0;
}

/* The last columns, fewer than one vector.  A long reduction is cut into pieces; each piece goes
   on from the sums that the one before it stored, so that the chain stays one chain. */
static LC_TARGET void LC_NAME(narrow)(const lc_tile *tile, const LC_REAL *a, const LC_REAL *b,
                                      const LC_REAL *bias, LC_REAL *c, int64_t columns) {
    LC_REAL packed[LC_NAME(packed_steps) * (LC_VECTOR_BYTES / sizeof(LC_REAL))];
    lc_tile part = *tile;
    part.b_row_step = LC_LANES;
    if (tile->runs * tile->run_length <= LC_NAME(packed_steps)) {
        LC_NAME(pack)(packed, b, tile->b_row_step, tile->runs * tile->run_length, columns);
        LC_NAME(panel)(&part, a, packed, bias, c, columns);
        return;
    }
    part.runs = 1;
    for (int64_t run = 0; run < tile->runs; run++) {
        for (int64_t first = 0; first < tile->run_length; first += part.run_length) {
            const int64_t left = tile->run_length - first;
            const int64_t offset = tile->run_offset[run] + first * tile->a_step;
            const int last = run + 1 == tile->runs && left <= LC_NAME(packed_steps);
            part.run_offset = &offset;
            part.run_length = left < LC_NAME(packed_steps) ? left : LC_NAME(packed_steps);
            LC_NAME(pack)(packed, b, tile->b_row_step, part.run_length, columns);
            LC_NAME(panel)(&part, a, packed, last ? bias : NULL, c, columns);
            b += part.run_length * tile->b_row_step;
            part.accumulate = 1;
        }
    }
}

/* c[i,j] (+)= sum_r a[i,r] b[r,j] (+ bias[j]): the whole tile, panel by panel. */
static LC_TARGET void LC_NAME(product)(const lc_tile *tile, const LC_REAL *a, const LC_REAL *b,
                                       const LC_REAL *bias, LC_REAL *c) {
    const int64_t wide = (int64_t)LC_NAME(block_vectors) * LC_LANES;
    int64_t left = tile->columns;
    while (left > 0) {
        int64_t columns = left < LC_LANES ? left : left < 2 * LC_LANES ? LC_LANES : 2 * LC_LANES;
        if (tile->rows == 1 && left >= wide) {
            columns = wide;
            LC_NAME(block)(1, LC_NAME(block_vectors), tile, a, b, bias, c, columns);
        } else if (columns >= LC_LANES) {
            LC_NAME(panel)(tile, a, b, bias, c, columns);
        } else {
            LC_NAME(narrow)(tile, a, b, bias, c, columns);
        }
        left -= columns;
        b += columns;
        c += columns * tile->c_column_step;
        if (bias)
            bias += columns * tile->c_column_step;
    }
}

#undef LC_LANES
#undef LC_UNROLL
