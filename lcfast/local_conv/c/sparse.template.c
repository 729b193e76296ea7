/* Products with a sparse matrix in CSR form, once for every real type and instruction set.
   The bits rule: each number of the answer is one chain of fused multiply-adds, over the stored
   numbers of its row in their order (gradient of the matrix: over the batch), started from 0. */

#define LC_LANES ((int)(LC_VECTOR_BYTES / sizeof(LC_REAL)))
enum { LC_NAME(sparse_vectors) = LC_SPARSE_LANES * sizeof(LC_REAL) / LC_VECTOR_BYTES };

/* y[n, o] = sum_r data[r] x[index[r] - first_column, n], r in row o, for rows first..last of the
   matrix and the LC_SPARSE_LANES rows of the batch that the panel x holds; the first `batch` of
   them are stored, y_step apart. */
static LC_TARGET void LC_NAME(sparse_panel)(int64_t first, int64_t last, const int64_t *start,
                                            const int32_t *index, const LC_REAL *data,
                                            int64_t first_column, const LC_REAL *x, int64_t batch,
                                            LC_REAL *y, int64_t y_step) {
    for (int64_t o = first; o < last; o++) {
        LC_NAME(vector) sums[LC_NAME(sparse_vectors)];
        for (int v = 0; v < (int)LC_NAME(sparse_vectors); v++)
            sums[v] = (LC_NAME(vector)){0};
        for (int64_t r = start[o]; r < start[o + 1]; r++) {
            const LC_REAL *column = x + (index[r] - first_column) * LC_SPARSE_LANES;
            const LC_REAL factor = data[r];
            _Pragma("GCC unroll 16") for (int v = 0; v < (int)LC_NAME(sparse_vectors); v++) {
                const LC_NAME(vector) values =
                    *(const LC_NAME(loose) *)(column + v * LC_LANES);
                LC_NAME(vector) sum = sums[v];
                for (int lane = 0; lane < LC_LANES; lane++)
                    sum[lane] = LC_FMA(factor, values[lane], sum[lane]);
                sums[v] = sum;
            }
        }
        LC_REAL row[LC_SPARSE_LANES];
        memcpy(row, sums, sizeof row);
        for (int64_t n = 0; n < batch; n++)
            y[n * y_step + o] = row[n];
    }
}

/* y[o] = sum_r data[r] x[index[r]], r in row o, for rows first..last of the matrix */
static LC_TARGET void LC_NAME(sparse_vector)(int64_t first, int64_t last, const int64_t *start,
                                             const int32_t *index, const LC_REAL *data,
                                             const LC_REAL *x, LC_REAL *y) {
    for (int64_t o = first; o < last; o++) {
        LC_REAL sum = 0;
        for (int64_t r = start[o]; r < start[o + 1]; r++)
            sum = LC_FMA(data[r], x[index[r]], sum);
        y[o] = sum;
    }
}

/* ddata[r] = sum_n dy[n, o] x[n, index[r]], r in row o, for rows first..last of the matrix */
static LC_TARGET void LC_NAME(sparse_gradient)(int64_t first, int64_t last, const int64_t *start,
                                               const int32_t *index, int64_t batch,
                                               const LC_REAL *x, int64_t x_step, const LC_REAL *dy,
                                               int64_t dy_step, LC_REAL *ddata) {
    for (int64_t o = first; o < last; o++) {
        for (int64_t r = start[o]; r < start[o + 1]; r += LC_LANES) {
            const int count = start[o + 1] - r < LC_LANES ? (int)(start[o + 1] - r) : LC_LANES;
            LC_REAL sums[LC_VECTOR_BYTES / sizeof(LC_REAL)] = {0};
            for (int64_t n = 0; n < batch; n++)
                for (int j = 0; j < count; j++)
                    sums[j] = LC_FMA(dy[n * dy_step + o], x[n * x_step + index[r + j]], sums[j]);
            memcpy(ddata + r, sums, (size_t)count * sizeof(LC_REAL));
        }
    }
}

#undef LC_LANES
