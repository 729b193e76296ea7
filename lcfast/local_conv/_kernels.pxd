# c/lc.h, declared for Cython.
from libc.stdint cimport int32_t, int64_t

cdef extern from "lc.h":
    ctypedef struct lc_tile:
        int64_t rows, columns
        int64_t runs, run_length
        const int64_t *a_run_offset
        const int64_t *b_run_offset
        int64_t a_row_step, a_step
        int64_t b_row_step
        int64_t c_row_step, c_column_step
        int64_t bias_row_step
        int64_t b_apart
        int64_t a_ahead, b_ahead
        int accumulate
        int stream
        int b_overrun
    ctypedef struct lc_csr:
        int64_t rows, columns
        const int64_t *start
        const int32_t *index
        const int64_t *family
        int activation
        double alpha
    ctypedef struct lc_positions:
        int64_t rows, filters, positions, taps
        const int64_t *x_offset
        const int64_t *w_offset
        int64_t x_row, x_ahead
        int64_t w_filter, y_row, y_filter, bias_filter
        int accumulate
    ctypedef struct lc_windows:
        int64_t taps, channels
        const int64_t *start
        const int64_t *tap
        int reciprocals
    ctypedef struct lc_kernels_f32:
        int lanes
        void (*product)(const lc_tile *, const float *, const float *, const float *,
                        float *) noexcept nogil
        void (*lone)(const lc_tile *, const float *, const float *, const float *,
                     float *) noexcept nogil
        void (*add_piece)(int64_t, int, int64_t, int64_t, float *, float *) noexcept nogil
        void (*to_panel)(int64_t, int64_t, int64_t, const float *, int64_t,
                         float *) noexcept nogil
        void (*from_panel)(int64_t, int64_t, int64_t, const float *, float *,
                           int64_t) noexcept nogil
        void (*activate)(int, float, int64_t, float *) noexcept nogil
        void (*activation_gradient)(int, float, int64_t, const float *, const float *,
                                    float *) noexcept nogil
        void (*activate_rows)(int, int64_t, int64_t, const float *, float *) noexcept nogil
        void (*row_gradient)(int, int64_t, int64_t, const float *, const float *,
                             float *) noexcept nogil
        void (*sparse_panel)(const lc_csr *, int64_t, int64_t, int64_t, int64_t, const float *,
                             const float *, int64_t, const float *, float *,
                             float *) noexcept nogil
        void (*sparse_vector)(const lc_csr *, int64_t, int64_t, const float *, const float *,
                              const float *, float *) noexcept nogil
        void (*sparse_gradient)(const lc_csr *, int64_t, int64_t, int64_t, int, const float *,
                                const float *, float *) noexcept nogil
        void (*unzip)(int64_t, int64_t, int64_t, const float *, int64_t, float *) noexcept nogil
        void (*zip)(int64_t, int64_t, int64_t, const float *, float *) noexcept nogil
        void (*positions)(const lc_positions *, const float *, const float *, const float *,
                          float *) noexcept nogil
        void (*positions_gradient)(const lc_positions *, const float *, const float *,
                                   float *) noexcept nogil
        void (*affine)(int64_t, const float *, const float *, const float *, const float *,
                       float *) noexcept nogil
        void (*combine)(int, int64_t, const float *, const float *, float *) noexcept nogil
        void (*divide)(int64_t, const float *, float, float *) noexcept nogil
        void (*pool)(const lc_windows *, int64_t, int64_t, const float *, const float *,
                     float *) noexcept nogil
        void (*depthwise)(const lc_windows *, int64_t, int64_t, const float *, const float *,
                          const float *, float *) noexcept nogil
    ctypedef struct lc_kernels_f64:
        int lanes
        void (*product)(const lc_tile *, const double *, const double *, const double *,
                        double *) noexcept nogil
        void (*lone)(const lc_tile *, const double *, const double *, const double *,
                     double *) noexcept nogil
        void (*add_piece)(int64_t, int, int64_t, int64_t, double *, double *) noexcept nogil
        void (*to_panel)(int64_t, int64_t, int64_t, const double *, int64_t,
                         double *) noexcept nogil
        void (*from_panel)(int64_t, int64_t, int64_t, const double *, double *,
                           int64_t) noexcept nogil
        void (*activate)(int, double, int64_t, double *) noexcept nogil
        void (*activation_gradient)(int, double, int64_t, const double *, const double *,
                                    double *) noexcept nogil
        void (*activate_rows)(int, int64_t, int64_t, const double *, double *) noexcept nogil
        void (*row_gradient)(int, int64_t, int64_t, const double *, const double *,
                             double *) noexcept nogil
        void (*sparse_panel)(const lc_csr *, int64_t, int64_t, int64_t, int64_t, const double *,
                             const double *, int64_t, const double *, double *,
                             double *) noexcept nogil
        void (*sparse_vector)(const lc_csr *, int64_t, int64_t, const double *, const double *,
                              const double *, double *) noexcept nogil
        void (*sparse_gradient)(const lc_csr *, int64_t, int64_t, int64_t, int, const double *,
                                const double *, double *) noexcept nogil
        void (*unzip)(int64_t, int64_t, int64_t, const double *, int64_t, double *) noexcept nogil
        void (*zip)(int64_t, int64_t, int64_t, const double *, double *) noexcept nogil
        void (*positions)(const lc_positions *, const double *, const double *, const double *,
                          double *) noexcept nogil
        void (*positions_gradient)(const lc_positions *, const double *, const double *,
                                   double *) noexcept nogil
        void (*affine)(int64_t, const double *, const double *, const double *, const double *,
                       double *) noexcept nogil
        void (*combine)(int, int64_t, const double *, const double *, double *) noexcept nogil
        void (*divide)(int64_t, const double *, double, double *) noexcept nogil
        void (*pool)(const lc_windows *, int64_t, int64_t, const double *, const double *,
                     double *) noexcept nogil
        void (*depthwise)(const lc_windows *, int64_t, int64_t, const double *, const double *,
                          const double *, double *) noexcept nogil
    enum:
        LC_AVX512
        LC_AVX2
        LC_LINEAR
        LC_RELU
        LC_TANH
        LC_SIGMOID
        LC_ELU
        LC_SELU
        LC_EXPONENTIAL
        LC_SOFTPLUS
        LC_SOFTSIGN
        LC_HARD_SIGMOID
        LC_RELU6
        LC_LEAKY_RELU
        LC_SWISH
        LC_MISH
        LC_GELU
        LC_GELU_APPROXIMATE
        LC_SOFTMAX
        LC_LOG_SOFTMAX
        LC_ADD
        LC_SUBTRACT
        LC_MULTIPLY
        LC_MAXIMUM
        LC_MINIMUM
        LC_PATHS
        LC_PIECE
        LC_TOTALS
        LC_CACHE_LINE
        LC_SPARSE_LANES
        LC_SPARSE_HELD
    const char *const lc_path_names[]
    int lc_path_supported(int) nogil
    void lc_finish_streams() noexcept nogil
    const lc_kernels_f32 *const lc_table_f32[]
    const lc_kernels_f64 *const lc_table_f64[]
