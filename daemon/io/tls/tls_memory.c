/* SPDX-License-Identifier: ISC */
/* GMP's allocation functions, with a reserve for when memory is used up. */
#include "io/tls/tls_memory.h"

#include <gmp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"

/* A handshake with RSA of 4096 bits holds some 40 KB at its worst; each thread does one at a time.
 */
#define RESERVE_BYTES (8 << 20)
#define RESERVE_ALIGN 16
#define LOW_MS 1000

/* Blocks are taken from its front one after another and come back all together: when none is in use
 * any more. */
static struct {
    char *data; /* NULL = none was set aside */
    pthread_mutex_t mutex;
    size_t used, n_blocks;         /* under the mutex */
    _Atomic uint64_t low_until_ms; /* 0 = memory has not been low */
} reserve = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static bool reserve_has(const void *p)
{
    return reserve.data && (uintptr_t)p - (uintptr_t)reserve.data < RESERVE_BYTES;
}

/* There is no way to tell GMP that there is no memory: a full reserve ends the process, as an
 * allocation that fails did always before. */
static void *reserve_take(size_t n)
{
    void *p = NULL;
    size_t rounded = (n + RESERVE_ALIGN - 1) & ~(size_t)(RESERVE_ALIGN - 1);
    atomic_store_explicit(&reserve.low_until_ms, clock_ms() + LOW_MS, memory_order_relaxed);
    pthread_mutex_lock(&reserve.mutex);
    if (reserve.data && rounded >= n && rounded <= RESERVE_BYTES - reserve.used) {
        p = reserve.data + reserve.used;
        reserve.used += rounded;
        reserve.n_blocks++;
    }
    pthread_mutex_unlock(&reserve.mutex);
    if (!p)
        abort();
    return p;
}

static void *on_allocate(size_t n)
{
    void *p = malloc(n ? n : 1);
    return p ? p : reserve_take(n);
}

static void on_free(void *p, size_t n)
{
    (void)n;
    if (!reserve_has(p)) {
        free(p);
        return;
    }
    pthread_mutex_lock(&reserve.mutex);
    if (--reserve.n_blocks == 0) {
        explicit_bzero(reserve.data, reserve.used);
        reserve.used = 0;
    }
    pthread_mutex_unlock(&reserve.mutex);
}

static void *on_reallocate(void *old, size_t old_n, size_t n)
{
    if (!reserve_has(old)) {
        void *grown = realloc(old, n ? n : 1);
        if (grown)
            return grown;
    }
    void *p = on_allocate(n);
    memcpy(p, old, old_n < n ? old_n : n);
    on_free(old, old_n);
    return p;
}

int tls_memory_init(void)
{
    /* Counted by the kernel from now on, but no page is taken before it is used. */
    void *p = mmap(NULL, RESERVE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return -ERR_NOMEM;
    (void)madvise(p, RESERVE_BYTES, MADV_DONTDUMP);
    reserve.data = p;
    mp_set_memory_functions(on_allocate, on_reallocate, on_free);
    return 0;
}

bool tls_memory_is_low(void)
{
    uint64_t until = atomic_load_explicit(&reserve.low_until_ms, memory_order_relaxed);
    return until != 0 && clock_ms() < until;
}
