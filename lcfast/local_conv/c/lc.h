/* The contract between the Cython loops, which cut and schedule the work, and the C kernels, which
   compute.  The kernels know neither Python nor threads nor padding.  There are three families:

   - tile products (lc_tile; tile, lone and panel.template.h): a small matrix product whose left
     side is gathered from runs of the input.  The filters and batch regimes, forward and both
     gradients, all use it; the caller chooses what `a` and `b` are and what the reduction is over.
   - position groups (lc_positions; unzip and positions.template.h): vectors along output positions.
   - CSR products (lc_csr; sparse.template.h).

   Activations (functions.template.h, activation.template.h) apply to the results of all three.

   The bits rule: the terms of a sum have a fixed order, and the sum is cut after every LC_PIECE
   terms.  Each piece is one chain of fused multiply-adds in ascending order, started from 0.  Every
   LC_GROUP pieces are added, in ascending order from the first; every LC_GROUP of these sums again,
   and so on: LC_TOTALS times at most, the last time all that is left.  The bias is added last.  The
   places of the cuts depend on the number of a term alone.  A faster kernel may change which
   outputs, or which pieces, are computed together, never the order within a chain or of additions.

   The kernels of forward products take the whole sum and cut it themselves.  A caller that computes
   a sum in several calls makes the cuts: the terms of one call belong to one piece, `accumulate`
   continues the chain of that piece from the numbers in c, and add_piece adds the finished piece. */
#ifndef LC_H
#define LC_H

#include <stdint.h>

#if defined(__x86_64__)
#define LC_X86 1
#endif

/* c[i,j] (+)= sum_r a[i,r] b[r,j] (+ bias),  i < rows, j < columns, r < runs * run_length.
   Vectors run along j; single numbers of a are broadcast.  The terms of a sum are numbered by r,
   over all runs. */
typedef struct {
    int64_t rows, columns;
    int64_t runs, run_length;
    const int64_t *a_run_offset, *b_run_offset; /* [runs]: where run s of row 0 starts */
    int64_t a_row_step, a_step;        /* from row i to i + 1; from r to r + 1 within a run */
    int64_t b_row_step;                /* from r to r + 1; the columns of b are contiguous */
    int64_t c_row_step, c_column_step;
    int64_t bias_row_step;             /* 0: one bias per column, with c's column step */
    int64_t b_apart;                   /* from the b of a row to that of the next: `lone` only */
    int64_t a_ahead, b_ahead;          /* distance from a and b to what is prefetched */
    int accumulate; /* continues a chain from c; at most LC_PIECE terms, all of one piece */
    int stream;    /* streaming stores: c is aligned to vectors and too large for the caches */
    int b_overrun; /* the last vector load of each row of b may over-read; stores are masked */
} lc_tile;

enum {
    LC_PIECE = 512,         /* terms of a chain */
    LC_GROUP = 16,          /* pieces that are added to one sum, and such sums to the next */
    LC_TOTALS = 4,          /* unfinished sums of pieces that are kept for each number of c */
    LC_CACHE_LINE = 64,     /* bytes */
    LC_LONE_ROWS = 4,       /* most rows of a block in which each row has its own b */
    LC_LONE_AHEAD = 1024,   /* prefetch distance in bytes */
    LC_MOST_VECTORS = 4,    /* most vectors of columns of a block of sums */
    LC_ROWS_OF_A_BLOCK = 8  /* most rows of a block; fewer if the registers cannot hold them */
};

/* Elementwise activations. */
enum {
    LC_LINEAR,
    LC_RELU,
    LC_TANH,
    LC_SIGMOID,
    LC_ELU,
    LC_SELU,
    LC_EXPONENTIAL,
    LC_SOFTPLUS,
    LC_SOFTSIGN,
    LC_HARD_SIGMOID,
    LC_RELU6,
    LC_LEAKY_RELU,
    LC_SWISH,
    LC_MISH,
    LC_GELU,
    LC_GELU_APPROXIMATE
};

/* Activations of whole rows. */
enum { LC_SOFTMAX, LC_LOG_SOFTMAX };

/* Rows of the batch in a panel of the sparse product, and rows of the matrix whose results it holds
   before they are written, so that each row of the batch is written in long contiguous pieces. */
enum { LC_SPARSE_LANES = 64, LC_SPARSE_HELD = 256 };

/* The pattern of a CSR matrix, without its values.  Consecutive rows with the same columns are a
   family: their column indices are read once for all of them. */
typedef struct {
    int64_t rows, columns;
    const int64_t *start;  /* [rows + 1]: where each row starts in `index` */
    const int32_t *index;  /* columns, ascending within a row */
    const int64_t *family; /* [families + 1]: the first row of each family */
    int activation;        /* elementwise, applied to a product */
    double alpha;          /* its parameter */
} lc_csr;

/* y[n,f,p] = sum_k x[n, x_offset[k] + p] w[w_offset[k] + f * w_filter + p] (+ bias), p < positions,
   which is at least one vector.  Vectors run along p: x, y and the weights have positions
   innermost, or were unzipped (de-interleaved) into that layout. */
typedef struct {
    int64_t rows, filters, positions, taps;
    const int64_t *x_offset, *w_offset; /* [taps] */
    int64_t x_row, x_ahead;             /* from a row to the next; distance to what is prefetched */
    int64_t w_filter, y_row, y_filter, bias_filter;
    int accumulate; /* of the gradient of the kernel: continues the chains of a piece from dw */
} lc_positions;

/* Arithmetic between two values of a model. */
enum { LC_ADD, LC_SUBTRACT, LC_MULTIPLY, LC_MAXIMUM, LC_MINIMUM };

/* Windows of a pooling or a depthwise convolution: window p reads x[start[p] + tap[t] + c] for its taps t and channels c. */
typedef struct {
    int64_t taps, channels;
    const int64_t *start, *tap;
    int reciprocals; /* the divisors are powers of two: given as factors, with the same result */
} lc_windows;

/* One table of kernels for each real type and SIMD path, chosen at run time. */
#define LC_KERNELS(REAL, SUFFIX)                                                                   \
    typedef struct {                                                                               \
        int lanes; /* of a vector */                                                               \
        void (*product)(const lc_tile *tile, const REAL *a, const REAL *b, const REAL *bias,       \
                        REAL *c);                                                                  \
        void (*lone)(const lc_tile *tile, const REAL *a, const REAL *b, const REAL *bias,          \
                     REAL *c);                                                                     \
        /* the pieces of a sum that is computed in several calls: see cuts.template.h */           \
        void (*add_piece)(int64_t terms, int last, int64_t count, int64_t apart, REAL *sums,       \
                          REAL *totals);                                                           \
        /* transposes, batch innermost and back: see panel.template.h */                           \
        void (*to_panel)(int64_t rows, int64_t width, int64_t count, const REAL *x,                \
                         int64_t x_step, REAL *panel);                                             \
        void (*from_panel)(int64_t rows, int64_t width, int64_t count, const REAL *panel, REAL *y, \
                           int64_t y_step);                                                        \
        void (*activate)(int activation, REAL alpha, int64_t count, REAL *y);                      \
        void (*activation_gradient)(int activation, REAL alpha, int64_t count, const REAL *value,  \
                                    const REAL *dy, REAL *dz);                                     \
        void (*activate_rows)(int activation, int64_t rows, int64_t columns, const REAL *x,        \
                              REAL *y);                                                            \
        void (*row_gradient)(int activation, int64_t rows, int64_t columns, const REAL *y,         \
                             const REAL *dy, REAL *dx);                                            \
        /* products with a CSR matrix: see sparse.template.h */                                    \
        void (*sparse_panel)(const lc_csr *matrix, int64_t first, int64_t last,                    \
                             int64_t first_column, int64_t columns, const REAL *data,              \
                             const REAL *bias, int64_t batch, const REAL *x, REAL *panel,          \
                             REAL *y);                                                             \
        void (*sparse_vector)(const lc_csr *matrix, int64_t first, int64_t last, const REAL *data, \
                              const REAL *bias, const REAL *x, REAL *y);                           \
        void (*sparse_gradient)(const lc_csr *matrix, int64_t first, int64_t last, int64_t batch,  \
                                int accumulate, const REAL *x, const REAL *dy, REAL *ddata);       \
        /* vectors along positions: see unzip and positions.template.h */                          \
        void (*unzip)(int64_t positions, int64_t width, int64_t count, const REAL *x,              \
                      int64_t x_step, REAL *panel);                                                \
        void (*zip)(int64_t positions, int64_t width, int64_t count, const REAL *panel, REAL *y);  \
        void (*positions)(const lc_positions *tile, const REAL *x, const REAL *w,                  \
                          const REAL *bias, REAL *y);                                              \
        void (*positions_gradient)(const lc_positions *tile, const REAL *x, const REAL *dy,        \
                                   REAL *dw);                                                      \
        /* between products: see elementwise.template.h */                                         \
        void (*affine)(int64_t count, const REAL *x, const REAL *mean, const REAL *factor,         \
                       const REAL *beta, REAL *y);                                                 \
        void (*combine)(int operation, int64_t count, const REAL *a, const REAL *b, REAL *y);      \
        void (*divide)(int64_t count, const REAL *x, REAL divisor, REAL *y);                       \
        void (*pool)(const lc_windows *windows, int64_t first, int64_t last, const REAL *x,        \
                     const REAL *divisor, REAL *y);                                                \
        void (*depthwise)(const lc_windows *windows, int64_t first, int64_t last, const REAL *x,   \
                          const REAL *w, const REAL *bias, REAL *y);                               \
    } lc_kernels_##SUFFIX;

LC_KERNELS(float, f32)
LC_KERNELS(double, f64)

/* The SIMD paths, fastest first.  Every processor has the last one: on aarch64 it is named "neon"
   and fuses as the first two do; elsewhere it is named "generic" and does not fuse. */
enum { LC_AVX512, LC_AVX2, LC_GENERIC, LC_PATHS };
extern const char *const lc_path_names[LC_PATHS];
int lc_path_supported(int path);

/* Makes this thread's streaming stores visible to other threads. */
void lc_finish_streams(void);

extern const lc_kernels_f32 *const lc_table_f32[LC_PATHS];
extern const lc_kernels_f64 *const lc_table_f64[LC_PATHS];

#endif
