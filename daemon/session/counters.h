/* SPDX-License-Identifier: ISC */
/* Counters of one worker: written by it alone, read by any thread. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "base/latency.h"
#include "proto/proto.h"

enum counter {
#define C(id, name, type, help) COUNTER_##id,
#include "session/counters.def"
    COUNTER_COUNT
};

enum counter_type { COUNTER_IS_COUNTER, COUNTER_IS_GAUGE };

/* Of durations. */
enum histogram {
#define H(id, name, help) HISTOGRAM_##id,
#include "session/counters.def"
    HISTOGRAM_COUNT
};

#define HISTOGRAM_BUCKETS 14 /* as metrics show them; the last one has no bound */

struct counters {
    _Atomic uint64_t v[PROTO_COUNT][COUNTER_COUNT];
    struct latency histograms[PROTO_COUNT][HISTOGRAM_COUNT];
};

/* Adds (negative: subtracts). Only the owning thread writes, so no locked instruction is needed. */
static inline void counter_add(struct counters *c, enum proto_id p, enum counter which, int64_t n)
{
    uint64_t old = atomic_load_explicit(&c->v[p][which], memory_order_relaxed);
    atomic_store_explicit(&c->v[p][which], old + (uint64_t)n, memory_order_relaxed);
}

/* Adds a duration. Thread: the owner. */
static inline void counter_observe(struct counters *c, enum proto_id p, enum histogram which,
                                   uint64_t us)
{
    latency_note_owned(&c->histograms[p][which], us);
}

/* Upper bound of a bucket in microseconds; UINT64_MAX for the last one. */
uint64_t histogram_bound_us(unsigned bucket);
/* How many durations are in it, not cumulative: the buckets of l up to its bound. Thread: any. */
uint64_t histogram_bucket(const struct latency *l, unsigned bucket);
const char *histogram_name(enum histogram which);
const char *histogram_help(enum histogram which);

static inline uint64_t counter_get(const struct counters *c, enum proto_id p, enum counter which)
{
    return atomic_load_explicit(&c->v[p][which], memory_order_relaxed);
}

/* Sum over all protocols. */
uint64_t counter_total(const struct counters *c, enum counter which);
const char *counter_name(enum counter which);
const char *counter_help(enum counter which);
enum counter_type counter_type(enum counter which);
