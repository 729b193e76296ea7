/* Tile products: c[i,j] (+)= sum_r a[i,r] b[r,j] (+ bias).  kernels.template.h defines LC_REAL,
   LC_NAME, LC_TARGET, LC_FMA, LC_LANES, LC_REGISTERS and so on. */

enum {
    LC_NAME(packed_steps) = 128, /* rows of b padded at a time for a narrow last block */
    LC_NAME(narrow_rows) = 48,   /* rows whose sums are held if such a block is cut */
    LC_NAME(resident) = 16 << 10 /* bytes of b that stay in L1 beside rows of a and c */
};

typedef LC_REAL LC_NAME(vector) __attribute__((vector_size(LC_VECTOR_BYTES)));
/* The same without alignment. */
typedef LC_REAL LC_NAME(loose)
    __attribute__((vector_size(LC_VECTOR_BYTES), aligned(sizeof(LC_REAL)), may_alias));

/* sum + factor * values, each lane fused.  gcc does not vectorize a loop that it unrolled first. */
static LC_ALWAYS_INLINE LC_TARGET LC_NAME(vector)
LC_NAME(fused)(LC_REAL factor, LC_NAME(vector) values, LC_NAME(vector) sum) {
    _Pragma("GCC unroll 1") for (int lane = 0; lane < LC_LANES; lane++)
        sum[lane] = LC_FMA(factor, values[lane], sum[lane]);
    return sum;
}

static LC_ALWAYS_INLINE LC_TARGET LC_NAME(vector)
LC_NAME(fused_lanes)(LC_NAME(vector) factors, LC_NAME(vector) values, LC_NAME(vector) sum) {
    _Pragma("GCC unroll 1") for (int lane = 0; lane < LC_LANES; lane++)
        sum[lane] = LC_FMA(factors[lane], values[lane], sum[lane]);
    return sum;
}

/* to[lane] = values[lane] for the first `count` lanes: gcc makes a masked store of this loop. */
static LC_ALWAYS_INLINE LC_TARGET void
LC_NAME(store_first)(int64_t count, LC_NAME(vector) values, LC_REAL *to) {
    const int first = (int)count;
    _Pragma("GCC unroll 1") for (int lane = 0; lane < LC_LANES; lane++)
        if (lane < first)
            to[lane] = values[lane];
}

/* The first `count` lanes of a vector in memory, then zeros; reads no further. */
static LC_ALWAYS_INLINE LC_TARGET LC_NAME(vector)
LC_NAME(load_first)(int64_t count, const LC_REAL *from) {
    const int first = (int)count;
    LC_NAME(vector) values = {0};
    _Pragma("GCC unroll 1") for (int lane = 0; lane < LC_LANES; lane++)
        values[lane] = lane < first ? from[lane] : 0;
    return values;
}

/* part[i,:] = c[i,:] and zeros up to `width`, for a block that is not whole vectors of c. */
static LC_TARGET void LC_NAME(load_part)(int64_t rows, int64_t width, int64_t columns,
                                         const lc_tile *tile, const LC_REAL *c, LC_REAL *part) {
    for (int64_t i = 0; i < rows; i++, part += width, c += tile->c_row_step) {
        if (tile->c_column_step == 1)
            for (int64_t j = 0; j < width; j += LC_LANES)
                LC_STORE(part + j, LC_NAME(load_first)(columns - j, c + j));
        else
            for (int64_t j = 0; j < width; j++)
                part[j] = j < columns ? c[j * tile->c_column_step] : 0;
    }
}

/* c[i,:] = part[i,:] (+ bias), the first `columns` of each row. */
static LC_TARGET void LC_NAME(store_part)(int64_t rows, int64_t width, int64_t columns,
                                          const lc_tile *tile, const LC_REAL *bias,
                                          const LC_REAL *part, LC_REAL *c) {
    const int64_t step = tile->c_column_step;
    for (int64_t i = 0; i < rows; i++, part += width, c += tile->c_row_step) {
        const LC_REAL *shift = bias ? bias + i * tile->bias_row_step : NULL;
        if (step != 1) {
            for (int64_t j = 0; j < columns; j++)
                c[j * step] = shift ? part[j] + shift[tile->bias_row_step ? 0 : j * step] : part[j];
            continue;
        }
        for (int64_t j = 0; j < columns; j += LC_LANES) {
            const int64_t count = columns - j;
            LC_NAME(vector) sum = LC_LOAD(part + j);
            if (shift && tile->bias_row_step)
                sum += *shift;
            else if (shift)
                sum += LC_NAME(load_first)(count, shift + j);
            if (count < LC_LANES)
                LC_NAME(store_first)(count, sum, c + j);
            else
                LC_STORE(c + j, sum);
        }
    }
}

/* c[i,j] (+)= sum_r a[i,r] b[r,j] (+ bias) for rows x (vectors * lanes) sums held in registers, of
   which the first `columns` are stored; the columns of c are contiguous, and whole vectors if the
   tile accumulates.  `rows`, `vectors` and `unit`, which says that the rows of a are one number
   apart, are literals where this is called. */
static LC_ALWAYS_INLINE LC_TARGET void
LC_NAME(block)(const int rows, const int vectors, const int unit, const lc_tile *tile,
               const LC_REAL *a, const LC_REAL *b, const LC_REAL *bias, LC_REAL *c,
               const int64_t c_row_step, const int64_t columns) {
    LC_NAME(vector) sums[LC_ROWS_OF_A_BLOCK][LC_MOST_VECTORS];
    const int64_t a_row_step = unit ? 1 : tile->a_row_step;
    LC_UNROLL for (int i = 0; i < rows; i++)
        LC_UNROLL for (int v = 0; v < vectors; v++)
            sums[i][v] = (LC_NAME(vector)){0};
    if (tile->accumulate)
        LC_UNROLL for (int i = 0; i < rows; i++)
            LC_UNROLL for (int v = 0; v < vectors; v++)
                sums[i][v] = LC_LOAD(c + i * c_row_step + v * LC_LANES);

    const int64_t a_step = tile->a_step, b_row_step = tile->b_row_step;
    const uintptr_t ahead = (uintptr_t)tile->a_ahead * sizeof(LC_REAL);
    const uintptr_t b_ahead = (uintptr_t)tile->b_ahead * sizeof(LC_REAL);
    for (int64_t run = 0; run < tile->runs; run++) {
        const LC_REAL *x = a + tile->a_run_offset[run], *y = b + tile->b_run_offset[run];
        if (!unit && ahead)
            for (int64_t line = 0; line < tile->run_length; line += LC_CACHE_LINE / (int)sizeof(LC_REAL))
                LC_UNROLL for (int i = 0; i < rows; i++)
                    __builtin_prefetch((const void *)((uintptr_t)(x + i * a_row_step + line) + ahead), 0, 3);
        for (const LC_REAL *end = y + tile->run_length * b_row_step; y != end; y += b_row_step) {
            LC_NAME(vector) w[LC_MOST_VECTORS];
            LC_UNROLL for (int v = 0; v < vectors; v++) {
                w[v] = LC_LOAD(y + v * LC_LANES);
                if (!unit)
                    __builtin_prefetch((const void *)((uintptr_t)(y + v * LC_LANES) + b_ahead), 0, 2);
            }
            LC_UNROLL for (int i = 0; i < rows; i++) {
                const LC_REAL factor = x[i * a_row_step];
                LC_UNROLL for (int v = 0; v < vectors; v++) {
                    sums[i][v] = LC_NAME(fused)(factor, w[v], sums[i][v]);
                }
            }
            if (unit)
                __builtin_prefetch((const void *)((uintptr_t)x + ahead), 0, 3);
            x += a_step;
        }
    }

    /* Each choice is made once for all sums: made for each of them, it takes time here and doubles
       that of the compiler. */
    const int64_t bias_row_step = tile->bias_row_step;
    const int whole = columns == (int64_t)vectors * LC_LANES;
    const int64_t in_last = columns - (vectors - 1) * LC_LANES;
    if (bias && bias_row_step) {
        LC_UNROLL for (int i = 0; i < rows; i++) {
            const LC_REAL shift = bias[i * bias_row_step];
            LC_UNROLL for (int v = 0; v < vectors; v++)
                sums[i][v] += shift;
        }
    } else if (bias) {
        LC_UNROLL for (int v = 0; v < vectors; v++) {
            LC_NAME(vector) shift;
            if (v < vectors - 1 || whole)
                shift = LC_LOAD(bias + v * LC_LANES);
            else
                shift = LC_NAME(load_first)(in_last, bias + v * LC_LANES);
            LC_UNROLL for (int i = 0; i < rows; i++)
                sums[i][v] += shift;
        }
    }
    /* Through a buffer instead, streaming stores make large outputs 1.6 times as slow. */
    if (tile->stream && whole) {
        LC_UNROLL for (int i = 0; i < rows; i++)
            LC_UNROLL for (int v = 0; v < vectors; v++)
                LC_STREAM(c + i * c_row_step + v * LC_LANES, sums[i][v]);
        return;
    }
    LC_UNROLL for (int i = 0; i < rows; i++)
        LC_UNROLL for (int v = 0; v < vectors - 1; v++)
            LC_STORE(c + i * c_row_step + v * LC_LANES, sums[i][v]);
    c += (vectors - 1) * LC_LANES;
    if (whole)
        LC_UNROLL for (int i = 0; i < rows; i++)
            LC_STORE(c + i * c_row_step, sums[i][vectors - 1]);
    else
        LC_UNROLL for (int i = 0; i < rows; i++)
            LC_NAME(store_first)(in_last, sums[i][vectors - 1], c + i * c_row_step);
}

typedef void (*LC_NAME(block_function))(const lc_tile *tile, const LC_REAL *a, const LC_REAL *b,
                                        const LC_REAL *bias, LC_REAL *c, int64_t c_row_step,
                                        int64_t columns);

/* One function for each number of rows (as many as the registers take), of vectors, and `unit`. */
#define LC_MOST_ROWS(vectors) ((LC_REGISTERS - 1 - (vectors)) / (vectors))
#define LC_BLOCK(rows, vectors, unit)                                                              \
    static LC_TARGET void LC_NAME(block_##rows##_##vectors##_##unit)(                              \
        const lc_tile *tile, const LC_REAL *a, const LC_REAL *b, const LC_REAL *bias, LC_REAL *c,  \
        int64_t c_row_step, int64_t columns) {                                                     \
        if (rows <= LC_MOST_ROWS(vectors))                                                         \
            LC_NAME(block)(rows, vectors, unit, tile, a, b, bias, c, c_row_step, columns);         \
    }
#define LC_BLOCKS_OF(vectors, unit)                                                                \
    LC_BLOCK(1, vectors, unit) LC_BLOCK(2, vectors, unit) LC_BLOCK(3, vectors, unit)               \
    LC_BLOCK(4, vectors, unit) LC_BLOCK(5, vectors, unit) LC_BLOCK(6, vectors, unit)               \
    LC_BLOCK(7, vectors, unit) LC_BLOCK(8, vectors, unit)
LC_BLOCKS_OF(1, 0) LC_BLOCKS_OF(2, 0) LC_BLOCKS_OF(3, 0) LC_BLOCKS_OF(4, 0)
LC_BLOCKS_OF(1, 1) LC_BLOCKS_OF(2, 1) LC_BLOCKS_OF(3, 1) LC_BLOCKS_OF(4, 1)
#define LC_NAMES_OF(vectors, unit)                                                                 \
    {LC_NAME(block_1_##vectors##_##unit), LC_NAME(block_2_##vectors##_##unit),                     \
     LC_NAME(block_3_##vectors##_##unit), LC_NAME(block_4_##vectors##_##unit),                     \
     LC_NAME(block_5_##vectors##_##unit), LC_NAME(block_6_##vectors##_##unit),                     \
     LC_NAME(block_7_##vectors##_##unit), LC_NAME(block_8_##vectors##_##unit)}
static const LC_NAME(block_function) LC_NAME(blocks)[2][LC_MOST_VECTORS][LC_ROWS_OF_A_BLOCK] = {
    {LC_NAMES_OF(1, 0), LC_NAMES_OF(2, 0), LC_NAMES_OF(3, 0), LC_NAMES_OF(4, 0)},
    {LC_NAMES_OF(1, 1), LC_NAMES_OF(2, 1), LC_NAMES_OF(3, 1), LC_NAMES_OF(4, 1)}};

/* sums[i,:width] = sum_r a[i,r] b[r,:] of a block with more terms than a piece */
static __attribute__((noinline)) LC_TARGET void
LC_NAME(cut_block)(LC_NAME(block_function) block, int64_t rows, int64_t width, const lc_tile *tile,
                   const LC_REAL *a, const LC_REAL *b, LC_REAL *sums) {
    LC_NAME(vector) totals[LC_TOTALS * LC_ROWS_OF_A_BLOCK * LC_MOST_VECTORS];
    const int64_t count = rows * width, all = tile->runs * tile->run_length;
    lc_tile part = *tile;
    part.stream = 0; /* `sums` is read at once */
    LC_NAME(place) place = {0};
    while (place.terms < all) {
        const int64_t offset = LC_NAME(next_terms)(tile, LC_PIECE, LC_PIECE, &place, &part);
        block(&part, a + offset * tile->a_step, b + offset * tile->b_row_step, NULL, sums, width,
              width);
        if (place.terms % LC_PIECE == 0 || place.terms == all)
            LC_NAME(add_piece)(place.terms, place.terms == all, count, count, sums,
                               (LC_REAL *)totals);
    }
}

/* A block that cannot start from c, or store to it, directly: its sums pass through `part`. */
static __attribute__((noinline)) LC_TARGET void
LC_NAME(indirect_block)(LC_NAME(block_function) block, int64_t rows, int64_t width,
                        const lc_tile *tile, const LC_REAL *a, const LC_REAL *b,
                        const LC_REAL *bias, LC_REAL *c, int64_t columns) {
    LC_NAME(vector) vectors[LC_ROWS_OF_A_BLOCK * LC_MOST_VECTORS];
    LC_REAL *part = (LC_REAL *)vectors;
    if (tile->runs * tile->run_length > LC_PIECE) {
        LC_NAME(cut_block)(block, rows, width, tile, a, b, part);
    } else {
        lc_tile cached = *tile;
        cached.stream = 0; /* `part` is read at once */
        if (tile->accumulate)
            LC_NAME(load_part)(rows, width, columns, tile, c, part);
        block(&cached, a, b, NULL, part, width, width);
    }
    LC_NAME(store_part)(rows, width, columns, tile, bias, part, c);
}

/* All rows of a few vectors of columns, in blocks of nearly equal height.  `cut`, a literal, says
   that there are more terms than a piece. */
static LC_ALWAYS_INLINE LC_TARGET void
LC_NAME(panel_of)(const int cut, const lc_tile *tile, const LC_REAL *a, const LC_REAL *b,
                  const LC_REAL *bias, LC_REAL *c, int64_t columns) {
    const int vectors = (int)((columns + LC_LANES - 1) / LC_LANES);
    const int most = LC_MOST_ROWS(vectors) < LC_ROWS_OF_A_BLOCK ? LC_MOST_ROWS(vectors)
                                                                : LC_ROWS_OF_A_BLOCK;
    const int64_t width = vectors * LC_LANES;
    const int direct =
        !cut && tile->c_column_step == 1 && (!tile->accumulate || columns == width);
    int64_t rows = tile->rows;
    for (int64_t blocks = (rows + most - 1) / most; blocks > 0; blocks--) {
        const int64_t height = (rows + blocks - 1) / blocks;
        const LC_NAME(block_function) block =
            LC_NAME(blocks)[tile->a_row_step == 1][vectors - 1][height - 1];
        if (direct)
            block(tile, a, b, bias, c, tile->c_row_step, columns);
        else
            LC_NAME(indirect_block)(block, height, width, tile, a, b, bias, c, columns);
        rows -= height;
        a += height * tile->a_row_step;
        c += height * tile->c_row_step;
        if (bias)
            bias += height * tile->bias_row_step;
    }
}

static LC_TARGET void LC_NAME(panel)(const lc_tile *tile, const LC_REAL *a, const LC_REAL *b,
                                     const LC_REAL *bias, LC_REAL *c, int64_t columns) {
    LC_NAME(panel_of)(0, tile, a, b, bias, c, columns);
}

/* packed[r,:] = b[r,:columns], then zeros up to a whole vector, so that no load over-reads b. */
static LC_TARGET void LC_NAME(pack)(LC_REAL *packed, const LC_REAL *b, int64_t b_row_step,
                                    int64_t steps, int64_t columns) {
    for (int64_t r = 0; r < steps; r++, b += b_row_step, packed += LC_LANES)
        for (int lane = 0; lane < LC_LANES; lane++)
            packed[lane] = lane < columns ? b[lane] : 0;
}

/* The same as below, for more terms than a piece: the sums of a few rows are held until the end. */
static __attribute__((noinline)) LC_TARGET void
LC_NAME(narrow_cut)(const lc_tile *tile, const LC_REAL *a, const LC_REAL *b, const LC_REAL *bias,
                    LC_REAL *c, int64_t columns) {
    LC_NAME(vector) sums[LC_NAME(narrow_rows)], totals[LC_TOTALS * LC_NAME(narrow_rows)];
    LC_REAL packed[LC_NAME(packed_steps) * (LC_VECTOR_BYTES / sizeof(LC_REAL))];
    const int64_t start = 0, all = tile->runs * tile->run_length;
    lc_tile part = *tile;
    part.b_row_step = part.c_row_step = LC_LANES;
    part.c_column_step = 1;
    part.stream = 0;
    part.b_ahead = 0; /* counts from b, not from what is packed */
    for (int64_t row = 0; row < tile->rows; row += part.rows) {
        const int64_t left = tile->rows - row;
        part.rows = left < LC_NAME(narrow_rows) ? left : LC_NAME(narrow_rows);
        const int64_t count = part.rows * LC_LANES;
        LC_NAME(place) place = {0};
        while (place.terms < all) {
            const int64_t offset =
                LC_NAME(next_terms)(tile, LC_NAME(packed_steps), 1, &place, &part);
            LC_NAME(pack)(packed, b + *part.b_run_offset + offset * tile->b_row_step,
                          tile->b_row_step, part.run_length, columns);
            part.b_run_offset = &start;
            LC_NAME(panel)(&part, a + row * tile->a_row_step + offset * tile->a_step, packed, NULL,
                           (LC_REAL *)sums, LC_LANES);
            if (place.terms % LC_PIECE == 0 || place.terms == all)
                LC_NAME(add_piece)(place.terms, place.terms == all, count, count,
                                   (LC_REAL *)sums, (LC_REAL *)totals);
        }
        LC_NAME(store_part)(part.rows, LC_LANES, columns, tile,
                            bias ? bias + row * tile->bias_row_step : NULL, (LC_REAL *)sums,
                            c + row * tile->c_row_step);
    }
}

/* The last columns, fewer than one vector, if rows of b must not be over-read.  They are packed some
   rows of b at a time; each call continues the chains that the previous one stored. */
static LC_TARGET void LC_NAME(narrow)(const lc_tile *tile, const LC_REAL *a, const LC_REAL *b,
                                      const LC_REAL *bias, LC_REAL *c, int64_t columns) {
    LC_REAL packed[LC_NAME(packed_steps) * (LC_VECTOR_BYTES / sizeof(LC_REAL))];
    const int64_t start = 0;
    lc_tile part = *tile;
    part.b_row_step = LC_LANES;
    part.b_ahead = 0; /* counts from b; a prefetch from unmapped memory costs 100 ns */
    part.runs = 1;
    part.a_run_offset = part.b_run_offset = &start;
    for (int64_t run = 0; run < tile->runs; run++) {
        const LC_REAL *x = a + tile->a_run_offset[run], *y = b + tile->b_run_offset[run];
        for (int64_t left = tile->run_length; left > 0; left -= part.run_length) {
            const int last = run + 1 == tile->runs && left <= LC_NAME(packed_steps);
            part.run_length = left < LC_NAME(packed_steps) ? left : LC_NAME(packed_steps);
            LC_NAME(pack)(packed, y, tile->b_row_step, part.run_length, columns);
            LC_NAME(panel)(&part, x, packed, last ? bias : NULL, c, columns);
            part.accumulate = 1;
            x += part.run_length * tile->a_step;
            y += part.run_length * tile->b_row_step;
        }
    }
}

/* c[i,j] (+)= sum_r a[i,r] b[r,j] (+ bias): all rows, panel by panel of columns. */
static LC_ALWAYS_INLINE LC_TARGET void
LC_NAME(panels_of)(const int cut, const lc_tile *tile, const LC_REAL *a, const LC_REAL *b,
                   const LC_REAL *bias, LC_REAL *c) {
    /* With 16 registers, blocks of 4 rows x 3 vectors need fewer loads than 2 x 4. */
    const int64_t most = LC_REGISTERS == 32 || tile->rows == 1 ? LC_MOST_VECTORS : 3;
    int64_t vectors = (tile->columns + (tile->b_overrun ? LC_LANES - 1 : 0)) / LC_LANES;
    for (int64_t left = tile->columns; left > 0;) {
        const int64_t panels = (vectors + most - 1) / most;
        int64_t columns = left;
        if (panels) {
            const int64_t width = (vectors + panels - 1) / panels;
            columns = width * LC_LANES < left ? width * LC_LANES : left;
            vectors -= width;
        }
        const int whole =
            columns >= LC_LANES || tile->b_overrun || tile->runs * tile->run_length == 0;
        if (cut && whole)
            LC_NAME(panel_of)(1, tile, a, b, bias, c, columns);
        else if (cut)
            LC_NAME(narrow_cut)(tile, a, b, bias, c, columns);
        else if (whole)
            LC_NAME(panel)(tile, a, b, bias, c, columns);
        else
            LC_NAME(narrow)(tile, a, b, bias, c, columns);
        left -= columns;
        b += columns;
        c += columns * tile->c_column_step;
        if (bias && !tile->bias_row_step)
            bias += columns * tile->c_column_step;
    }
}

static __attribute__((noinline)) LC_TARGET void
LC_NAME(panels_cut)(const lc_tile *tile, const LC_REAL *a, const LC_REAL *b, const LC_REAL *bias,
                    LC_REAL *c) {
    LC_NAME(panels_of)(1, tile, a, b, bias, c);
}

static LC_TARGET void LC_NAME(panels)(const lc_tile *tile, const LC_REAL *a, const LC_REAL *b,
                                      const LC_REAL *bias, LC_REAL *c) {
    if (tile->runs * tile->run_length > LC_PIECE)
        LC_NAME(panels_cut)(tile, a, b, bias, c);
    else
        LC_NAME(panels_of)(0, tile, a, b, bias, c);
}

/* c[i,j] (+)= sum_r a[i,r] b[r,j] (+ bias): the whole tile.  If b stays in L1, a few rows at a time,
   so that a and c pass through the caches once instead of once for each panel. */
static LC_TARGET void LC_NAME(product)(const lc_tile *tile, const LC_REAL *a, const LC_REAL *b,
                                       const LC_REAL *bias, LC_REAL *c) {
    const int64_t size = tile->runs * tile->run_length * tile->columns * (int64_t)sizeof(LC_REAL);
    if (size > LC_NAME(resident) || tile->columns <= LC_MOST_VECTORS * LC_LANES ||
        tile->rows <= LC_ROWS_OF_A_BLOCK) {
        LC_NAME(panels)(tile, a, b, bias, c);
        return;
    }
    lc_tile part = *tile;
    for (int64_t left = tile->rows; left > 0; left -= part.rows) {
        part.rows = left < LC_ROWS_OF_A_BLOCK ? left : LC_ROWS_OF_A_BLOCK;
        LC_NAME(panels)(&part, a, b, bias, c);
        part.b_ahead = 0; /* prefetched once */
        a += part.rows * tile->a_row_step;
        c += part.rows * tile->c_row_step;
        if (bias)
            bias += part.rows * tile->bias_row_step;
    }
}

#undef LC_MOST_ROWS
#undef LC_BLOCK
#undef LC_BLOCKS_OF
#undef LC_NAMES_OF
