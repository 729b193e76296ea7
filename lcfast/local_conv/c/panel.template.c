/* Panels, once for every real type and instruction set: a few vectors of rows of the batch, with
   the batch innermost.  What is i contiguous numbers of a row is i rows of the panel.
   kernels.c defines LC_REAL, LC_NAME, LC_TARGET and LC_VECTOR_BYTES. */

#define LC_LANES ((int)(LC_VECTOR_BYTES / sizeof(LC_REAL)))
#define LC_UNROLL _Pragma("GCC unroll 16")

/* Lanes of two vectors in turn: the first halves of both, or the second. */
#define LC_ZIP_2(from) from, 2 + from
#define LC_ZIP_4(from) from, 4 + from, 1 + from, 5 + from
#define LC_ZIP_8(from) LC_EIGHT(from, 8)
#define LC_EIGHT(from, n)                                                                          \
    from, n + from, 1 + from, n + 1 + from, 2 + from, n + 2 + from, 3 + from, n + 3 + from
#define LC_ZIP_16(from) LC_EIGHT(from, 16), LC_EIGHT(from + 4, 16)
#if LC_VECTOR_BYTES == 64 && !LC_IS_DOUBLE
#define LC_ZIP LC_ZIP_16
#elif LC_VECTOR_BYTES == 64 || (LC_VECTOR_BYTES == 32 && !LC_IS_DOUBLE)
#define LC_ZIP LC_ZIP_8
#elif LC_VECTOR_BYTES == 32 || !LC_IS_DOUBLE
#define LC_ZIP LC_ZIP_4
#else
#define LC_ZIP LC_ZIP_2
#endif
#if defined(__clang__)
#define LC_SHUFFLE(x, y, ...) __builtin_shufflevector(x, y, __VA_ARGS__)
#else
typedef LC_LANE_INTEGER LC_NAME(lanes) __attribute__((vector_size(LC_VECTOR_BYTES)));
#define LC_SHUFFLE(x, y, ...) __builtin_shuffle(x, y, (LC_NAME(lanes)){__VA_ARGS__})
#endif

/* block[i][j] = block[j][i]: to zip the halves of a block as often as halving takes it to one row
   transposes it. */
static LC_ALWAYS_INLINE LC_TARGET void LC_NAME(transpose)(LC_NAME(vector) *block) {
    LC_UNROLL for (int width = 1; width < LC_LANES; width *= 2) {
        LC_NAME(vector) zipped[LC_VECTOR_BYTES / sizeof(LC_REAL)];
        LC_UNROLL for (int i = 0; i < LC_LANES / 2; i++) {
            zipped[2 * i] = LC_SHUFFLE(block[i], block[i + LC_LANES / 2], LC_ZIP(0));
            zipped[2 * i + 1] = LC_SHUFFLE(block[i], block[i + LC_LANES / 2], LC_ZIP(LC_LANES / 2));
        }
        LC_UNROLL for (int i = 0; i < LC_LANES; i++) block[i] = zipped[i];
    }
}

/* panel[i,n] = x[n,i], i < count, n < rows; 0 for the other rows of the panel's vectors */
static LC_TARGET void LC_NAME(to_panel)(int vectors, int64_t rows, int64_t count, const LC_REAL *x,
                                        int64_t x_row_step, LC_REAL *panel) {
    const int64_t width = (int64_t)vectors * LC_LANES;
    for (int64_t n = 0; n < width; n += LC_LANES) {
        int64_t i = 0;
        if (n + LC_LANES <= rows) {
            for (; i + LC_LANES <= count; i += LC_LANES) {
                LC_NAME(vector) block[LC_VECTOR_BYTES / sizeof(LC_REAL)];
                LC_UNROLL for (int lane = 0; lane < LC_LANES; lane++)
                    block[lane] = *(const LC_NAME(loose) *)(x + (n + lane) * x_row_step + i);
                LC_NAME(transpose)(block);
                LC_UNROLL for (int lane = 0; lane < LC_LANES; lane++)
                    *(LC_NAME(loose) *)(panel + (i + lane) * width + n) = block[lane];
            }
        }
        for (; i < count; i++)
            for (int lane = 0; lane < LC_LANES; lane++)
                panel[i * width + n + lane] = n + lane < rows ? x[(n + lane) * x_row_step + i] : 0;
    }
}

/* y[n,i] = panel[i,n], i < count, n < rows */
static LC_TARGET void LC_NAME(from_panel)(int vectors, int64_t rows, int64_t count,
                                          const LC_REAL *panel, LC_REAL *y, int64_t y_row_step) {
    const int64_t width = (int64_t)vectors * LC_LANES;
    for (int64_t n = 0; n < rows; n += LC_LANES) {
        const int64_t height = rows - n < LC_LANES ? rows - n : LC_LANES;
        for (int64_t i = 0; i < count; i += LC_LANES) {
            const int64_t length = count - i < LC_LANES ? count - i : LC_LANES;
            LC_NAME(vector) block[LC_VECTOR_BYTES / sizeof(LC_REAL)];
            LC_UNROLL for (int lane = 0; lane < LC_LANES; lane++) {
                block[lane] = (LC_NAME(vector)){0};
                if (lane < length)
                    block[lane] = *(const LC_NAME(loose) *)(panel + (i + lane) * width + n);
            }
            LC_NAME(transpose)(block);
            LC_REAL *row = y + n * y_row_step + i;
            if (length == LC_LANES && height == LC_LANES) {
                LC_UNROLL for (int lane = 0; lane < LC_LANES; lane++)
                    *(LC_NAME(loose) *)(row + lane * y_row_step) = block[lane];
            } else {
                const LC_REAL *values = (const LC_REAL *)block;
                for (int64_t lane = 0; lane < height; lane++)
                    for (int64_t j = 0; j < length; j++)
                        row[lane * y_row_step + j] = values[lane * LC_LANES + j];
            }
        }
    }
}

#undef LC_LANES
#undef LC_UNROLL
#undef LC_ZIP_2
#undef LC_ZIP_4
#undef LC_ZIP_8
#undef LC_EIGHT
#undef LC_ZIP_16
#undef LC_ZIP
#undef LC_SHUFFLE
