/* What this machine can do at most: fused multiply-adds, and bytes read or copied, a second.

   Compiled for the very processor it runs on, for the benchmarks alone.  Every function runs on
   `threads` threads, takes about `seconds` and returns the best rate of several repeats; each
   thread works on memory that it touched first, and no thread waits within a repeat. */

#define _GNU_SOURCE
#include <omp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

typedef float wide __attribute__((vector_size(64)));   /* AVX-512 */
typedef float narrow __attribute__((vector_size(32))); /* AVX2 */

typedef void work(void *place, long rounds);

/* Seconds that all threads together need for `rounds` rounds of `f`. */
static double elapsed(work *f, void **places, int threads, long rounds)
{
    double from = 0, until = 0;
#pragma omp parallel num_threads(threads)
    {
#pragma omp barrier
#pragma omp master
        from = omp_get_wtime();
#pragma omp barrier
        f(places[omp_get_thread_num()], rounds);
#pragma omp barrier
#pragma omp master
        until = omp_get_wtime();
    }
    return until - from;
}

/* Rounds a second, the best of repeats of a few milliseconds. */
static double best_rate(work *f, void **places, int threads, double seconds)
{
    long rounds = 1;
    double once, best = 0, spent = 0;
    for (;;) { /* the better of two: a thread may have been put aside for a moment */
        double again = elapsed(f, places, threads, rounds);
        once = elapsed(f, places, threads, rounds);
        once = again < once ? again : once;
        if (once >= 3e-3)
            break;
        rounds *= 2;
    }
    do {
        double rate = rounds / once;
        best = rate > best ? rate : best;
        spent += once;
        once = elapsed(f, places, threads, rounds);
    } while (spent < seconds);
    return best;
}

/* Twelve independent chains: latency times throughput is eight to ten on today's processors. */
#define CHAINS(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11)
#define DECLARE(i) v a##i = zero + (float)i;
#define FUSE(i) a##i = a##i * scale + shift;
#define KEEP(i) sum += a##i;
#define ROUND 64
#define DEFINE_FMA(NAME, VECTOR)                                  \
    static void NAME(void *place, long rounds)                    \
    {                                                             \
        typedef VECTOR v;                                         \
        volatile float given = 0.5f;                              \
        const v zero = {0}, scale = zero + given, shift = zero + given; \
        CHAINS(DECLARE)                                           \
        for (long r = 0; r < rounds * ROUND; r++) {               \
            CHAINS(FUSE)                                          \
        }                                                         \
        v sum = zero;                                             \
        CHAINS(KEEP)                                              \
        memcpy(place, &sum, sizeof sum);                          \
    }
DEFINE_FMA(fuse_wide, wide)
DEFINE_FMA(fuse_narrow, narrow)

/* Operations a second in float32, two for each fused multiply-add; 0 without such registers. */
double peak_flops(int threads, int bytes, double seconds)
{
    void *places[threads];
    double rate = 0;
#ifndef __AVX512F__
    if (bytes == 64)
        return 0;
#endif
    for (int t = 0; t < threads; t++)
        places[t] = aligned_alloc(64, 256);
    rate = best_rate(bytes == 64 ? fuse_wide : fuse_narrow, places, threads, seconds);
    for (int t = 0; t < threads; t++)
        free(places[t]);
    return rate * ROUND * 12 * 2 * (bytes / 4) * threads;
}

/* A thread's share of the memory: `count` vectors, the first half the source of a copy. */
struct share {
    wide *from;
    size_t count;
};

static void read_all(void *place, long rounds)
{
    const struct share *s = place;
    for (long r = 0; r < rounds; r++) {
        wide a = {0}, b = a, c = a, d = a;
        for (size_t i = 0; i + 4 <= s->count; i += 4) {
            a += s->from[i];
            b += s->from[i + 1];
            c += s->from[i + 2];
            d += s->from[i + 3];
        }
        a += b + c + d;
        __asm__ volatile("" : : "m"(a) : "memory");
    }
}

static void copy_half(void *place, long rounds)
{
    const struct share *s = place;
    size_t half = s->count / 2;
    for (long r = 0; r < rounds; r++) {
        for (size_t i = 0; i < half; i++)
            s->from[half + i] = s->from[i];
        __asm__ volatile("" : : : "memory");
    }
}

/* A copy past the caches, which need not read the lines that it writes. */
static void stream_half(void *place, long rounds)
{
#ifdef __SSE2__
    const struct share *s = place;
    size_t quarters = s->count / 2 * 4;
    const __m128i *from = (const __m128i *)s->from;
    __m128i *to = (__m128i *)(s->from + s->count / 2);
    for (long r = 0; r < rounds; r++)
        for (size_t i = 0; i < quarters; i++)
            _mm_stream_si128(to + i, _mm_load_si128(from + i));
    _mm_sfence();
#else
    copy_half(place, rounds);
#endif
}

/* Bytes a second, read and written together, over `bytes` of memory shared out to the threads.
   kind: 0 reads, 1 copies one half to the other, 2 does so past the caches. */
double bandwidth(int threads, size_t bytes, int kind, double seconds)
{
    static work *const kinds[] = {read_all, copy_half, stream_half};
    struct share shares[threads];
    void *places[threads];
    size_t each = bytes / threads / 512 * 512, page = (size_t)1 << 21;
    int failed = 0;
#pragma omp parallel num_threads(threads)
    {
        int t = omp_get_thread_num();
        struct share *s = &shares[t];
        s->count = each / sizeof(wide);
        s->from = aligned_alloc(page, (each + page - 1) / page * page);
        places[t] = s;
        if (s->from) {
#ifdef MADV_HUGEPAGE
            if (each >= page)
                madvise(s->from, each, MADV_HUGEPAGE);
#endif
            memset(s->from, 0, each);
        } else {
#pragma omp atomic write
            failed = 1;
        }
    }
    double rate = failed ? 0 : best_rate(kinds[kind], places, threads, seconds);
    for (int t = 0; t < threads; t++)
        free(shares[t].from);
    return rate * each * threads;
}
