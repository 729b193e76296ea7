/* Small matrix products by libxsmm's just-in-time kernels, one for each tile.

   A tile is c[j, i] = bias[i] + sum over runs r and taps k of a_r[k, i] b_r[j, k]: filters i, rows
   or neighbouring positions j.  libxsmm is column-major, so m = filters and k = the taps of a run;
   one kernel sums over all runs without leaving the registers. */

#include <libxsmm.h>
#include <string.h>

/* tiles: for each of `count` the places of x, w, bias and y, in numbers.  0, or 1 where libxsmm
   has no kernel for this shape. */
int run_tiles(const float *x, const float *w, const float *bias, float *y, long count,
              const long *tiles, int m, int n, int k, int lda, int ldb, int ldc,
              unsigned long long runs, const unsigned long long *a_bytes,
              const unsigned long long *b_bytes)
{
    const float one = 1;
    libxsmm_smmfunction_reducebatch_offs kernel =
        libxsmm_smmdispatch_reducebatch_offs(m, n, k, &lda, &ldb, &ldc, &one, &one, NULL, NULL);
    if (!kernel)
        return 1;
#pragma omp parallel for schedule(static)
    for (long t = 0; t < count; t++) {
        const long *at = tiles + 4 * t;
        float *c = y + at[3];
        for (int j = 0; j < n; j++)
            memcpy(c + (size_t)j * ldc, bias + at[2], m * sizeof *c);
        kernel(w + at[1], x + at[0], c, &runs, a_bytes, b_bytes);
    }
    return 0;
}
