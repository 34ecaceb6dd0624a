/* SPDX-License-Identifier: ISC */
/* Durations counted in buckets whose bounds grow with them: percentiles within a fifth, in fixed
 * memory. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#define LATENCY_BUCKETS 50 /* the last one has no bound */

/* Only ever grows. Read by any thread. */
struct latency {
    _Atomic uint64_t n[LATENCY_BUCKETS]; /* not cumulative */
    _Atomic uint64_t sum_us;
};

/* Upper bound of a bucket in microseconds, which belongs to it; UINT64_MAX for the last one. */
uint64_t latency_bound_us(unsigned bucket);
/* Counts a duration. Thread: any, without a lock. */
void latency_note(struct latency *l, uint64_t us);
/* The same where only one thread ever writes: no locked instruction. */
void latency_note_owned(struct latency *l, uint64_t us);

/* A copy, or the difference of two. */
struct latency_counts {
    uint32_t n[LATENCY_BUCKETS];
};

/* Adds what was counted so far. */
void latency_add(struct latency_counts *to, const struct latency *l);
/* Takes away what was counted before. */
void latency_subtract(struct latency_counts *from, const struct latency_counts *before);
uint64_t latency_total(const struct latency_counts *c);
/* The duration that `percent` of all do not exceed, within its bucket in proportion; of those
 * beyond all bounds the largest bound. 0 when nothing was counted. */
uint64_t latency_percentile_us(const struct latency_counts *c, unsigned percent);
