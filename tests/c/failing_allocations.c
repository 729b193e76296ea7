/* malloc, calloc and free for LD_PRELOAD.  Allocations by callers in a watched range of addresses
   are counted, the n-th one fails, and those not yet freed are counted too.  Needs glibc, whose
   functions it calls.  See tests/local_conv/test_allocation.py. */
#include <stddef.h>
#include <stdint.h>

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void __libc_free(void *);

enum { MOST = 64 };
static uintptr_t from[MOST], to[MOST], callers[MOST]; /* watched; who allocated */
static void *held[MOST];                              /* allocated and not yet freed */
static int ranges, places;
static long made, failing;

void watch(uintptr_t start, uintptr_t end) {
    from[ranges] = start;
    to[ranges++] = end;
}

/* The n-th allocation from now on fails; 0: none. */
void fail(long n) {
    made = 0;
    failing = n;
}

long allocations(void) { return made; }
int call_sites(void) { return places; }

int unfreed(void) {
    int count = 0;
    for (int i = 0; i < MOST; i++)
        count += held[i] != NULL;
    return count;
}

/* Whether an allocation by `caller` is one of ours, and may be made. */
static int ours(uintptr_t caller, int *fails) {
    int range = 0, place = 0;
    while (range < ranges && !(from[range] <= caller && caller < to[range]))
        range++;
    if (range == ranges)
        return 0;
    while (place < places && callers[place] != caller)
        place++;
    if (place == places && places < MOST)
        callers[places++] = caller;
    *fails = ++made == failing;
    return 1;
}

static void *kept(void *memory) {
    for (int i = 0; memory && i < MOST; i++)
        if (!held[i]) {
            held[i] = memory;
            return memory;
        }
    return memory;
}

void *malloc(size_t size) {
    int fails = 0;
    if (!ours((uintptr_t)__builtin_return_address(0), &fails))
        return __libc_malloc(size);
    return fails ? NULL : kept(__libc_malloc(size));
}

void *calloc(size_t count, size_t size) {
    int fails = 0;
    if (!ours((uintptr_t)__builtin_return_address(0), &fails))
        return __libc_calloc(count, size);
    return fails ? NULL : kept(__libc_calloc(count, size));
}

void free(void *memory) {
    for (int i = 0; memory && i < MOST; i++)
        if (held[i] == memory)
            held[i] = NULL;
    __libc_free(memory);
}
