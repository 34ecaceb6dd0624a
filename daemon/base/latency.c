/* SPDX-License-Identifier: ISC */
/* Buckets of durations, and percentiles of them. */
#include "base/latency.h"

/* Every bound that Prometheus' histograms have (session/counters.c) is one of these. */
#define DECADE(us)                                                                                 \
    1 * (us), 3 * (us) / 2, 2 * (us), 5 * (us) / 2, 3 * (us), 4 * (us), 5 * (us), 6 * (us), 8 * (us)
static const uint64_t bounds_us[LATENCY_BUCKETS] = {
    DECADE(100), DECADE(1000), DECADE(10000), DECADE(100000), DECADE(1000000),
    10000000,    20000000,     30000000,      60000000,       UINT64_MAX};

uint64_t latency_bound_us(unsigned bucket)
{
    return bounds_us[bucket];
}

static unsigned latency_bucket(uint64_t us)
{
    unsigned low = 0, high = LATENCY_BUCKETS - 1;
    while (low < high) {
        unsigned mid = (low + high) / 2;
        if (us > bounds_us[mid])
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

void latency_note(struct latency *l, uint64_t us)
{
    atomic_fetch_add_explicit(&l->n[latency_bucket(us)], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&l->sum_us, us, memory_order_relaxed);
}

static void latency_bump(_Atomic uint64_t *v, uint64_t n)
{
    uint64_t old = atomic_load_explicit(v, memory_order_relaxed);
    atomic_store_explicit(v, old + n, memory_order_relaxed);
}

void latency_note_owned(struct latency *l, uint64_t us)
{
    latency_bump(&l->n[latency_bucket(us)], 1);
    latency_bump(&l->sum_us, us);
}

void latency_add(struct latency_counts *to, const struct latency *l)
{
    for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
        to->n[i] += (uint32_t)atomic_load_explicit(&l->n[i], memory_order_relaxed);
}

void latency_subtract(struct latency_counts *from, const struct latency_counts *before)
{
    for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
        from->n[i] -= before->n[i]; /* modulo 2^32, as the copies are */
}

uint64_t latency_total(const struct latency_counts *c)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
        n += c->n[i];
    return n;
}

uint64_t latency_percentile_us(const struct latency_counts *c, unsigned percent)
{
    uint64_t total = latency_total(c), before = 0;
    if (total == 0)
        return 0;
    uint64_t rank = (total * percent + 99) / 100; /* the first that has so many at or below it */
    for (unsigned i = 0; i + 1 < LATENCY_BUCKETS; i++) {
        if (before + c->n[i] >= rank) {
            uint64_t from = i > 0 ? bounds_us[i - 1] : 0;
            return from + (bounds_us[i] - from) * (rank - before) / c->n[i];
        }
        before += c->n[i];
    }
    return bounds_us[LATENCY_BUCKETS - 2];
}
