/* Tile products in which each row has its own b: one row of the batch, whose positions are the rows
   of the tile.  The blocks are those of tile.template.h, with another b. */

/* c[i,j] = sum_r a[i,r] b[i,r,j] (+ bias[i,j]): each row has its own b, which is read once;
   computing several rows at a time hides the latency of memory. */
static LC_ALWAYS_INLINE LC_TARGET void
LC_NAME(lone_block)(const int rows, const int vectors, const int accumulate, const lc_tile *tile,
                    const LC_REAL *a, const LC_REAL *b, const LC_REAL *bias, LC_REAL *c,
                    const int64_t c_row_step, const int64_t columns) {
    LC_NAME(vector) sums[LC_LONE_ROWS][LC_MOST_VECTORS];
    const int64_t a_row_step = tile->a_row_step, b_apart = tile->b_apart;
    const int64_t a_step = tile->a_step, b_row_step = tile->b_row_step;
    /* The b of several rows are contiguous if small. */
    const uintptr_t ahead = (uintptr_t)b_apart * sizeof(LC_REAL) < LC_LONE_AHEAD
                                ? LC_LONE_ROWS * LC_LONE_AHEAD
                                : LC_LONE_AHEAD;
    LC_UNROLL for (int i = 0; i < rows; i++)
        LC_UNROLL for (int v = 0; v < vectors; v++)
            sums[i][v] = (LC_NAME(vector)){0};
    if (accumulate)
        LC_UNROLL for (int i = 0; i < rows; i++)
            LC_UNROLL for (int v = 0; v < vectors; v++)
                sums[i][v] = LC_LOAD(c + i * c_row_step + v * LC_LANES);
    for (int64_t run = 0; run < tile->runs; run++) {
        const LC_REAL *x = a + tile->a_run_offset[run], *y = b + tile->b_run_offset[run];
        for (const LC_REAL *end = y + tile->run_length * b_row_step; y != end; y += b_row_step) {
            LC_UNROLL for (int i = 0; i < rows; i++) {
                const LC_REAL factor = x[i * a_row_step];
                __builtin_prefetch((const void *)((uintptr_t)(y + i * b_apart) + ahead), 0, 3);
                LC_UNROLL for (int v = 0; v < vectors; v++)
                    sums[i][v] = LC_NAME(fused)(factor, LC_LOAD(y + i * b_apart + v * LC_LANES),
                                                sums[i][v]);
            }
            x += a_step;
        }
    }
    const int whole = columns == (int64_t)vectors * LC_LANES;
    const int64_t in_last = columns - (vectors - 1) * LC_LANES;
    LC_UNROLL for (int i = 0; i < rows; i++) {
        LC_REAL *to = c + i * c_row_step;
        if (bias) {
            const LC_REAL *shift = bias + i * c_row_step;
            LC_UNROLL for (int v = 0; v < vectors; v++) {
                if (v < vectors - 1 || whole)
                    sums[i][v] += LC_LOAD(shift + v * LC_LANES);
                else
                    sums[i][v] += LC_NAME(load_first)(in_last, shift + v * LC_LANES);
            }
        }
        LC_UNROLL for (int v = 0; v < vectors - 1; v++)
            LC_STORE(to + v * LC_LANES, sums[i][v]);
        if (whole)
            LC_STORE(to + (vectors - 1) * LC_LANES, sums[i][vectors - 1]);
        else
            LC_NAME(store_first)(in_last, sums[i][vectors - 1], to + (vectors - 1) * LC_LANES);
    }
}

/* The second function of each size is for a piece of a sum: it may continue chains from c. */
#define LC_LONE(rows, vectors)                                                                     \
    static LC_TARGET void LC_NAME(lone_##rows##_##vectors)(                                        \
        const lc_tile *tile, const LC_REAL *a, const LC_REAL *b, const LC_REAL *bias, LC_REAL *c,  \
        int64_t c_row_step, int64_t columns) {                                                     \
        LC_NAME(lone_block)(rows, vectors, 0, tile, a, b, bias, c, c_row_step, columns);           \
    }                                                                                              \
    static LC_TARGET void LC_NAME(lone_piece_##rows##_##vectors)(                                  \
        const lc_tile *tile, const LC_REAL *a, const LC_REAL *b, const LC_REAL *bias, LC_REAL *c,  \
        int64_t c_row_step, int64_t columns) {                                                     \
        LC_NAME(lone_block)(rows, vectors, tile->accumulate, tile, a, b, bias, c, c_row_step,      \
                            columns);                                                              \
    }
LC_LONE(1, 1) LC_LONE(2, 1) LC_LONE(3, 1) LC_LONE(4, 1)
LC_LONE(1, 2) LC_LONE(2, 2) LC_LONE(3, 2) LC_LONE(4, 2)
LC_LONE(1, 3) LC_LONE(2, 3) LC_LONE(1, 4) LC_LONE(2, 4)
static const LC_NAME(block_function) LC_NAME(lone_blocks)[2][LC_MOST_VECTORS][LC_LONE_ROWS] = {
    {{LC_NAME(lone_1_1), LC_NAME(lone_2_1), LC_NAME(lone_3_1), LC_NAME(lone_4_1)},
     {LC_NAME(lone_1_2), LC_NAME(lone_2_2), LC_NAME(lone_3_2), LC_NAME(lone_4_2)},
     {LC_NAME(lone_1_3), LC_NAME(lone_2_3), NULL, NULL},
     {LC_NAME(lone_1_4), LC_NAME(lone_2_4), NULL, NULL}},
    {{LC_NAME(lone_piece_1_1), LC_NAME(lone_piece_2_1), LC_NAME(lone_piece_3_1),
      LC_NAME(lone_piece_4_1)},
     {LC_NAME(lone_piece_1_2), LC_NAME(lone_piece_2_2), LC_NAME(lone_piece_3_2),
      LC_NAME(lone_piece_4_2)},
     {LC_NAME(lone_piece_1_3), LC_NAME(lone_piece_2_3), NULL, NULL},
     {LC_NAME(lone_piece_1_4), LC_NAME(lone_piece_2_4), NULL, NULL}}};

/* One row of the batch: the rows of the tile are positions, each with its own b and bias.  The last
   vector load of a row of b may over-read, so the caller makes sure that it stays in memory. */
static LC_TARGET void LC_NAME(lone)(const lc_tile *tile, const LC_REAL *a, const LC_REAL *b,
                                    const LC_REAL *bias, LC_REAL *c) {
    const int cut = tile->runs * tile->run_length > LC_PIECE;
    const int direct = tile->c_column_step == 1 && !cut;
    LC_NAME(vector) part[LC_LONE_ROWS * LC_MOST_VECTORS];
    for (int64_t rows = tile->rows, height; rows > 0; rows -= height) {
        int64_t vectors = tile->columns / LC_LANES, columns, done = 0;
        const int most = vectors > 2 ? 2 : LC_LONE_ROWS;
        height = rows < most ? rows : most;
        for (int64_t left = tile->columns; left > 0; left -= columns, done += columns) {
            int64_t width = vectors > LC_MOST_VECTORS ? LC_MOST_VECTORS : vectors;
            columns = width ? width * LC_LANES : left;
            vectors -= width;
            width = width ? width : 1;
            const LC_REAL *bias_here = bias ? bias + done * tile->c_column_step : NULL;
            LC_REAL *to = c + done * tile->c_column_step;
            const LC_NAME(block_function) block = LC_NAME(lone_blocks)[cut][width - 1][height - 1];
            if (direct) {
                block(tile, a, b + done, bias_here, to, tile->c_row_step, columns);
                continue;
            }
            if (cut)
                LC_NAME(cut_block)(block, height, width * LC_LANES, tile, a, b + done,
                                   (LC_REAL *)part);
            else
                block(tile, a, b + done, NULL, (LC_REAL *)part, width * LC_LANES,
                      width * LC_LANES);
            for (int64_t i = 0; i < height; i++)
                LC_NAME(store_part)(1, width * LC_LANES, columns, tile,
                                    bias ? bias_here + i * tile->c_row_step : NULL,
                                    (LC_REAL *)(part + i * width), to + i * tile->c_row_step);
        }
        a += height * tile->a_row_step;
        b += height * tile->b_apart;
        c += height * tile->c_row_step;
        if (bias)
            bias += height * tile->c_row_step;
    }
}

#undef LC_LONE
